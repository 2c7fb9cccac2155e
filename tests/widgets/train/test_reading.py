"""The line that says how an image is read, and what is trained is read that way."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers.utils.stack_utils import images_to_stack
from qtpy.QtWidgets import QLabel

from napari_unet.data.normalisation import Normalisation
from napari_unet.data.source import ArraySource
from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.plan import choose_ndim
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.widgets.models import Session
from tests.widgets.conftest import two_classes

UM = ("um", "um")


def opened(room, shape, labels, units=None, strokes=None, **others):
    """Open an image with strokes on every plane, and return its layer."""
    image, painted = two_classes(shape)
    units = {} if units is None else {"units": units}
    layer, _ = room.open(
        image, painted if strokes is None else strokes, axis_labels=labels, **units, **others
    )
    return layer


def model(ndim):
    """Return a model without a network, of one channel and two classes."""
    norm = Normalisation("none", (0.0,), (1.0,))
    weights = {"w": np.array([ndim], np.float32)}
    config = UNetConfig(ndim=ndim).with_channels(1, 2)
    return TrainedModel(config, weights, norm, classes=(ClassInfo(1), ClassInfo(2)))


def says(room, text):
    room.wait(lambda: room.form.reading.text() == text)
    assert room.form.reading.isVisible()


@pytest.mark.parametrize(
    ("labels", "units", "scale"),
    [
        (("t", "y", "x"), None, (1, 1, 1)),
        (("t", "y", "x"), ("s", *UM), (30, 0.5, 0.5)),
        (None, ("ms", *UM), (30, 0.5, 0.5)),
        (("Frame", "y", "x"), ("pixel", *UM), (1, 0.5, 0.5)),
    ],
)
def test_a_movie_is_read_frame_by_frame(room, labels, units, scale):
    opened(room, (9, 64, 64), labels, units, scale=scale)
    says(room, "time 9 · y x · 1 channel → 2D")
    plan = room.form.request().plan()
    assert (plan.ndim, plan.channels) == (2, 1)
    assert plan.spacing == tuple(map(float, scale[1:]))


def test_a_movie_is_trained_frame_by_frame(room):
    opened(room, (2, 64, 64), ("t", "y", "x"))
    says(room, "time 2 · y x · 1 channel → 2D")
    room.train(steps=1)
    model = room.panel.train.training.model.model
    assert (model.config.ndim, model.image_channels) == (2, 1)
    says(room, "time 2 · y x · 1 channel → 2D")  # before the second training, too


def test_an_unnamed_stack_is_read_by_its_shape_and_dimensions_change_it(room):
    opened(room, (9, 64, 64), None)
    says(room, "z y x · 1 channel → 3D")
    room.form.ndim.setValue(2)
    says(room, "axis 0: 9 · y x · 1 channel → 2D")


def test_seconds_are_no_micrometres(room):
    opened(room, (9, 64, 64), ("t", "y", "x"), ("s", *UM), scale=(30, 0.5, 0.5))
    room.form.ndim.setValue(3)
    says(room, "time y x · 1 channel → 3D (time is read as depth)")
    assert room.form.request().plan().spacing == (0.5, 0.5, 0.5)


def test_strokes_without_time_are_refused_and_a_new_layer_has_it(room):
    _, strokes = two_classes((9, 64, 64))
    opened(room, (5, 9, 64, 64), ("t", "z", "y", "x"), strokes=strokes)
    room.wait(lambda: "labels have none" in room.form.reading.text())
    room.click(room.panel.train.footer.train)
    room.idle()
    assert room.panel.train.notice.text() == ""  # it is said once, below the choosers
    room.click(room.form.new)
    assert room.form.labels.layer().data.shape == (5, 9, 64, 64)
    says(room, "time 5 · z 9 · y x · 1 channel → 2D")


def test_a_stack_over_time_is_a_volume_per_frame(room):
    opened(room, (2, 9, 64, 64), ("t", "z", "y", "x"))
    says(room, "time 2 · z y x · 1 channel → 3D")


def test_an_axis_named_so_holds_the_channels(room):
    image, strokes = two_classes((2, 64, 64))
    both = np.stack([image, image], axis=1)
    room.open(both, strokes, axis_labels=("t", "c", "y", "x"))
    says(room, "time 2 · y x · 2 channels → 2D")


def test_time_behind_space_is_refused(room):
    image, strokes = two_classes((9, 64, 64))
    order = (1, 2, 0)
    room.open(image.transpose(order), strokes.transpose(order), axis_labels=("y", "x", "t"))
    room.wait(lambda: "time axis comes after the spatial ones" in room.form.reading.text())


def test_it_says_so_before_there_are_strokes(room):
    room.open(two_classes()[0])
    says(room, "y x · 1 channel → 2D")
    room.viewer.layers.clear()
    room.wait(lambda: not room.form.reading.isVisible())


def change(line, text):
    """Choose an entry of the menu that changes how an image is read."""
    line.menu.aboutToShow.emit()
    (action,) = (a for a in line.menu.actions() if a.text() == text)
    action.trigger()


def test_merged_layers_are_said_to_be_channels_and_back(room):
    image, strokes = two_classes()
    layers = [room.viewer.add_image(image, name=name) for name in ("DAPI", "GFP")]
    merged = room.viewer.add_layer(images_to_stack(layers))
    room.form.image.set_layer(merged)
    says(room, "axis 0: 2 · y x · 1 channel → 2D")  # nothing that napari leaves says channel
    assert room.form.reading.button.isVisible()
    change(room.form.reading, "Axis 0 (size 2) holds channels")
    says(room, "y x · 2 channels → 2D")
    assert merged.axis_labels[0] == "c"
    room.viewer.add_labels(strokes, name="strokes")
    room.form.net_size.setValue("small")
    room.counted({1: 288, 2: 288})
    for _ in range(2):
        room.panel.show_page("train")
        room.train(steps=1)
        assert room.panel.train.training.model.model.image_channels == 2
    room.panel.predict.form.image.set_layer(merged)
    assert room.panel.predict.form.reading.text() == "y x · 2 channels → 2D"
    change(room.panel.predict.form.reading, "Axis 0 (size 2) is depth")
    assert merged.axis_labels[0] == "z"


def test_an_image_of_two_axes_has_nothing_to_change(room):
    room.open(two_classes()[0])
    says(room, "y x · 1 channel → 2D")
    assert not room.form.reading.button.isVisible()


@pytest.mark.parametrize(
    "metadata",
    [
        {"axes": "CYX"},
        {"axes": ["c", "y", "x"]},
        {"multiscales": [{"axes": [{"name": n} for n in "cyx"]}]},
        {"ome": {"multiscales": [{"axes": [{"name": n} for n in "cyx"]}]}},
    ],
)
def test_axes_in_the_metadata_of_a_layer_count_where_it_has_no_labels(room, metadata):
    layer, _ = room.open(np.stack([two_classes()[0]] * 2), metadata=metadata)
    says(room, "y x · 2 channels → 2D")
    layer.axis_labels = ("t", "y", "x")
    says(room, "time 2 · y x · 1 channel → 2D")


def test_it_says_what_is_read_at_each_step_and_which_image_is_read_in_another_way(room):
    image, strokes = two_classes((2, 64, 64))
    room.open(image, strokes, axis_labels=("t", "y", "x"))
    further = room.viewer.add_image(image[0], name="single")
    labels = room.viewer.add_labels(strokes[0], name="single strokes")
    form = room.form
    form.pairs.add()
    form.image.set_layer(room.viewer.layers["picture"])
    form.labels.set_layer(room.viewer.layers["strokes"])
    (row,) = form.pairs.rows
    row.image.set_layer(further)
    row.other.set_layer(labels)
    says(room, "time 2 · y x · 1 channel → 2D\nsingle: y x · 1 channel → 2D")
    tip = form.reading.findChild(QLabel).toolTip()
    size = " × ".join(map(str, form.request().plan().input_shape))
    assert f"At each step the network reads 8 patches of {size} pixels." in tip


def test_planes_are_counted_no_further_than_needed(monkeypatch):
    strokes = np.zeros((50, 8, 8), np.uint8)
    strokes[[4, 6, 9]] = 1
    read = []

    def counting(self, region):
        read.append(region.start[0])
        return strokes[region.slices]

    monkeypatch.setattr(ArraySource, "read", counting)
    assert choose_ndim(SegmentOptions(), labels=[strokes]) == 3
    assert read == list(range(10))
    read.clear()
    assert choose_ndim(SegmentOptions(zero="background"), labels=[strokes]) == 3
    assert read == []


def test_the_predict_page_says_it_too(room):
    opened(room, (9, 64, 64), ("t", "y", "x"))
    session, form = Session.of(room.viewer), room.panel.predict.form
    for ndim, line in (
        (2, "time 9 · y x · 1 channel → 2D"),
        (3, "time y x · 1 channel → 3D (time is read as depth)"),
    ):
        form.model.setValue(session.add(f"model {ndim}", model(ndim)))
        assert form.reading.text() == line
    assert "reads the time of “picture” as depth" in form.compatibility.text()
