"""The trust panel tells a planted structure from honest denoising, and shows where it is."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from scipy.ndimage import gaussian_filter

from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.layers.view import MOST, PredictionPair, find_plane
from napari_unet.widgets.predict.quality import (
    RESIDUAL_SIGMAS,
    QualityChecks,
    ReferencePanel,
    ResidualPanel,
    compare,
)

SIDE = 128
FLAT = AxisLayout((), None, (0, 1))
STACK = AxisLayout((0,), None, (1, 2))
HALLUCINATION = (slice(60, 68), slice(40, 48))


def scene(planes=1, seed=0):
    """Return a smooth picture of few photons, and the same without noise."""
    random = np.random.default_rng(seed)
    rough = [gaussian_filter(random.normal(size=(SIDE, SIDE)), 12) for _ in range(planes)]
    clean = np.array([60 + 400 * plane for plane in rough]).clip(15)
    return random.poisson(clean).astype(np.float32), clean.astype(np.float32)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def panel(viewer, qtbot):
    panel = ResidualPanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    yield panel
    panel.release()


@pytest.fixture
def reference(viewer, qtbot):
    panel = ReferencePanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    yield panel
    panel.release()


def opened(viewer, noisy, denoised, layout, **arguments):
    layers = [viewer.add_image(x, **arguments) for x in (noisy, denoised)]
    layers[0].name, layers[1].name = "p", "p – denoised"
    return PredictionPair(*layers, layout)


def idle(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.runner.running, timeout=30_000)


def analysed(qtbot, panel, subject):
    panel.set_result(subject)
    idle(qtbot, panel)
    return panel.verdict.text()


def layer_called(viewer, name):
    return next((layer for layer in viewer.layers if layer.name == name), None)


def test_honest_denoising_is_good(viewer, panel, qtbot):
    noisy, clean = scene()
    text = analysed(qtbot, panel, opened(viewer, noisy[0], clean[0], FLAT))
    assert text.startswith("Good.\n")
    assert panel.verdict.property("kind") == "info"
    assert not panel.where.isEnabled()
    assert panel.facts["Unsupported"].text() == "0.00% of the places"
    before, after = panel.report.sigma_before, panel.report.sigma_after
    assert before == pytest.approx(np.sqrt(clean.mean()), rel=0.1)
    assert after < 0.1 * before


def test_weakened_detail_is_not_called_good(viewer, panel, qtbot):
    rough = np.random.default_rng(1).normal(size=(SIDE, SIDE))
    truth = (60 + 150 * gaussian_filter(rough, 2)).clip(15)
    noisy = np.random.default_rng(2).poisson(truth).astype(np.float32)
    weak = gaussian_filter(truth, 0.7).astype(np.float32)
    text = analysed(qtbot, panel, opened(viewer, noisy, weak, FLAT))
    correlation = panel.facts["Correlation"]
    assert panel.report.signal_correlation > 0.2
    assert text.startswith("Caution.\n")
    assert "weaker than they should be" in text
    assert panel.verdict.property("kind") == "warning"
    assert correlation.property("unet") == "caution"
    assert "weaker than they should be" in correlation.toolTip()
    assert panel.facts["Residual"].property("unet") == "good"
    assert panel.facts["Residual"].toolTip().endswith("It is good here.")


def test_a_planted_structure_is_found_told_and_shown(viewer, panel, qtbot):
    noisy, clean = scene()
    made_up = clean[0].copy()
    made_up[HALLUCINATION] += 40
    where = {"scale": (0.5, 0.25), "translate": (10, 20), "units": ("um", "um")}
    subject = opened(viewer, noisy[0], made_up, FLAT, **where)
    text = analysed(qtbot, panel, subject)
    assert text.startswith("Do not rely on this result as it is.\n")
    assert panel.verdict.property("kind") == "error"
    panel.where.click()
    heat = layer_called(viewer, "p – unsupported")
    assert heat.blending == "additive"
    assert "contradicts" in heat.metadata[RESULT]["notes"][0]
    assert np.allclose(heat.scale, subject.image.scale)
    assert np.allclose(heat.translate, subject.image.translate)
    assert (heat.data[HALLUCINATION] > 1).mean() > 0.5
    far = np.ones((SIDE, SIDE), bool)
    far[50:78, 30:58] = False
    assert not heat.data[far].any()
    assert viewer.layers.index(heat) == viewer.layers.index(subject.result) + 1
    panel.where.click()
    assert len(viewer.layers) == 3


def test_what_was_taken_away_is_computed_where_it_is_looked_at(viewer, panel, qtbot):
    noisy, clean = scene(3)
    subject = opened(viewer, noisy, clean, STACK, scale=(4, 2, 2))
    analysed(qtbot, panel, subject)
    panel.residual.click()
    layer = layer_called(viewer, "p – removed")
    assert layer.data.shape == noisy.shape
    assert not isinstance(layer.data, np.ndarray)
    assert np.allclose(np.asarray(layer.data), noisy - clean, atol=1e-4)
    assert np.allclose(layer.data[1, 3:5], (noisy - clean)[1, 3:5], atol=1e-4)
    low, high = layer.contrast_limits
    assert high == -low == pytest.approx(RESIDUAL_SIGMAS * panel.report.sigma_before)
    assert tuple(layer.scale) == (4, 2, 2)


def test_another_plane_is_analysed_when_it_is_asked_for(viewer, panel, qtbot):
    noisy, clean = scene(3)
    clean[2][HALLUCINATION] += 40
    subject = opened(viewer, noisy, clean, STACK, scale=(4, 2, 2), axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 0)
    assert analysed(qtbot, panel, subject).startswith("Good.")
    assert panel.line.text() == "Analysed: z 0, 128 × 128 pixels."
    assert panel.again.isHidden()
    viewer.dims.set_current_step(0, 2)
    assert not panel.again.isHidden()
    panel.again.click()
    idle(qtbot, panel)
    assert panel.verdict.text().startswith("Do not rely")
    assert panel.line.text().startswith("Analysed: z 2")
    assert panel.again.isHidden()
    panel.where.click()
    heat = layer_called(viewer, "p – unsupported")
    assert heat.data.shape == (1, SIDE, SIDE)
    assert heat.translate[0] == 8


def test_of_colours_the_mean_is_analysed(viewer, panel, qtbot):
    noisy, clean = (np.moveaxis(x, 0, -1) for x in scene(3))
    subject = opened(viewer, noisy / 255, clean / 255, AxisLayout((), 2, (0, 1)), rgb=True)
    assert "mean of the colours" not in panel.line.text()
    analysed(qtbot, panel, subject)
    assert "mean of the colours" in panel.line.text()
    panel.residual.click()
    residual = np.asarray(layer_called(viewer, "p – removed").data)
    assert np.allclose(residual, ((noisy - clean) / 255).mean(-1), atol=1e-6)


def test_what_cannot_be_analysed_is_said(viewer, panel, qtbot):
    tiny = np.random.default_rng(0).normal(size=(2, 8, 8))
    text = analysed(qtbot, panel, opened(viewer, *tiny, FLAT))
    assert text.startswith("This plane cannot be analysed")
    assert panel.where.isHidden()


@pytest.mark.parametrize("which", ["image", "result"])
def test_a_layer_that_is_removed_is_analysed_no_longer(viewer, qtbot, which):
    checks = QualityChecks(viewer)
    qtbot.addWidget(checks)
    checks.show()
    noisy, clean = scene()
    subject = opened(viewer, noisy[0], clean[0], FLAT)
    checks.set_result(subject, task="denoise", complete=True)
    assert not checks.residual_section.isHidden()
    assert not checks.reference_section.isHidden()
    viewer.layers.remove(getattr(subject, which))
    idle(qtbot, checks.residual)
    assert checks.residual.report is None
    assert checks.residual_section.isHidden()
    assert checks.reference_section.isHidden()
    checks.release()


def test_a_later_result_is_analysed_though_an_earlier_one_is_being_so(viewer, panel, qtbot):
    noisy, clean = scene()
    wrong = clean[0].copy()
    wrong[HALLUCINATION] += 40
    panel.set_result(opened(viewer, noisy[0], wrong, FLAT))
    panel.set_result(opened(viewer, noisy[0], clean[0], FLAT))
    qtbot.waitUntil(lambda: panel.report is not None, timeout=30_000)
    idle(qtbot, panel)
    assert panel.verdict.text().startswith("Good.")


def test_of_a_large_plane_the_middle_of_the_view_is_analysed(viewer):
    image = viewer.add_image(np.zeros((40, MOST + 500), np.uint8), contrast_limits=(0, 1))
    viewer.scene.camera.center = (0, 20, MOST + 400)
    plane = find_plane(viewer, image, FLAT)
    assert (plane.start, plane.size) == ((0, 500), (40, MOST))
    viewer.scene.camera.center = (0, 20, 600)
    assert find_plane(viewer, image, FLAT).start == (0, 600 - MOST // 2)


def test_a_reference_is_measured_against_and_its_range_stated(viewer, reference, qtbot):
    noisy, clean = scene()
    subject = opened(viewer, noisy[0], gaussian_filter(noisy[0], 2), FLAT)
    truth = viewer.add_image(clean[0], name="truth")
    reference.set_result(subject)
    assert not reference.measure.isEnabled()
    reference.layer.set_layer(truth)
    reference.measure.click()
    qtbot.waitUntil(lambda: reference.line.text() != "", timeout=30_000)
    span = float(np.ptp(clean))
    expected = 10 * np.log10(span**2 / np.mean((clean[0] - subject.result.data) ** 2))
    assert f"PSNR {expected:.2f} dB (input " in reference.line.text()
    assert f"for a data range of {span:.6g}; 128 × 128 pixels." in reference.line.text()
    idle(qtbot, reference)
    reference.range.setValue(510.0)
    assert reference.line.text() == ""
    reference.measure.click()
    qtbot.waitUntil(lambda: "for a data range of 510;" in reference.line.text(), timeout=30_000)


def test_the_noisy_input_is_no_reference(viewer, reference, qtbot):
    noisy, clean = scene()
    subject = opened(viewer, noisy[0], clean[0], FLAT)
    twin = viewer.add_image(noisy[0].copy(), name="copy of the input")
    reference.set_result(subject)
    for layer in (subject.image, twin):
        reference.layer.set_layer(layer)
        reference.measure.click()
        qtbot.waitUntil(lambda: reference.notice.text() != "", timeout=30_000)
        idle(qtbot, reference)
        assert reference.notice.text().startswith("The input cannot be the reference")
        assert reference.line.text() == ""
    reference.layer.set_layer(subject.result)
    reference.measure.click()
    assert reference.notice.text().startswith("The result cannot be its own reference")


def test_a_reference_of_another_shape_is_refused(viewer, reference):
    noisy, clean = scene()
    reference.set_result(opened(viewer, noisy[0], clean[0], FLAT))
    reference.layer.set_layer(viewer.add_image(np.ones((20, 20)), name="small"))
    reference.measure.click()
    assert "must have the same shape" in reference.notice.text()


def test_bytes_have_a_range_of_255_and_others_what_they_span():
    clean = np.random.default_rng(0).integers(10, 90, (32, 32)).astype(np.uint8)
    result, given = clean + 1, clean + 2
    like = compare(clean, result, given)
    assert like.result.data_range == like.given.data_range == 255
    ratios = (like.result.psnr, like.given.psnr)
    assert ratios == pytest.approx((20 * np.log10(255), 20 * np.log10(255 / 2)))
    assert like.result.ssim > like.given.ssim
    assert compare(clean.astype(np.uint16), result, given).result.data_range == np.ptp(clean)
    flat = np.full((32, 32), 7.0)
    with pytest.raises(InputError, match="larger than 0"):
        compare(flat, flat + 1, flat + 2)
    with pytest.raises(InputError, match="too small"):
        compare(clean[:8], result[:8], given[:8])
