"""What a prediction is worth where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import napari_unet
from napari_unet.errors import InputError
from napari_unet.network.unet_config import UNetConfig
from napari_unet.noise.metrics import image_similarity
from tests.tasks.segmentation.test_segment import FAST, halves

TINY = UNetConfig(encoder=((4,),), bottom=(4,), decoder=((4,),), out_channels=1, padding="same")


@pytest.fixture(scope="module")
def trained():
    image, labels = halves()
    return image, labels, napari_unet.fit(image, labels, **{**FAST, "steps": 30})


@pytest.fixture(scope="module")
def restored():
    clean = np.random.default_rng(0).normal(size=(3, 40, 48)).astype(np.float32).cumsum(1)
    noisy = clean + np.random.default_rng(1).normal(size=clean.shape).astype(np.float32)
    model = napari_unet.fit(noisy, clean, task="restore", steps=3, network=TINY)
    return noisy, clean, model


def test_the_table_counts_what_the_prediction_and_the_truth_say(trained):
    image, labels, model = trained
    found = napari_unet.evaluate(model, image, labels)
    result = napari_unet.predict(model, image)
    for i, true in enumerate((3, 7)):
        for k, said in enumerate((3, 7)):
            assert found.confusion[i][k] == ((labels == true) & (result == said)).sum()
    assert found.pixels == (labels > 0).sum()
    assert found.accuracy == (result == labels)[labels > 0].mean()
    seen = labels > 0
    for value, iou, dice in zip((3, 7), found.iou, found.dice, strict=True):
        a, b = (labels == value)[seen], (result == value)[seen]
        assert iou == pytest.approx((a & b).sum() / (a | b).sum())
        assert dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_label_that_the_model_does_not_know_is_named(trained):
    image, labels, model = trained
    with pytest.raises(InputError, match=r"does not know \(got 9\), expected 3 \(class 3\)|got 9"):
        napari_unet.evaluate(model, image, np.where(labels == 3, 9, labels))


def test_what_is_no_truth_is_refused(trained):
    image, labels, model = trained
    with pytest.raises(InputError, match="Nothing is labelled"):
        napari_unet.evaluate(model, image, np.zeros_like(labels))
    with pytest.raises(InputError, match="another shape"):
        napari_unet.evaluate(model, image, labels[:-1])
    with pytest.raises(InputError, match="not a label image"):
        napari_unet.evaluate(model, image, labels / 2)


def test_images_are_compared_picture_by_picture(restored):
    noisy, clean, model = restored
    found = napari_unet.evaluate(model, noisy, clean)
    result = napari_unet.predict(model, noisy)
    span = float(np.ptp(clean))
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    psnr = [
        peak_signal_noise_ratio(c, r, data_range=span) for c, r in zip(clean, result, strict=True)
    ]
    ssim = [
        structural_similarity(c, r, data_range=span, **window)
        for c, r in zip(clean, result, strict=True)
    ]
    assert found.likeness.data_range == pytest.approx(span)
    assert found.likeness.psnr == pytest.approx(np.mean(psnr), rel=1e-5)
    assert found.likeness.ssim == pytest.approx(np.mean(ssim), rel=1e-4)
    assert napari_unet.evaluate(model, noisy, clean, data_range=100).likeness.psnr > np.mean(psnr)


def test_colours_are_channels_of_one_picture():
    clean = np.random.default_rng(0).integers(0, 255, (40, 48, 3)).astype(np.uint8)
    model = napari_unet.fit(clean, clean, task="restore", steps=2, network=TINY, channel_axis=2)
    found = napari_unet.evaluate(model, clean, clean, channel_axis=2)
    assert found.likeness.data_range == 255
    result = napari_unet.predict(model, clean, channel_axis=2)
    assert found.likeness.psnr == pytest.approx(
        peak_signal_noise_ratio(clean, result.astype(float), data_range=255), rel=1e-5
    )


def test_held_out_pixels_of_pairs_have_a_peak_signal_to_noise_ratio(restored):
    *_, model = restored
    facts = model.training["validation"]
    assert np.isfinite(facts["PSNR"])


def test_whole_images_are_held_out():
    pairs = [halves() for _ in range(5)]
    images, labels = (list(x) for x in zip(*pairs, strict=True))
    told = [
        e
        for e in napari_unet.train(images, labels, **FAST, split="image")
        if isinstance(e, napari_unet.training.events.Validated)
    ]
    assert told[-1].pixels == (labels[0] > 0).sum(), "all that is painted on one of five"
    with pytest.raises(InputError, match="held out as a whole"):
        napari_unet.fit(*pairs[0], **FAST, split="image")


def test_where_nothing_differs_the_ratio_is_infinite():
    image = np.random.default_rng(0).normal(size=(32, 32))
    assert image_similarity(image, image).psnr == np.inf
