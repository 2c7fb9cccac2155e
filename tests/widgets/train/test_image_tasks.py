"""Training to denoise, restore and fill in, from the panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet.control import Previewed, PreviewedImage, Viewport
from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout
from napari_unet.geometry.region import Region
from napari_unet.tasks.images.options import DenoiseOptions
from napari_unet.training.advice import Adviser
from napari_unet.training.events import (
    Decision,
    Finished,
    Snapshot,
    Started,
    Stepped,
    Validated,
    Warned,
)
from napari_unet.widgets.forms.model_form import WeightsEdit
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.train.live_preview import LivePreview
from tests.runs.states import model as toy_model
from tests.widgets.train.test_page import fake_training, started

FLAT = AxisLayout((), None, (0, 1))


def noisy(shape=(64, 64)):
    rng = np.random.default_rng(0)
    clean = 40 + 30 * np.sin(np.linspace(0, 9, shape[-1])) * np.ones(shape)
    return rng.normal(clean, 10).astype(np.float32)


@pytest.fixture
def page(room):
    return room.panel.train


def choose(room, task, steps=3):
    room.panel.train.tasks.choice.setValue(task)
    form = room.form
    form.net_size.setValue("small")
    form.budget.setValue({"steps": steps})
    return form


def images_started():
    return started(class_names=(), counts=(), class_values=())


def record(monkeypatch, events=()):
    return fake_training(monkeypatch, lambda control: iter(events))


def test_a_task_is_chosen_first_and_brings_its_form(room, page):
    layer = room.viewer.add_image(noisy(), name="picture")
    room.viewer.add_image(noisy(), name="above")
    assert page.form is page.tasks.segment
    page.form.image.set_layer(layer)
    for task in ("denoise", "restore", "inpaint"):
        page.tasks.choice.setValue(task)
        assert page.form.task == task
        assert page.form.image.layer() is layer
        assert page.tasks.segment.isHidden()
        assert not page.form.isHidden()
        assert page.tasks.about.text()
    page.tasks.choice.setValue("segment")
    assert not page.tasks.segment.isHidden()
    tops = [w.mapTo(page, w.rect().topLeft()).y() for w in (page.tasks.choice, page.form)]
    assert tops[0] < tops[1]


def test_what_is_asked_to_denoise(room, page, monkeypatch):
    calls = record(monkeypatch)
    layer = room.viewer.add_image(noisy((3, 64, 64)), name="picture", scale=(5, 2, 3))
    form = choose(room, "denoise")
    form.ndim.setValue(3)
    form.method.setValue("lines_x")
    room.click(page.footer.train)
    room.idle()
    (call,) = calls
    assert call.pop("image") is layer.data
    assert call.pop("labels") is None
    assert call.pop("options") == DenoiseOptions(
        method="lines_x",
        steps=3,
        size="small",
        spacing=(5, 2, 3),
        axes=layer.axis_labels,
        make_way=True,
        keep_history=True,
    )
    assert [[origin.name for origin in pair] for pair in call.pop("sources")] == [["picture"]]
    assert call == {"task": "denoise", "ndim": 3, "start": None, "runs": None, "tensorboard": False}


def test_restoring_learns_from_all_pairs_and_shows_the_one_that_is_selected(room, page, notes):
    for name, shape in (("a", (64, 64)), ("b", (48, 80))):
        room.viewer.add_image(noisy(shape), name=name)
        room.viewer.add_image(noisy(shape) * 2, name=f"{name} good")
    layers = room.viewer.layers
    form = choose(room, "restore", steps=4)
    form.image.set_layer(layers["a"])
    form.other.set_layer(layers["a good"])
    assert form.pairs_section.button.text() == "▸ More pairs of images"
    row = form.pairs.add()
    assert row.image.layer() not in (layers["a"], layers["a good"])
    row.image.set_layer(layers["b"])
    row.other.set_layer(layers["b good"])
    assert form.pairs_section.button.text() == "▸ More pairs of images (1)"
    layers.selection.active = layers["a"]
    room.click(page.footer.train)
    room.idle()
    assert [text for kind, text in notes if kind == "error"] == []
    (named,) = room.panel.session.models
    names = [[origin["name"] for origin in pair] for pair in named.model.training["sources"]]
    assert names == [["a", "a good"], ["b", "b good"]]
    layers.selection.active = layers["b"]
    room.wait(lambda: any(x.name == "b – preview" for x in layers))
    room.wait(lambda: not page.live.model_preview.runner.running)
    assert layers["b – preview"].data.shape == (48, 80)
    for nothing in (None, layers["b"]):
        row.other.setCurrentIndex(-1) if nothing is None else row.other.set_layer(nothing)
        with pytest.raises(InputError, match="Pair 2 has no target"):
            form.request()


def test_denoising_takes_further_images_and_filling_in_may_go_without_a_mask(room):
    gaps = noisy()
    gaps[20:24] = np.nan
    first, second = (room.viewer.add_image(gaps, name=name) for name in "ab")
    form = choose(room, "denoise")
    form.image.set_layer(first)
    assert form.pairs_section.button.text() == "▸ More images"
    form.pairs.add()
    assert form.layers() == [(first, None), (second, None)]
    assert [picture.name for picture, _ in form.request().pairs] == ["a", "b"]
    room.viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="colours")
    form.pairs.rows[0].image.set_layer(room.viewer.layers["colours"])
    with pytest.raises(InputError, match="Image 2 has other channels than image 1"):
        form.request()
    form = choose(room, "inpaint")
    form.image.set_layer(first)
    row = form.pairs.add()
    row.image.set_layer(second)
    assert row.layers() == (second, None)
    assert [other for _, other in form.request().pairs] == [None, None]
    mask = room.viewer.add_labels((~np.isfinite(gaps)).astype(np.uint8))
    row.other.set_layer(mask)
    request = form.request()
    assert (request.mask(0), request.mask(1) is None) == (None, False)


def test_likeness_to_the_good_image_is_said(room, page, monkeypatch):
    scores = Validated(3, 0.1, "loss", (), 12_345, psnr=31.24)
    record(monkeypatch, [images_started(), Stepped(3, 1.0, 1e-3, 5.0, 5.0, 0.5), scores])
    room.viewer.add_image(noisy(), name="picture")
    room.viewer.add_image(noisy(), name="good")
    choose(room, "restore")
    room.click(page.footer.train)
    room.idle()
    page.footer.show_step(Stepped(4, 1.0, 1e-3, 5.0, 5.0, 0.5), "CPU", page.progress.scores)
    assert page.footer.line.text() == "step 4 · 0:05 elapsed · 0:05 left · PSNR 31.2 dB · CPU"
    page.footer.show_finished(Finished(None, "no gain", 4, 9.0), page.progress.scores)
    assert page.footer.summary.text() == (
        "Trained for 4 steps, 9.0 s, no further improvement. "
        "PSNR 31.2 dB on 12,345 held-out pixels."
    )
    assert page.progress.board.isHidden()


def test_denoising_for_real(room, page, notes):
    layer = room.viewer.add_image(noisy(), name="picture", scale=(2, 3), units=("um", "um"))
    layer.contrast_limits = (10, 90)
    choose(room, "denoise", steps=4)
    room.click(page.footer.train)
    room.idle()
    assert [text for kind, text in notes if kind == "error"] == []
    (named,) = room.panel.session.models
    assert named.model.task == "denoise"
    assert [s["name"] for pair in named.model.training["sources"] for s in pair] == ["picture"]
    assert page.progress.plot.training.size == 4
    assert "Trained for 4 steps" in page.footer.summary.text()
    for hidden in (page.progress.board, page.live.bar.unsure, page.live.suggestions.button):
        assert hidden.isHidden()
    room.wait(
        lambda: page.live.preview.output_layer is not None
    )  # of the finished model, if not before
    room.wait(lambda: not page.live.model_preview.runner.running)
    shown = page.live.preview.output_layer
    assert shown.name == "picture – preview"
    assert RESULT in shown.metadata
    assert np.array_equal(shown.scale, layer.scale)
    assert shown.units == layer.units
    assert shown.contrast_limits == [10, 90]
    assert np.isfinite(shown.data).all()
    assert abs(float(shown.data.mean()) - float(layer.data.mean())) < 20
    assert page.notice.text()  # which method was chosen
    assert not page.live.compare.isHidden()


def test_a_moment_of_the_past_is_shown_by_its_model(room, page):
    room.viewer.add_image(noisy(), name="picture")
    choose(room, "denoise", steps=2)
    room.click(page.footer.train)
    room.idle()
    room.wait(
        lambda: (
            page.live.preview.output_layer is not None
            and not page.live.model_preview.runner.running
        )
    )
    page.live.preview.output_layer.data[:] = 0
    page.live.show_moment(Snapshot(1, 0.1, page.training.model.model))
    room.wait(lambda: page.live.preview.output_layer.data.any())
    room.wait(lambda: not page.live.model_preview.runner.running)


def test_what_is_asked_to_restore(room, page, monkeypatch, notes):
    calls = record(monkeypatch)
    layer = room.viewer.add_image(noisy(), name="picture")
    form = choose(room, "restore")
    assert form.other.layer() is None
    room.click(page.footer.train)
    assert "There is no target" in page.notice.text()
    room.viewer.add_image(np.zeros((5, 5)), name="other")
    good = room.viewer.add_image(noisy() / 2, name="good")
    assert form.image.layer() is layer
    form.other.set_layer(good)
    assert form.other.findText("picture") < 0  # an image is no target for itself
    room.click(page.footer.train)
    room.idle()
    (call,) = calls
    assert (call["image"] is layer.data, call["labels"] is good.data) == (True, True)
    assert call["task"] == "restore"
    form.image.set_layer(good)
    assert form.other.layer() is layer


def test_a_target_that_fits_is_chosen_by_itself(room, page):
    room.viewer.add_image(np.zeros((5, 5)), name="other")
    good = room.viewer.add_image(noisy(), name="good")
    layer = room.viewer.add_image(noisy(), name="picture")
    form = choose(room, "restore")
    assert form.image.layer() is not None
    form.image.set_layer(layer)
    assert form.other.layer() is good


def test_restoring_and_filling_in_for_real(room, page, notes):
    image, mask = noisy(), np.zeros((64, 64), np.uint8)
    mask[20:30, 20:30] = 1
    layer = room.viewer.add_image(image, name="picture")
    good = room.viewer.add_image(image / 100, name="good")
    missing = room.viewer.add_labels(mask, name="missing")
    form = choose(room, "restore", steps=2)
    form.image.set_layer(layer)
    form.other.set_layer(good)
    room.click(page.footer.train)
    room.idle()
    room.wait(
        lambda: (
            page.live.preview.output_layer is not None
            and not page.live.model_preview.runner.running
        )
    )
    assert page.live.preview.output_layer.contrast_limits == good.contrast_limits
    form = choose(room, "inpaint", steps=2)
    assert form.image.layer() is layer
    assert form.other.layer() is None  # floats may be NaN
    form.other.set_layer(missing)
    room.click(page.footer.train)
    room.idle()
    assert [m.model.task for m in room.panel.session.models] == ["restore", "inpaint"]
    room.wait(
        lambda: (
            page.live.preview.output_layer is not None
            and not page.live.model_preview.runner.running
        )
    )
    shown = page.live.preview.output_layer
    assert shown.contrast_limits == layer.contrast_limits
    assert np.allclose(shown.data[mask == 0], image[mask == 0])
    assert not np.allclose(shown.data[mask == 1], image[mask == 1])
    assert [text for kind, text in notes if kind == "error"] == []


def test_integers_cannot_be_nan_so_a_mask_is_chosen(room, page):
    room.viewer.add_image(np.zeros((64, 64), np.uint16), name="picture")
    missing = room.viewer.add_labels(np.zeros((64, 64), np.uint8), name="missing")
    assert choose(room, "inpaint").other.layer() is missing


def test_decisions_are_told_as_information(room, page, monkeypatch):
    room.viewer.add_image(noisy(), name="picture")
    record(monkeypatch, [images_started(), Decision("Blind spots, for the noise is alike.")])
    choose(room, "denoise")
    room.click(page.footer.train)
    room.idle()
    assert page.notice.text() == "Blind spots, for the noise is alike."
    assert page.notice.kind("training") == "info"
    page._show_event(Warned("Few pixels."))
    page._show_event(Decision("All is well."))
    assert page.notice.kind("training") == "warning"
    assert len(page.notice.text().splitlines()) == 3


def test_validation_without_scores_leaves_the_board_away(room, page, monkeypatch):
    room.viewer.add_image(noisy(), name="picture")
    record(monkeypatch, [images_started(), Validated(3, 0.5, "loss", (), 1240)])
    choose(room, "denoise")
    room.click(page.footer.train)
    room.idle()
    assert page.progress.board.isHidden()
    assert page.progress.plot.validation.size == 1


def learned(task, step=3):
    """Return the events of a training that was told to end."""
    made = replace(toy_model(steps=step), task=task)
    losses = [Stepped(k, 1.0, 1e-3, float(k), None, None) for k in range(1, step + 1)]
    return [images_started(), *losses, Finished(made, "budget", step, 9.0)]


def test_each_task_keeps_its_own_plot_and_model(room, page, monkeypatch):
    room.viewer.add_image(noisy(), name="picture")
    room.viewer.add_image(noisy(), name="good")
    shown = {}
    for task, step in (("denoise", 3), ("restore", 5)):
        record(monkeypatch, learned(task, step))
        choose(room, task)
        assert page.progress.isHidden()
        assert page.footer.save.isHidden()
        assert page.footer.train.text() == "Train"
        room.click(page.footer.train)
        room.idle()
        shown[task] = page.footer.summary.text(), page.training.model
    for task, step in (("denoise", 3), ("restore", 5), ("denoise", 3)):
        choose(room, task)
        assert not page.progress.isHidden()
        assert page.progress.plot.training.size == step
        assert (page.footer.summary.text(), page.training.model) == shown[task]
        assert page.footer.train.text() == "Train again"
        assert not page.footer.save.isHidden()
        assert sum(not each.isHidden() for each in page._progress_of.values()) == 1
    choose(room, "inpaint")
    assert page.progress.isHidden()
    assert page.footer.save.isHidden()
    assert page.live.bar.isHidden()


def test_a_training_that_fails_to_start_leaves_what_was_there(room, page, monkeypatch, notes):
    room.viewer.add_image(noisy(), name="picture")
    record(monkeypatch, learned("denoise"))
    choose(room, "denoise")
    room.click(page.footer.train)
    room.idle()
    before = page.footer.summary.text(), page.training.model

    def refuse(control):
        raise InputError("No")

    fake_training(monkeypatch, refuse)
    room.click(page.footer.train)
    room.idle()
    assert page.notice.text() == "No."
    assert not page.progress.isHidden()
    assert page.progress.plot.training.size == 3
    assert (page.footer.summary.text(), page.training.model) == before
    assert not page.footer.save.isHidden()
    assert page.footer.train.text() == "Train again"


def test_only_models_of_the_task_can_be_started_from(room, page, tmp_path):
    room.viewer.add_image(noisy(), name="picture")
    form = choose(room, "denoise", steps=1)
    room.click(page.footer.train)
    room.idle()
    (named,) = room.panel.session.models
    form.start.setValue(named)
    assert form.request().start is named.model
    assert form.request().options.learning_rate == 0.0015
    assert page.tasks.segment.start.count() == 2
    assert form.start.count() == 3
    failed = []
    page.tasks.segment.start.failed.connect(failed.append)
    page.tasks.segment.start.open_file(str(named.model.save(tmp_path / "m")))
    room.wait(lambda: failed)
    assert isinstance(failed[0], InputError)
    assert page.tasks.segment.start.value() is None


def test_losses_have_weights_in_the_advanced_settings(room, page):
    room.viewer.add_image(noisy(), name="good")
    room.viewer.add_image(noisy(), name="picture")
    form = choose(room, "restore")
    assert form.request().options.loss == {"l1": 1.0}
    losses = form.advanced.form.editors["loss"]
    losses.editors["ms_ssim"].setValue(0.2)
    assert form.request().options.loss == {"l1": 1.0, "ms_ssim": 0.2}
    losses.setValue({})
    with pytest.raises(InputError, match="at least one loss"):
        form.request()


def test_weights_of_zero_are_none():
    edit = WeightsEdit(("a", "b"))
    edit.setValue({"b": 2.0})
    assert edit.value() == {"b": 2.0}
    edit.deleteLater()


@pytest.mark.parametrize("task", ["denoise", "restore", "inpaint"])
def test_the_network_that_follows_is_shown(room, page, task):
    room.viewer.add_image(noisy(), name="good")
    room.viewer.add_image(noisy(), name="picture")
    form = choose(room, task)
    network = form.request().plan().network
    assert (network.in_channels, network.out_channels) == (1 + (task == "inpaint"), 1)
    room.click(form.advanced_section.button)
    room.wait(lambda: form.advanced.network.table.rowCount() > 5)
    room.wait(lambda: not form.advanced._planner.running)


# What is shown


def shown(room, image, layout, channels=1, region=None, index=(), like=None, value=5.0):
    preview = LivePreview(room.viewer, room.panel)
    preview.begin(image, layout, lambda _: None, reference=like or image)
    view = Viewport(index, region or Region((10, 20), (30, 50)))
    pixels = (
        np.full((channels, *view.region.shape), value)
        + np.arange(channels)[:, *[None] * len(view.region.shape)]
    )
    preview.show(PreviewedImage(1, view, pixels), {})
    preview.end()
    return preview


def test_the_preview_covers_what_was_looked_at_and_nothing_else(room):
    image = room.viewer.add_image(
        noisy(), name="picture", scale=(2, 0.5), translate=(7, 9), rotate=30, colormap="magma"
    )
    labels = room.viewer.add_labels(np.zeros((64, 64), np.uint8))
    preview = shown(room, image, FLAT)
    layer = preview.output_layer
    assert room.viewer.layers.index(layer) == room.viewer.layers.index(image) + 1
    assert room.viewer.layers.selection.active is labels
    for name in ("scale", "translate", "rotate"):
        assert np.array_equal(getattr(layer, name), getattr(image, name))
    assert (layer.data[10:30, 20:50] == 5).all()
    assert np.isnan(layer.data).sum() == 64 * 64 - 600
    assert layer.colormap.name == "magma"
    image.contrast_limits = (1, 2)
    assert layer.contrast_limits == [1, 2]  # they are linked


def test_all_channels_are_shown_where_the_image_has_them(room):
    data = np.zeros((4, 2, 64, 64), np.float32)
    image = room.viewer.add_image(data, name="picture")
    layout = AxisLayout((0,), 1, (2, 3))
    layer = shown(room, image, layout, channels=2, index=(3,)).output_layer
    assert layer.data.shape == data.shape
    assert (layer.data[3, 0, 10:30, 20:50] == 5).all()
    assert (layer.data[3, 1, 10:30, 20:50] == 6).all()
    assert np.isnan(layer.data[:3]).all()


def test_channels_may_come_last(room):
    image = room.viewer.add_image(np.zeros((64, 64, 2), np.float32), name="picture", rgb=False)
    room.viewer.dims.order = (2, 0, 1)
    layer = shown(room, image, AxisLayout((), 2, (0, 1)), channels=2).output_layer
    assert layer.data.shape == (64, 64, 2)
    assert (layer.data[10:30, 20:50] == (5, 6)).all()


def test_of_other_channels_the_first_is_shown(room):
    image = room.viewer.add_image(np.zeros((2, 64, 64), np.float32), name="picture")
    layer = shown(room, image, AxisLayout((), 0, (1, 2)), channels=3).output_layer
    assert layer.data.shape == (64, 64)
    assert (layer.data[10:30, 20:50] == 5).all()


def test_colours_stay_colours(room):
    image = room.viewer.add_image(np.zeros((64, 64, 3), np.uint8), name="picture")
    layer = shown(room, image, AxisLayout((), 2, (0, 1)), channels=3, value=254.4).output_layer
    assert layer.rgb
    assert layer.data[10:30, 20:50].reshape(-1, 4).tolist() == [[254, 255, 255, 255]] * 600
    assert not layer.data[:10].any()  # transparent


def test_a_plane_never_looked_at_is_transparent_and_nobody_complains(room):
    image = room.viewer.add_image(noisy((4, 64, 64)), name="picture")
    preview = shown(room, image, AxisLayout((0,), None, (1, 2)), index=(1,))
    for plane in (0, 1, 3):
        room.viewer.dims.set_current_step(0, plane)
        preview.output_layer.reset_contrast_limits()
        preview.output_layer.refresh()
    assert np.isnan(preview.output_layer.data[3]).all()


def test_images_and_labels_take_turns_upon_the_same_image(room):
    image = room.viewer.add_image(noisy(), name="picture")
    preview = shown(room, image, FLAT)
    view = Viewport((), Region((10, 20), (30, 50)))
    preview.begin(image, FLAT, lambda _: None)
    said = np.ones((20, 30), np.uint8)
    preview.show(Previewed(1, view, said, said.astype(np.float32)), {1: (1.0, 0.0, 0.0, 1.0)})
    assert (preview.output_layer.visible, preview.layer.visible) == (False, True)
    preview.begin(image, FLAT, lambda _: None, reference=image)
    assert (preview.output_layer.visible, preview.layer.visible) == (False, False)
    preview.show(PreviewedImage(1, view, np.zeros((1, 20, 30), np.float32)), {})
    assert (preview.output_layer.visible, preview.layer.visible) == (True, False)
    preview.end()


# What is advised


def told(losses, seconds):
    """Return the advice of a training without end on images, with these validation losses."""
    adviser = Adviser()
    facts = adviser.feed(images_started())
    for step, loss in enumerate(losses, 1):
        at = 10 * step
        facts += adviser.feed(Stepped(at, 0.9, 1e-3, seconds * step / len(losses), None, None))
        facts += adviser.feed(Validated(at, loss, "loss", (), 1000))
    return facts


def test_advice_on_images_never_speaks_of_strokes():
    assert isinstance(images_started(), Started)
    (advice,) = told([0.5] * 200, 400)
    assert advice.key == "no gain"
    assert "stroke" not in advice.message


def test_a_small_gain_above_the_noise_counts():
    assert told(np.linspace(0.5, 0.48, 200), 400) == []
