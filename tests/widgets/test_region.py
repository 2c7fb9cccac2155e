"""A region of interest in the panel: what is learned from, previewed and predicted."""

from __future__ import annotations

import numpy as np

from napari_unet.control import Viewport
from napari_unet.geometry.region import Region
from napari_unet.widgets.layers.provenance import RESULT
from tests.widgets.conftest import two_classes
from tests.widgets.test_second_time import predict, prepare, train

BOX = np.array([[20, 2], [20, 60], [61, 60], [61, 2]], float)


def draw(room, corners=BOX, kind="rectangle", name="here"):
    return room.viewer.add_shapes([corners], shape_type=kind, name=name)


def choose(room, chooser, shapes):
    chooser.combo.set_layer(shapes)
    assert chooser.combo.layer() is shapes


def stroke_outside(room):
    """Paint a third class above the region."""
    layer = room.viewer.layers["strokes"]
    layer.data_setitem(tuple(np.mgrid[4:8, 4:40].reshape(2, -1)), 3)
    room.counted({1: 288, 2: 288, 3: 144})


def test_it_says_which_region_it_is_and_follows_the_shapes(room):
    prepare(room, "segment")
    chooser = room.form.region
    assert chooser.combo.currentText() == "Whole image"
    assert not chooser.line.isVisible()
    shapes = draw(room)
    assert chooser.combo.layer() is None  # never chosen by itself
    choose(room, chooser, shapes)
    assert chooser.line.text() == "42 × 59 pixels"
    shapes.data = [BOX[:, :] / 2]
    room.wait(lambda: chooser.line.text() == "21 × 30 pixels")
    shapes.data = []
    room.wait(lambda: "no shape that encloses" in chooser.line.text())
    room.viewer.layers.remove(shapes)
    assert chooser.combo.layer() is None
    assert not chooser.line.isVisible()


def test_strokes_outside_are_not_learned_from_not_even_those_painted_meanwhile(room):
    prepare(room, "segment")
    choose(room, room.form.region, draw(room))
    stroke_outside(room)
    for _ in range(2):
        train(room)
        model = room.panel.train.training.model.model
        assert [c.value for c in model.classes] == [1, 2]
        assert list(model.training["options"]["region"]) == [20, 62, 2, 61]
    sync = room.panel.train.training
    room.form.budget.setValue({"steps": 4000})
    room.click(room.panel.train.footer.train)
    room.wait(lambda: sync.started is not None)
    (one,) = sync.annotations.each
    store = one._store
    assert set(store.values()) == {1, 2}
    layer = room.viewer.layers["strokes"]
    layer.data_setitem((np.array([5, 30]), np.array([5, 40])), 2)
    room.wait(lambda: store.read(Region((10, 38), (11, 39))).item() == 2)
    assert set(store.values()) == {1, 2}
    room.click(room.panel.train.footer.stop)
    room.idle()


def test_only_the_region_is_previewed_and_predicted(room):
    prepare(room, "segment")
    shapes = draw(room, np.array([[-1, -1], [-1, 63.5], [63.5, 63.5], [39.5, -1]]), "polygon")
    choose(room, room.form.region, shapes)
    rows, columns = np.mgrid[:64, :64]
    inside = (rows - 39.5) * 64.5 <= (columns + 1) * 24
    for _ in range(2):
        train(room)
        preview = room.viewer.layers["picture – live preview"].data
        assert np.array_equal(preview > 0, inside)
        choose(room, room.panel.predict.form.region, shapes)
        predict(room)
        result = room.viewer.layers["picture – prediction"]
        assert np.array_equal(result.data > 0, inside)
        commands = result.metadata[RESULT]["commands"]
        assert any("--region 0,64,0,64" in c and "predict" in c for c in commands)
        assert any("--region 0,64,0,64" in c and "train" in c for c in commands)
        assert any("shape" in note for note in result.metadata[RESULT]["notes"])
    room.form.region.combo.setCurrentIndex(0)
    train(room)
    assert (room.viewer.layers["picture – live preview"].data > 0).all()
    room.panel.predict.form.region.combo.setCurrentIndex(0)
    predict(room)
    assert (room.viewer.layers["picture – prediction"].data > 0).all()


def test_a_region_of_another_training_leaves_no_preview_behind(room):
    prepare(room, "segment")
    train(room)
    assert (room.viewer.layers["picture – live preview"].data > 0).all()
    choose(room, room.form.region, draw(room))
    train(room)
    preview = room.viewer.layers["picture – live preview"].data > 0
    assert np.array_equal(np.argwhere(preview).min(0), (20, 2))
    assert np.array_equal(np.argwhere(preview).max(0), (61, 60))


def test_a_denoised_image_is_the_image_itself_outside(room):
    prepare(room, "denoise")
    choose(room, room.form.region, draw(room))
    train(room, "denoise")
    preview = room.viewer.layers["picture – preview"].data
    inside = np.zeros(preview.shape, bool)
    inside[20:62, 2:61] = True
    assert np.array_equal(np.isfinite(preview), inside)
    choose(room, room.panel.predict.form.region, room.viewer.layers["here"])
    predict(room)
    picture, denoised = (room.viewer.layers[n].data for n in ("picture", "picture – denoised"))
    assert np.array_equal(denoised[~inside], picture[~inside])
    assert not np.array_equal(denoised[inside], picture[inside])


def test_finished_masks_count_in_the_box_alone(room):
    prepare(room, "segment")
    room.form.zero.setValue("background")
    choose(room, room.form.region, draw(room))
    train(room)
    model = room.panel.train.training.model.model
    assert model.training["painted"] is not None
    assert sum(model.training["painted"].values()) == 42 * 59


def test_planes_of_a_stack(room):
    image, strokes = two_classes((5, 64, 64))
    room.open(image, strokes)
    room.form.ndim.setValue(2)
    chooser = room.form.region
    shapes = draw(room, np.insert(BOX, 0, 3, axis=1))
    choose(room, chooser, shapes)
    assert chooser.line.text() == "42 × 59 pixels in plane 3"
    assert chooser.everywhere.isVisibleTo(chooser)
    room.train(2)
    assert list(room.panel.train.training.model.model.training["options"]["region"]) == [
        *(3, 4),
        *(20, 62),
        *(2, 61),
    ]
    preview = room.panel.train.live.preview
    room.viewer.dims.set_point(0, 0)
    preview.report_view()
    assert preview.in_view() is None
    assert preview.note == "The region of interest is not in view."
    room.viewer.dims.set_point(0, 3)
    assert preview.in_view() == Viewport((3,), Region((20, 2), (62, 61)))
    chooser.everywhere.setChecked(True)
    assert chooser.line.text() == "42 × 59 pixels, in all planes"
    assert chooser.everywhere.isVisibleTo(chooser)


def test_shapes_that_enclose_nothing_start_no_training(room, notes):
    prepare(room, "segment")
    choose(room, room.form.region, draw(room, BOX + 100))
    room.click(room.panel.train.footer.train)
    assert not room.panel.train.training.running
    assert "enclose nothing" in room.form.region.line.text()
    room.panel.show_page("predict")
