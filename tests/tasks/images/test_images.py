"""Denoise, restore, fill in: what is learned, and that it helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import napari_unet
from napari_unet.control import Control, PreviewedImage, Viewport
from napari_unet.data.image import ImageView
from napari_unet.data.source import open_source
from napari_unet.errors import InputError
from napari_unet.geometry.axes import find_layout
from napari_unet.geometry.region import Region
from napari_unet.tasks.images.losses import image_loss
from napari_unet.tasks.images.noise_analysis import choose_method
from napari_unet.tasks.images.open import open_image_task
from napari_unet.tasks.images.options import DenoiseOptions, RestoreOptions
from napari_unet.training.events import Decision, Finished, Preparing, Started, Warned

SMALL = {"size": "small", "steps": 60, "batch_size": 4, "threads": 1}


HOLES = {**SMALL, "steps": 100, "batch_size": 8}


def scene(*shape, smooth=(1.5, 2.5, 2.5), seed=0):
    """Return a smooth picture between 20 and 120 grey values."""
    random = np.random.default_rng(seed)
    found = gaussian_filter(random.normal(size=shape), smooth[-len(shape) :])
    return (found - found.min()) / np.ptp(found) * 100 + 20


def poisson(clean, seed=1):
    return np.random.default_rng(seed).poisson(clean).astype(np.uint16)


def rmse(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b) ** 2)))


def choice(image, ndim=2, **options):
    source = open_source(image)
    view = ImageView(source, find_layout(source.shape, ndim))
    return choose_method(view, DenoiseOptions(**options))


def said(events, kind):
    return [e.message for e in events if isinstance(e, kind)]


# ---------------------------------------------------------------- what is chosen


def test_white_noise_in_one_picture_is_denoised_with_blind_spots():
    found = choice(poisson(scene(160, 160)))
    assert (found.method, found.photon, found.planes, found.white) == ("blind_spot", True, 1, True)
    assert "noise of neighbouring pixels is independent" in found.why
    assert "evened out first" in found.why
    assert found.measured["noise"][0]["gain"] == pytest.approx(1, abs=0.3)
    even = np.random.default_rng(0).normal(scene(160, 160), 8)
    assert not choice(even).photon


@pytest.mark.parametrize(("axis", "method"), [(0, "lines_x"), (1, "lines_y")])
def test_noise_of_lines_hides_lines(axis, method):
    random = np.random.default_rng(0)
    lines = random.normal(0, 6, (160, 1) if axis == 0 else (1, 160))
    image = scene(160, 160) + lines + random.normal(0, 3, (160, 160))
    found = choice(image)
    assert found.method == method
    assert not found.white


def test_frames_of_one_scene_learn_from_each_other_and_planes_that_differ_do_not():
    still = np.repeat(scene(1, 128, 128), 6, 0)
    found = choice(poisson(still))
    assert found.method == "neighbours"
    assert found.measured["neighbours_differ"] == pytest.approx(1, abs=0.1)
    assert choice(poisson(scene(6, 128, 128, smooth=(0, 2.5, 2.5)))).method == "blind_spot"
    assert (found.planes, choice(poisson(still[:4])).planes) == (5, 3)
    assert "5 neighbouring planes are read together." in found.why
    seven = choice(poisson(still), planes=7)  # none of six lies beyond them
    assert (seven.method, seven.planes) == ("blind_spot", 7)
    moving = np.stack([np.roll(still[0], 2 * (k // 2), 0) for k in range(8)])
    assert choice(poisson(moving)).planes < 5
    related = choice(poisson(scene(8, 128, 128, smooth=(0.8, 3, 3)) * 10))
    assert (related.method, related.planes) == ("blind_spot", 3)


def test_blurred_noise_and_cut_off_pixels_are_told_of():
    random = np.random.default_rng(0)
    blurred = gaussian_filter(random.normal(0, 1, (160, 160)), 1) * 40
    found = choice(scene(160, 160) + blurred)
    assert any("blind spots cannot" in text for text in found.caution)
    bright = np.clip(poisson(scene(160, 160)), 0, 90).astype(np.uint8)
    assert any("cut off" in text for text in choice(bright).caution)
    assert choice(poisson(scene(160, 160))).caution == ()


def test_a_picture_too_small_to_be_measured_is_denoised_all_the_same():
    found = choice(poisson(scene(20, 20)))
    assert (found.method, found.noise) == ("blind_spot", ())
    assert "too small" in found.why
    with pytest.raises(InputError, match="no neighbouring planes"):
        choice(poisson(scene(20, 20)), method="neighbours")
    with pytest.raises(InputError, match="at least 6 planes"):
        choice(poisson(scene(5, 64, 64)), method="neighbours", planes=5)


# ---------------------------------------------------------------- what is learned


@pytest.mark.parametrize(
    ("shape", "options", "gain"),
    [
        ((96, 96), {}, 1.7),
        ((96, 96), {"replacement": "median"}, 1.7),
        ((6, 64, 64), {"method": "neighbours", "planes": 1}, 1.7),
        ((6, 64, 64), {"method": "blind_spot", "planes": 3}, 1.5),
        ((12, 48, 48), {"ndim": 3, "steps": 80}, 1.3),
        ((96, 96), {"normalise": "mean_sd"}, 1.7),
    ],
)
def test_noise_goes_without_any_clean_picture(shape, options, gain):
    clean = scene(*shape)
    noisy = poisson(clean)
    model = napari_unet.fit(noisy, task="denoise", **{**SMALL, **options})
    found = napari_unet.predict(model, noisy, flips=True)
    assert found.shape == noisy.shape
    assert rmse(found, clean) * gain < rmse(noisy, clean)
    assert abs(float(found.mean()) - clean.mean()) < 2  # no bias


def test_frames_of_one_scene_are_learned_from_what_is_not_seen_together():
    fine = np.repeat(scene(1, 64, 64, smooth=(0, 0.8, 0.8)), 6, 0)
    noisy = poisson(fine)
    how = {**SMALL, "task": "denoise", "steps": 150}
    alone, together = (napari_unet.fit(noisy, planes=n, **how) for n in (1, 5))
    assert alone.training["method"] == together.training["method"] == "neighbours"
    assert alone.input_spec.residual == together.input_spec.residual == "mean"
    left = [rmse(napari_unet.predict(m, noisy), fine) for m in (alone, together)]
    assert left[1] < 0.8 * left[0] < 0.8 * rmse(noisy, fine)
    again = napari_unet.fit(noisy, start=together, **{**how, "steps": 1})
    assert again.input_spec == together.input_spec


def test_what_the_pixels_themselves_know_is_taken_in():
    clean = scene(160, 160)
    noisy = poisson(clean)
    model = napari_unet.fit(noisy, task="denoise", **SMALL)
    assert len(model.input_spec.noise) == 1
    without = replace(model, input_spec=replace(model.input_spec, noise=()))
    errors = [rmse(napari_unet.predict(m, noisy), clean) for m in (model, without)]
    assert errors[0] < 0.97 * errors[1]
    shared = napari_unet.fit(noisy, task="denoise", own_share=0.1, **{**SMALL, "steps": 1})
    assert (shared.input_spec.blend, shared.input_spec.noise) == (0.1, ())


def test_lines_go_too():
    clean, random = scene(128, 128), np.random.default_rng(0)
    noisy = clean + random.normal(0, 10, (128, 1)) + random.normal(0, 3, (128, 128))
    found = {}
    for method in ("auto", "blind_spot"):
        model = napari_unet.fit(
            noisy, task="denoise", method=method, **{**SMALL, "steps": 70, "batch_size": 8}
        )
        found[method] = rmse(napari_unet.predict(model, noisy), clean)
    assert found["auto"] < 0.85 * found["blind_spot"]
    assert found["auto"] < 0.65 * rmse(noisy, clean)


def test_pairs_teach_other_channels_too():
    clean = scene(96, 96)
    goal = np.stack([clean, 140 - clean])
    model = napari_unet.fit(
        poisson(clean), goal, task="restore", loss={"l1": 1, "ms_ssim": 0.3}, **SMALL
    )
    found = napari_unet.predict(model, poisson(clean, seed=2))
    assert found.shape == goal.shape
    assert rmse(found, goal) < 0.7 * rmse(poisson(clean), clean)


@pytest.mark.parametrize("shape", [(1, 2, 24, 26), (1, 1, 12, 14, 16)])
@pytest.mark.parametrize("loss", ["l1", "l2", "ssim", "ms_ssim"])
def test_every_loss_leads_to_the_target_and_ignores_what_has_no_weight(loss, shape):
    random = torch.Generator().manual_seed(0)
    target = torch.randn(shape, generator=random)
    weights = (torch.rand(shape, generator=random) < 0.8).float()
    guess = torch.zeros(shape, requires_grad=True)
    first = image_loss({loss: 1.0}, guess, target)
    assert image_loss({loss: 1.0}, target, target).item() == pytest.approx(0, abs=1e-5)
    both = {loss: 2.0, "l1" if loss == "l2" else "l2": 1.0}
    other = target.abs().mean() if loss == "l2" else target.square().mean()
    summed = image_loss(both, guess, target).item()
    assert summed == pytest.approx(2 * first.item() + other.item(), rel=1e-4)
    spoilt = torch.where(weights > 0, target, 1e3)
    masked = [image_loss({loss: 1.0}, guess, t, weights) for t in (target, spoilt)]
    assert masked[0].item() == masked[1].item() > 0
    for _ in range(5):
        (slope,) = torch.autograd.grad(image_loss({loss: 1.0}, guess, target, weights), guess)
        guess = (guess - 0.3 * slope / slope.abs().max()).detach().requires_grad_()
    assert image_loss({loss: 1.0}, guess, target, weights).item() < masked[0].item()


def test_softplus_is_never_negative():
    clean = np.maximum(scene(96, 96) - 60, 0)
    model = napari_unet.fit(poisson(clean), clean, task="restore", readout="softplus", **SMALL)
    assert napari_unet.predict(model, poisson(clean)).min() >= 0
    assert model.config.readout == "softplus"


def test_a_shift_between_the_images_of_a_pair_is_told_and_none_where_there_is_none():
    clean = scene(128, 128)
    for shift, axis, words in ((3, 0, "+3.0 pixels along y"), (-2, 1, "-2.0 along x")):
        goal = np.roll(clean, shift, axis)
        events = list(
            napari_unet.train(poisson(clean), goal, task="restore", **{**SMALL, "steps": 1})
        )
        assert any(words in text for text in said(events, Warned))
    events = list(napari_unet.train(poisson(clean), clean, task="restore", **{**SMALL, "steps": 1}))
    assert said(events, Warned) == []


def test_what_is_restored_begins_with_the_image_where_that_is_alike():
    clean = scene(64, 64, smooth=(0.7, 0.7))
    seen = poisson(clean)
    once = {**SMALL, "steps": 1, "learning_rate": 1e-9, "task": "restore"}
    model = napari_unet.fit(seen, 3 * clean - 100, **once)
    assert model.input_spec.residual
    expected = (seen - seen.mean()) / seen.std() * 3 * clean.std() + 3 * clean.mean() - 100
    assert rmse(napari_unet.predict(model, seen), expected) < 0.05 * 3 * clean.std()
    for goal, options in (
        (-clean, {}),
        (gaussian_filter(clean, 2), {}),
        (poisson(scene(64, 64, seed=5)), {}),
        (np.stack([clean, clean]), {}),
        (clean, {"readout": "softplus"}),
    ):
        other = open_image_task("restore", seen, goal, 2, RestoreOptions(**options))
        assert not other.dataset.input_spec.residual
    older = replace(model, input_spec=replace(model.input_spec, residual=""))
    for start in (model, older):
        again = open_image_task("restore", seen, clean, 2, RestoreOptions(), start)
        assert again.dataset.input_spec == start.input_spec


def test_holes_are_filled_better_than_by_the_mean_and_the_rest_is_untouched():
    clean = scene(4, 96, 96, smooth=(1, 4, 4)).astype(np.float32)
    mask = np.zeros(clean.shape, np.uint8)
    mask[:, :, 30:34] = mask[:, 60:64] = 1
    spoilt = np.where(mask, 9999, clean).astype(np.float32)
    model = napari_unet.fit(spoilt, mask, task="inpaint", planes=3, **HOLES)
    found = napari_unet.predict(model, spoilt, mask=mask)
    assert np.array_equal(found[mask == 0], clean[mask == 0])
    hole = mask == 1
    assert rmse(found[hole], clean[hole]) < 0.3 * rmse(clean[hole], clean.mean())
    with pytest.raises(InputError, match="No pixel is missing"):
        napari_unet.fit(clean, np.zeros_like(mask), task="inpaint", **SMALL)


def test_of_several_images_each_may_have_a_mask_or_none():
    whole = scene(64, 64).astype(np.float32)
    mask = np.zeros(whole.shape, np.uint8)
    mask[30:34] = 1
    gaps = np.where(mask, np.nan, whole)
    once = {**SMALL, "steps": 2, "task": "inpaint"}
    model = napari_unet.fit([whole, gaps[:48]], [mask, None], **once)
    assert np.isfinite(napari_unet.predict(model, gaps)).all()
    with pytest.raises(InputError, match="needs its target or mask"):
        napari_unet.fit([whole, whole], [whole, None], task="restore", **SMALL)


def test_what_is_filled_in_begins_with_a_smooth_filling():
    image = scene(160, 160, smooth=(4, 4)).astype(np.float32)
    image[30:34] = np.nan
    once = {**SMALL, "steps": 1, "learning_rate": 1e-9}
    model = napari_unet.fit(image, task="inpaint", **once)
    assert model.input_spec.residual
    found = napari_unet.predict(model, image)
    between = np.linspace(image[29], image[34], 6)[1:-1]
    assert rmse(found[30:34], between) < 0.3 * np.nanstd(image)
    tiled = napari_unet.predict(model, image, tile=(104, 120))
    assert np.allclose(tiled, found, atol=1e-3)


def test_a_network_that_is_never_negative_and_an_older_model_fill_in_by_themselves():
    image = scene(64, 64).astype(np.float32)
    image[30:34] = np.nan
    once = {"steps": 1, "batch_size": 2, "threads": 1, "task": "inpaint"}
    network = napari_unet.preset("sinogram2019", in_channels=2)
    softplus = napari_unet.fit(image, network=network, **once)
    assert not softplus.input_spec.residual
    older = napari_unet.fit(image, start=softplus, **once)
    assert not older.input_spec.residual


def test_the_same_seed_gives_the_same_weights():
    noisy = poisson(scene(64, 64))
    one, two, other = (
        napari_unet.fit(noisy, task="denoise", seed=s, **{**SMALL, "steps": 5}) for s in (3, 3, 4)
    )
    assert one.digest == two.digest != other.digest


def test_several_images_and_going_on_from_a_model():
    images = [poisson(scene(64, 64)), poisson(scene(80, 72, seed=4))]
    model = napari_unet.fit(images, task="denoise", **{**SMALL, "steps": 5})
    more = napari_unet.fit(images[1], task="denoise", start=model, **{**SMALL, "steps": 5})
    assert more.training["continued_from"] == model.digest
    with pytest.raises(InputError, match="start from does not fit"):
        napari_unet.fit(images[0], images[0], task="restore", start=model, **SMALL)


# ---------------------------------------------------------------- what is told


def test_what_is_held_out_is_judged_and_never_learned_from():
    learner = open_image_task("denoise", poisson(scene(96, 96)), None, 2, DenoiseOptions())
    random, lesson = np.random.default_rng(0), learner.dataset
    for place in learner._validation_locations:
        drawn = [lesson.example(place, random, validation=False).weights for _ in range(30)]
        judged = lesson.example(place, random, validation=True).weights
        assert judged.any()
        assert not (np.any(drawn, axis=0) & (judged > 0)).any()


def test_the_events_of_a_training():
    control = Control()
    control.look(Viewport((), Region((0, 8), (40, 48))))
    noisy = poisson(scene(96, 96))
    events = []
    for event in napari_unet.train(noisy, task="denoise", control=control, **SMALL):
        events.append(event)
        if isinstance(event, PreviewedImage):
            assert event.image.shape == (1, 40, 40)
            assert 20 < event.image.mean() < 120  # in units
    kinds = [type(e) for e in events]
    assert kinds[:2] == [Preparing, Started]
    assert kinds[-1] is Finished
    assert PreviewedImage in kinds
    assert len(said(events, Decision)) == 1
    model = events[-1].model
    assert model.training["why"] == said(events, Decision)[0]
    assert (model.task, model.classes) == ("denoise", ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "sharpen"}, "no such task"),
        ({"labels": np.ones((64, 64))}, "noisy images alone"),
        ({"task": "restore"}, "nothing to train on"),
        ({"task": "restore", "labels": np.ones((64, 60))}, "differ in shape"),
        ({"task": "inpaint", "labels": np.ones((60, 64))}, "differ in shape"),
        ({"task": "segment"}, "no labels to train on"),
        ({"planes": 2}, "odd"),
        ({"planes": 3}, "single image"),
        ({"wrap": ("z",)}, "can be periodic"),
        ({"task": "restore", "labels": np.ones((64, 64)), "loss": {"l3": 1}}, "loss"),
        ({"task": "restore", "labels": np.ones((64, 64)), "loss": {}}, "at least one loss"),
        ({"method": "magic"}, "method"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        napari_unet.fit(poisson(scene(64, 64)), **{"task": "denoise", **SMALL, **given})
