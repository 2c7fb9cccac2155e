"""Refining a result: live on the plane in view, then everywhere, never over what was painted."""

from __future__ import annotations

from threading import Event, current_thread, main_thread

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_unet import RefineOptions, refine
from napari_unet.errors import InputError
from napari_unet.model import ClassInfo
from napari_unet.postprocessing import refine as core
from napari_unet.postprocessing.quantised import QuantisedProbabilities
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.predict import refine_layer
from napari_unet.widgets.predict.refine import RefinePanel
from napari_unet.widgets.predict.refine_layer import look_at
from tests.widgets.conftest import PATIENCE

CLASSES = (ClassInfo(2, "cell"), ClassInfo(5, "rest"))
VALUES = (2, 5)
COLORS = {None: "transparent", 0: "transparent", 2: "red", 5: "blue"}


def stack(planes=4, side=32):
    """Return the probabilities of two cells in each plane, and a speck in the first."""
    cells = np.full((planes, side, side), 0.1, np.float32)
    cells[:, 4:12, 4:12] = 0.9
    cells[:, 4:12, 18:28] = 0.6
    cells[0, 20, 20] = 0.8
    return np.stack([cells, 1 - cells])


def kept(probabilities):
    bytes_ = QuantisedProbabilities(probabilities.shape)
    bytes_[...] = probabilities
    return bytes_.array


class Bench:
    """A viewer, the panel, and a result in it."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        self.panel = RefinePanel(viewer)

    def open(self, probabilities, spatial_ndim=2, **more):
        labels = refine(probabilities, values=VALUES)
        layer = self.viewer.add_labels(
            labels.copy(),
            name="prediction",
            colormap=DirectLabelColormap(color_dict=COLORS),
            features={"index": [2, 5], "class": ["cell", "rest"]},
            metadata={RESULT: {"model": "abc"}},
            **more,
        )
        self.panel.set_result(layer, kept(probabilities), CLASSES, spatial_ndim)
        self.viewer.dims.set_current_step(0, 0)
        return layer, labels

    def set(self, **values):
        for name, value in values.items():
            self.panel.form.editors[name].setValue(value)

    def click(self, button):
        assert button.isEnabled()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def wait(self, condition):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE)

    def settle(self):
        """Wait until nothing is due."""
        panel = self.panel
        timer, runners = panel.preview._timer, (panel.preview.runner, panel.applier)
        self.wait(lambda: not timer.isActive() and not any(r.running for r in runners))

    def previewed(self):
        self.wait(lambda: self.panel.line.text().startswith("Preview"))
        self.settle()

    def apply(self):
        self.click(self.panel.apply)
        self.settle()


@pytest.fixture
def bench(qtbot):
    bench = Bench(ViewerModel(), qtbot)
    bench.panel.resize(340, 400)
    bench.panel.show()
    yield bench
    bench.panel.release()
    bench.panel.close()
    bench.panel.deleteLater()


def wanted(probabilities, **options):
    return refine(kept(probabilities), RefineOptions(**options), values=VALUES, spatial_ndim=2)


def test_nothing_can_be_set_before_there_is_a_result(bench):
    assert bench.panel._content.isHidden()
    assert "Predict an image first" in bench.panel.line.text()
    bench.open(stack())
    assert not bench.panel._content.isHidden()
    assert bench.panel.line.isHidden()
    bench.panel.clear()
    assert bench.panel._content.isHidden()


def test_the_fields_are_called_what_they_do(bench):
    bench.open(stack())
    bench.set(object_class=2, output="objects", split=True)
    labels = [label.text() for label in bench.panel.form.findChildren(QLabel) if label.isVisible()]
    for text in (
        "Remove objects below",
        "Fill holes up to",
        "Separate touching objects",
        "Minimum distance",
    ):
        assert text in labels
    bench.set(smallest=-3)
    with pytest.raises(InputError, match="Remove objects below: "):
        bench.panel.form.value()


def test_a_result_as_it_came_stays_as_it_is(bench):
    layer, labels = bench.open(stack())
    bench.viewer.dims.set_current_step(0, 2)
    bench.qtbot.wait(200)
    bench.settle()
    assert np.array_equal(layer.data, labels)
    assert not bench.panel.apply.isEnabled()


def test_a_change_shows_on_the_plane_in_view_alone(bench):
    layer, labels = bench.open(stack())
    array = layer.data
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    expected = wanted(stack(), object_class=2, threshold=0.7)
    assert not np.array_equal(expected[0], labels[0])
    assert np.array_equal(layer.data[0], expected[0])
    assert np.array_equal(layer.data[1:], labels[1:])
    assert layer.data is array  # written in place
    assert "refined" not in layer.metadata[RESULT]


def test_the_preview_follows_the_slider_and_leaves_no_trace(bench):
    layer, labels = bench.open(stack())
    expected = wanted(stack(), object_class=2, threshold=0.7)
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    bench.viewer.dims.set_current_step(0, 3)
    bench.wait(lambda: np.array_equal(layer.data[3], expected[3]))
    assert np.array_equal(layer.data[:3], labels[:3])
    bench.set(threshold=0.5, object_class=None)
    bench.wait(lambda: np.array_equal(layer.data, labels))
    assert bench.panel.line.isHidden()


def test_what_is_applied_is_what_the_core_says(bench):
    layer, _ = bench.open(stack())
    bench.set(object_class=2, smallest=4)
    bench.apply()
    assert np.array_equal(layer.data, wanted(stack(), object_class=2, smallest=4))
    assert bench.panel.line.text() == "Applied to the whole layer."
    assert layer.metadata[RESULT]["model"] == "abc"
    assert RefineOptions(**layer.metadata[RESULT]["refined"]).smallest == 4
    assert not bench.panel.apply.isEnabled()


def test_after_applying_a_preview_goes_back_to_what_was_applied(bench):
    layer, _ = bench.open(stack())
    bench.set(object_class=2, smallest=4)
    bench.apply()
    applied = layer.data.copy()
    bench.set(threshold=0.95)
    bench.previewed()
    assert (layer.data[0] == 5).all()
    assert np.array_equal(layer.data[1:], applied[1:])
    bench.set(threshold=0.5)
    bench.wait(lambda: np.array_equal(layer.data, applied))


def test_objects_have_colours_of_their_own_and_classes_have_theirs(bench):
    layer, labels = bench.open(stack())
    bench.set(object_class=2, output="objects")
    bench.previewed()
    assert isinstance(layer.colormap, CyclicLabelColormap)
    assert bench.panel.line.text().endswith("3 objects.")
    bench.apply()
    assert bench.panel.line.text() == "Applied to the whole layer: 9 objects."
    assert np.array_equal(np.unique(layer.data), np.arange(10))
    assert "class" not in layer.features  # a number is no class any more
    bench.set(output="classes")
    bench.wait(lambda: isinstance(layer.colormap, DirectLabelColormap))
    assert np.array_equal(layer.data[0], labels[0])
    assert list(layer.features["class"]) == ["cell", "rest"]


def test_more_objects_than_the_type_of_the_layer_holds(bench):
    mask = np.zeros((2, 48, 48), np.float32)
    mask[:, ::2, ::2] = 1
    layer, _ = bench.open(np.stack([mask, 1 - mask]))
    assert layer.data.dtype == np.uint8
    bench.set(object_class=2, output="objects")
    bench.previewed()
    assert layer.data[0].max() == 576
    bench.apply()
    assert layer.data.max() == 1152
    assert not bench.panel._session.target.edited


def test_wanting_objects_chooses_the_rarest_class_in_view(bench):
    bench.open(stack())
    bench.set(output="objects")
    assert bench.panel.form.object_class.value() == 2
    bench.set(object_class=None)
    bench.previewed()
    assert bench.panel.line.text().endswith("4 objects.")  # each region of each class


def test_colours_that_the_user_chose_come_back(bench):
    layer, _ = bench.open(stack())
    layer.colormap = DirectLabelColormap(color_dict=COLORS | {2: "yellow"})
    bench.set(output="objects")
    bench.previewed()
    bench.set(output="classes", smallest=3)
    bench.wait(lambda: isinstance(layer.colormap, DirectLabelColormap))
    assert tuple(layer.colormap.color_dict[2]) == (1, 1, 0, 1)


def test_reset_gives_back_what_was_predicted(bench):
    layer, labels = bench.open(stack())
    bench.set(output="objects", smallest=3)
    bench.apply()
    bench.click(bench.panel.reset)
    bench.settle()
    assert np.array_equal(layer.data, labels)
    assert layer.colormap.color_dict[2] == pytest.approx((1, 0, 0, 1))
    assert layer.metadata[RESULT] == {"model": "abc"}
    assert bench.panel.options() == RefineOptions()


def test_what_was_painted_is_never_written_over(bench):
    layer, labels = bench.open(stack(), scale=(3, 2, 2), translate=(1, 2, 3))
    layer.paint((0, 25, 25), 2)
    painted = layer.data.copy()
    assert not np.array_equal(painted, labels)
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    assert np.array_equal(layer.data, painted)
    new = bench.viewer.layers["prediction – refined"]
    assert np.array_equal(new.data[0], wanted(stack(), object_class=2, threshold=0.7)[0])
    assert np.array_equal(new.data[1:], labels[1:])
    assert tuple(new.scale) == (3, 2, 2)
    assert tuple(new.translate) == (1, 2, 3)
    bench.apply()
    assert np.array_equal(new.data, wanted(stack(), object_class=2, threshold=0.7))
    assert np.array_equal(layer.data, painted)
    layer.undo()
    assert np.array_equal(layer.data, labels)


def test_a_copy_with_the_settings_it_was_made_with_needs_no_preview(bench):
    layer, labels = bench.open(stack())
    bench.set(object_class=2, threshold=0.7)
    bench.apply()
    layer.paint((0, 25, 25), 2)
    painted = layer.data.copy()
    bench.set(object_class=None, threshold=0.5)
    bench.wait(lambda: len(bench.viewer.layers) == 2)
    bench.settle()
    assert np.array_equal(bench.viewer.layers[-1].data, labels)
    assert np.array_equal(layer.data, painted)
    assert not bench.panel.apply.isEnabled()


def test_moving_through_a_stack_makes_no_layer_where_something_was_painted(bench):
    layer, _ = bench.open(stack())
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    layer.paint((0, 25, 25), 2)
    painted = layer.data.copy()
    bench.viewer.dims.set_current_step(0, 2)
    bench.qtbot.wait(200)
    bench.settle()
    assert np.array_equal(layer.data, painted)
    assert len(bench.viewer.layers) == 1
    bench.click(bench.panel.reset)
    assert np.array_equal(layer.data, painted)
    assert "was edited and is not changed" in bench.panel.notice.text()


def test_painting_on_the_copy_makes_another_copy(bench):
    layer, _ = bench.open(stack())
    layer.fill((0, 25, 25), 2)
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    bench.viewer.layers[-1].paint((0, 25, 25), 2)
    painted = bench.viewer.layers[-1].data.copy()
    bench.set(threshold=0.95)
    bench.wait(lambda: len(bench.viewer.layers) == 3)
    bench.wait(lambda: (bench.viewer.layers[-1].data[0] == 5).all())
    assert np.array_equal(bench.viewer.layers[1].data, painted)


def test_a_copy_that_is_removed_is_made_anew(bench):
    layer, _ = bench.open(stack())
    layer.fill((0, 25, 25), 2)
    painted = layer.data.copy()
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    del bench.viewer.layers[-1]
    bench.set(threshold=0.8)
    bench.wait(lambda: len(bench.viewer.layers) == 2)
    bench.settle()
    assert np.array_equal(layer.data, painted)


def test_labels_assigned_anew_count_as_painted(bench):
    layer, labels = bench.open(stack())
    mine = np.roll(labels, 3, 1)
    layer.data = mine
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    assert np.array_equal(layer.data, np.roll(labels, 3, 1))
    assert len(bench.viewer.layers) == 2


def test_undo_works_after_previews_came_and_went(bench):
    layer, _ = bench.open(stack())
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    shown = layer.data.copy()
    layer.paint((0, 25, 25), 2)
    layer.undo()
    assert np.array_equal(layer.data, shown)
    layer.redo()
    assert layer.data[0, 25, 25] == 2


def test_forgetting_the_result_takes_the_preview_back(bench):
    layer, labels = bench.open(stack())
    bench.set(output="objects")
    bench.previewed()
    bench.panel.clear()
    assert np.array_equal(layer.data, labels)
    assert isinstance(layer.colormap, DirectLabelColormap)
    bench.set(threshold=0.9)
    bench.viewer.dims.set_current_step(0, 1)
    bench.qtbot.wait(200)
    assert np.array_equal(layer.data, labels)


def test_removing_the_result_ends_it(bench):
    layer, _ = bench.open(stack())
    bench.set(object_class=2)
    bench.viewer.layers.remove(layer)
    bench.settle()
    assert bench.panel._content.isHidden()


def test_another_result_begins_afresh(bench):
    first, labels = bench.open(stack())
    bench.set(object_class=2, threshold=0.7)
    bench.previewed()
    second, _ = bench.open(stack(2))
    assert np.array_equal(first.data, labels)
    assert bench.panel.options() == RefineOptions()
    bench.set(object_class=2, threshold=0.95)
    bench.wait(lambda: (second.data[0] == 5).all())
    assert np.array_equal(first.data, labels)


@pytest.fixture
def slow(monkeypatch):
    """Refining in a thread that waits before each part until it is told to go on."""
    go, run = Event(), core._Refiner.refine

    def wait_first(job, part):
        assert current_thread() is main_thread() or go.wait(20)
        return run(job, part)

    monkeypatch.setattr(core._Refiner, "refine", wait_first)
    yield go
    go.set()


def test_applying_can_be_cancelled_and_then_changes_nothing(bench, slow):
    layer, labels = bench.open(stack())
    bench.set(object_class=2, threshold=0.95)
    bench.panel.preview._timer.stop()  # no preview
    bench.click(bench.panel.apply)
    assert not bench.panel.form.isEnabled()
    assert bench.panel.progress.isVisible()
    bench.click(bench.panel.cancel)
    assert not bench.panel.cancel.isEnabled()
    slow.set()
    bench.wait(lambda: not bench.panel.applier.running)
    assert "nothing was changed" in bench.panel.line.text()
    assert "refined" not in layer.metadata[RESULT]
    assert np.array_equal(layer.data[1:], labels[1:])
    bench.settle()


def test_painting_while_it_is_applied_is_kept(bench, slow):
    layer, _ = bench.open(stack())
    bench.set(object_class=2, threshold=0.7)
    bench.panel.preview._timer.stop()
    bench.click(bench.panel.apply)
    layer.paint((0, 25, 25), 2)
    painted = layer.data.copy()
    slow.set()
    bench.settle()
    assert np.array_equal(layer.data, painted)
    new = bench.viewer.layers["prediction – refined"]
    assert np.array_equal(new.data, wanted(stack(), object_class=2, threshold=0.7))


def test_a_stale_preview_is_dropped(bench, slow):
    layer, labels = bench.open(stack())
    bench.set(object_class=2, threshold=0.95)
    bench.wait(lambda: bench.panel.preview.runner.running)
    bench.viewer.dims.set_current_step(0, 2)
    slow.set()
    bench.wait(lambda: (layer.data[2] == 5).all())
    bench.settle()
    assert np.array_equal(layer.data[[0, 1, 3]], labels[[0, 1, 3]])


def test_rows_show_what_matters(bench):
    bench.open(stack())
    form = bench.panel.form

    def shown():
        names = ("threshold", "holes", "split", "distance", "through_planes")
        return {n for n in names if form.editors[n].isVisible()}

    assert shown() == {"through_planes"}
    bench.set(object_class=2)
    assert shown() == {"threshold", "holes", "through_planes"}
    bench.set(output="objects", split=True)
    assert shown() == {"threshold", "holes", "split", "distance", "through_planes"}
    bench.panel.clear()
    bench.open(stack(), spatial_ndim=3)
    assert shown() == set()


def test_the_slider_and_the_number_are_one(bench):
    bench.open(stack())
    form = bench.panel.form
    bench.set(object_class=2)
    form.slider.setValue(73)
    assert form.value().threshold == pytest.approx(0.73)
    bench.set(threshold=0.25)
    assert form.slider.value() == 25


def test_a_setting_out_of_its_limits_is_refused_in_words(bench):
    layer, labels = bench.open(stack())
    bench.set(smallest=-3)
    assert bench.panel.options() is None
    assert not bench.panel.apply.isEnabled()
    bench.qtbot.wait(200)
    assert np.array_equal(layer.data, labels)


def test_planes_of_a_volume_are_looked_at_together(bench):
    probabilities = stack(9)
    probabilities[0, 3:6, 20:22, 20:22] = 0.9  # twelve voxels, four of them in a plane
    probabilities[1] = 1 - probabilities[0]
    layer, _ = bench.open(probabilities, spatial_ndim=3)
    bench.viewer.dims.set_current_step(0, 4)
    bench.set(object_class=2, smallest=8)
    bench.previewed()
    assert layer.data[4, 20, 20] == 2
    bench.set(smallest=13)
    bench.wait(lambda: layer.data[4, 20, 20] == 5)
    assert layer.data[3, 20, 20] == 2  # this plane is out of view


def test_planes_have_pixels_and_volumes_voxels(bench):
    sizes = [bench.panel.form.editors[name] for name in ("smallest", "holes", "distance")]
    bench.open(stack())
    assert {editor.suffix() for editor in sizes} == {" pixels"}
    bench.set(through_planes=True)
    assert {editor.suffix() for editor in sizes} == {" voxels"}
    bench.open(stack(), spatial_ndim=3)
    assert {editor.suffix() for editor in sizes} == {" voxels"}


def test_in_3d_all_that_is_in_view_is_refined(bench):
    layer, _ = bench.open(stack(), spatial_ndim=3)
    bench.viewer.dims.ndisplay = 3
    bench.set(object_class=2, threshold=0.95)
    bench.previewed()
    assert (layer.data == 5).all()


def test_a_view_that_is_too_large_shows_its_middle(bench, monkeypatch):
    monkeypatch.setattr(refine_layer, "MOST_VOXELS", 16 * 16)
    layer, labels = bench.open(stack())
    layer.corner_pixels = np.array([[0, 0, 0], [0, 31, 31]])
    look = look_at(bench.viewer, layer, 2)
    assert look.shown == (slice(0, 1), slice(8, 24), slice(8, 24))
    assert not look.whole
    bench.set(object_class=2, threshold=0.95)
    bench.previewed()
    assert (layer.data[0, 8:24, 8:24] == 5).all()
    assert np.array_equal(layer.data[0, :8], labels[0, :8])
    assert "middle" in bench.panel.line.text()


def test_out_of_the_layer_there_is_nothing_to_see(bench):
    layer, _ = bench.open(stack())
    bench.viewer.add_image(np.zeros((20, 32, 32)))
    bench.viewer.dims.set_current_step(0, 15)
    assert look_at(bench.viewer, layer, 2) is None
    bench.set(object_class=2, threshold=0.95)
    bench.qtbot.wait(200)
    bench.settle()
    assert bench.panel.line.isHidden()


def test_in_a_window_with_a_brush(viewer, qtbot):
    bench = Bench(viewer, qtbot)
    viewer.window.add_dock_widget(bench.panel, name="refine")
    layer, labels = bench.open(stack())
    bench.set(output="objects", smallest=3)
    bench.previewed()
    assert layer.data[0].max() == 2
    bench.apply()
    layer.mode = "paint"
    layer.selected_label = 9
    layer.paint((1, 20, 20), 9)
    assert layer.data[1, 20, 20] == 9
    layer.undo()
    bench.panel.release()
    assert set(np.unique(layer.data)) == set(range(9))
    assert (layer.data > 0).sum() == (labels == 2).sum() - 1  # the speck is gone
