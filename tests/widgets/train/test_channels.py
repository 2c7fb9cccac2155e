"""Several layers as the channels of one image, through the panel twice."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_unet.runs.state import RunState
from napari_unet.widgets.layers.provenance import RESULT
from tests.widgets.conftest import two_classes


def fluorescence(room, names=("DAPI", "GFP"), **arguments):
    """Open layers of which only GFP tells the classes, as napari opens a fluorescence image."""
    image, strokes = two_classes()
    noise = np.random.default_rng(1).normal(size=image.shape).astype(np.float32)
    planes = {"GFP": image}
    for name in names:
        room.viewer.add_image(planes.get(name, noise), name=name, blending="additive", **arguments)
    return strokes


def prepare(room, task="segment", names=("DAPI", "GFP"), **arguments):
    strokes = fluorescence(room, names, **arguments)
    if task == "segment":
        room.viewer.add_labels(strokes, name="strokes", **arguments)
    room.panel.train.tasks.choice.setValue(task)
    form = room.form
    form.net_size.setValue("small")
    form.budget.setValue({"steps": 2})
    form.advanced.form.editors["batch_size"].setValue(2)
    form.image.set_layer(room.viewer.layers[names[0]])
    for _ in names[1:]:
        room.click(form.image.add)
    if task == "segment":
        room.counted({1: 288, 2: 288})


def chosen(chooser):
    return [layer.name for layer in chooser.layers()]


def predict_page(room):
    room.panel.show_page("predict")
    return room.panel.predict


def predict(room):
    room.click(room.panel.predict.footer.predict)
    room.idle()


def model_of(room):
    return room.panel.train.training.model.model


def test_two_layers_are_learned_from_and_found_again_by_name(room):
    prepare(room)
    for _ in range(2):
        assert chosen(room.form.image) == ["DAPI", "GFP"]
        room.panel.show_page("train")
        room.train(2)
        model = model_of(room)
        assert model.channel_names == ("DAPI", "GFP")
        assert model.image_channels == 2
        assert room.panel.session.models[-1].name.startswith("DAPI + GFP ·")
        room.click(room.panel.train.footer.predict)
        room.idle()
        names = [layer.name for layer in room.viewer.layers if layer.visible]
        assert names == ["DAPI", "GFP", "DAPI + GFP – prediction", "strokes"]
    first = room.viewer.layers["DAPI + GFP – prediction"].data.copy()
    # Further layers of the same names, in another order; napari numbers names that are taken.
    dapi, gfp = room.viewer.layers["DAPI"], room.viewer.layers["GFP"]
    for layer in (dapi, gfp):
        room.viewer.layers.remove(layer)
    page = predict_page(room)
    assert page.form.image.lacking() == ["“DAPI”", "“GFP”"]
    room.viewer.add_image(gfp.data, name="GFP")
    room.viewer.add_image(dapi.data, name="DAPI")
    assert chosen(page.form.image) == ["DAPI", "GFP"]
    predict(room)
    np.testing.assert_array_equal(room.viewer.layers["DAPI + GFP – prediction"].data, first)
    # And once more: the page of the training learns from the layers of the new image.
    room.panel.show_page("train")
    room.form.image.set_layers([room.viewer.layers["DAPI"], room.viewer.layers["GFP"]])
    room.train(2)
    assert model_of(room).channel_names == ("DAPI", "GFP")


def test_channels_that_were_renamed_are_asked_for(room):
    prepare(room)
    room.train(2)
    room.viewer.layers["GFP"].name = "marker"
    page = predict_page(room)
    model = room.panel.session.models[-1]
    page.form.model.setCurrentIndex(-1)
    page.form.model.setValue(model)
    assert page.form.image.lacking() == ["“GFP”"]
    assert "No layer is called “GFP”: choose the layer" in page.form.compatibility.text()
    combo = page.form.image.combos[1]
    assert combo.placeholderText() == "Which layer is “GFP”?"
    page.start()
    assert "The layer of “GFP” is not chosen" in page.notice.text()
    combo.set_layer(room.viewer.layers["marker"])
    assert not page.form.compatibility.isVisible()
    assert page.form.reading.text() == "y x · 2 channels (DAPI, marker) → 2D"
    predict(room)
    assert "DAPI + marker – prediction" in room.viewer.layers
    room.panel.show_page("train")
    room.train(3)  # the training knows the layers, whatever their names
    assert model_of(room).channel_names == ("DAPI", "marker")


def test_one_layer_with_all_channels_need_not_be_split(room):
    prepare(room)
    room.train(2)
    page = predict_page(room)
    dapi, gfp = (room.viewer.layers[name].data for name in ("DAPI", "GFP"))
    page.choose(room.panel.session.models[-1], *page.form.image.layers())
    predict(room)
    expected = room.viewer.layers["DAPI + GFP – prediction"].data
    stack = room.viewer.add_image(np.stack([dapi, gfp]), name="both", axis_labels=("c", "y", "x"))
    page.form.image.set_layer(stack)
    assert chosen(page.form.image) == ["both"]
    assert not page.form.image.combos[1].isVisible()
    predict(room)
    np.testing.assert_array_equal(room.viewer.layers["both – prediction"].data, expected)
    page.form.image.set_layer(room.viewer.layers["DAPI"])
    assert page.form.image.combos[1].isVisible()
    assert chosen(page.form.image) == ["DAPI", "GFP"]


def test_a_denoiser_returns_a_layer_per_channel(room):
    prepare(room, "denoise")
    for layer in room.viewer.layers:
        layer.contrast_limits = (-3, 7)
    for _ in range(2):
        room.panel.show_page("train")
        room.train(2)
        room.click(room.panel.train.footer.predict)
        room.idle()
    results = [x for x in room.viewer.layers if RESULT in x.metadata and x.visible]
    assert [x.name for x in results] == ["GFP – denoised", "DAPI – denoised"]
    assert [x.blending for x in results] == ["translucent", "additive"]
    names = [layer.name for layer in room.viewer.layers]
    assert names[:2] == ["DAPI", "GFP"]
    for layer in results:
        channel = room.viewer.layers[layer.name.removesuffix(" – denoised")]
        assert layer.data.shape == (64, 64)
        assert layer.colormap.name == channel.colormap.name
        assert tuple(layer.contrast_limits) == (-3, 7)
    made = results[0].metadata[RESULT]
    assert made["image"] == "DAPI + GFP"
    assert "denoise DAPI.tif+GFP.tif result.tif" in made["commands"][0]


def test_volumes_and_time_keep_their_axes(room):
    rng = np.random.default_rng(0)
    shape = (3, 40, 48)
    where = {"scale": (2, 0.5, 0.5), "rotate": [[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]]}
    for name in ("a", "b"):
        room.viewer.add_image(
            rng.normal(size=shape).astype("f4"),
            name=name,
            axis_labels=("t", "y", "x"),
            **where,
        )
    form = room.form
    form.image.set_layer(room.viewer.layers["a"])
    room.click(form.image.add)
    room.click(form.new)
    layer = room.viewer.layers["a – strokes"]
    assert layer.data.shape == shape
    np.testing.assert_allclose(layer.rotate, room.viewer.layers["a"].rotate)
    layer.data_setitem((np.ones(9, int), np.arange(9), np.arange(9)), 1)
    layer.data_setitem((np.ones(9, int), np.arange(20, 29), np.arange(9)), 2)
    room.wait(lambda: form.reading.text() == "time 3 · y x · 2 channels (a, b) → 2D")
    form.net_size.setValue("small")
    room.counted({1: 9, 2: 9})
    room.train(2)
    room.click(room.panel.train.footer.predict)
    room.idle()
    result = room.viewer.layers["a + b – prediction"]
    assert result.data.shape == shape
    np.testing.assert_allclose(result.rotate, room.viewer.layers["a"].rotate)
    assert result.axis_labels == ("t", "y", "x")


# What does not fit


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"scale": (0.5, 0.5)}, "is not aligned with “DAPI”: their transforms differ (got scale"),
        ({"translate": (0, 3)}, "got translate [0.0, 3.0] beside [0.0, 0.0]"),
        ({"rotate": 10}, "got rotate"),
        ({"affine": [[1, 0, 0], [0.2, 1, 0], [0, 0, 1]]}, "got affine"),
        ({"shear": [0.1]}, "got shear"),
    ],
)
def test_layers_that_lie_elsewhere_are_refused(room, arguments, reason):
    strokes = fluorescence(room, ("DAPI",))
    room.viewer.add_image(np.zeros((64, 64), "u1"), name="moved", **arguments)
    room.viewer.add_labels(strokes, name="strokes")
    form = room.form
    form.image.set_layers([room.viewer.layers["DAPI"], room.viewer.layers["moved"]])
    room.wait(lambda: reason in form.reading.text())
    room.click(room.panel.train.footer.train)
    assert not room.panel.train.runner.running
    assert reason in room.form.reading.text()


def test_other_shapes_colours_and_the_same_layer_twice_are_refused(room):
    fluorescence(room)
    room.viewer.add_image(np.zeros((64, 60), "u1"), name="narrow")
    room.viewer.add_image(np.zeros((64, 64, 3), "u1"), name="colours", rgb=True)
    form, layers = room.form, room.viewer.layers
    for name, reason in (
        ("narrow", "“narrow” has another shape than “DAPI” (got 64 × 60 beside 64 × 64)"),
        ("colours", "“colours” has channels of its own"),
        ("DAPI", "“DAPI” is chosen for two channels"),
    ):
        form.image.set_layers([layers["DAPI"], layers[name]])
        room.wait(lambda reason=reason: reason in form.reading.text())
    form.image.combos[1].setCurrentIndex(-1)
    room.wait(lambda: "The layer of channel 2 is not chosen" in form.reading.text())


def test_strokes_that_lie_elsewhere_are_refused(room):
    prepare(room)
    strokes = room.viewer.layers["strokes"]
    strokes.scale = (2, 2)
    room.wait(lambda: "“strokes” is not aligned with “DAPI”" in room.form.reading.text())
    assert "got scale [2.0, 2.0] beside [1.0, 1.0]" in room.form.reading.text()
    room.click(room.panel.train.footer.train)
    assert not room.panel.train.runner.running
    strokes.scale = (1, 1)
    room.train(2)


def test_a_removed_channel_is_asked_for_and_never_replaced(room):
    prepare(room, names=("DAPI", "GFP", "Cy5"))
    form = room.form
    room.viewer.layers.remove("GFP")
    assert chosen(form.image) == ["DAPI", "Cy5"]
    assert form.image.lacking() == ["channel 2"]
    room.click(form.image._buttons[1])
    assert chosen(form.image) == ["DAPI", "Cy5"]
    assert form.image.lacking() == []
    room.train(2)
    assert model_of(room).channel_names == ("DAPI", "Cy5")


def test_the_button_offers_only_layers_that_could_be_channels(room):
    fluorescence(room, ("DAPI",))
    room.viewer.add_image(np.zeros((64, 60), "u1"), name="narrow")
    form = room.form
    form.image.set_layer(room.viewer.layers["DAPI"])
    assert not form.image.add.isEnabled()
    room.viewer.add_image(np.zeros((64, 64), "u1"), name="GFP")
    assert form.image.add.isEnabled()


def test_the_task_is_changed_and_the_channels_stay(room):
    prepare(room)
    room.panel.train.tasks.choice.setValue("denoise")
    assert chosen(room.form.image) == ["DAPI", "GFP"]


def test_further_images_have_as_many_channels(room):
    prepare(room)
    further = fluorescence(room, ("GFP", "DAPI"))
    room.viewer.add_labels(further, name="further strokes")
    form = room.form
    form.pairs_section.button.click()
    form.pairs.button.click()
    (row,) = form.pairs.rows
    assert len(row.image.layers()) == 2
    row.image.set_layers([room.viewer.layers["DAPI [1]"], room.viewer.layers["GFP [1]"]])
    assert isinstance(row.other.layer(), Labels)
    assert row.other.layer().name == "further strokes"
    room.train(2)
    training = room.panel.train.training
    assert len(training.started.plan["images"]) == 2
    sources = training.model.model.training["sources"]
    assert [pair[0]["name"] for pair in sources] == ["DAPI + GFP", "DAPI [1] + GFP [1]"]
    room.click(row.image._buttons[1])
    room.click(room.panel.train.footer.train)
    assert "Pair 2 has other channels than pair 1 (got 1 layer beside 2 layers)" in (
        room.panel.train.notice.text()
    )


def test_an_earlier_training_brings_the_layers_of_all_channels_back(room):
    prepare(room)
    room.click(room.form.new)
    layers = room.viewer.layers
    room.form.image.set_layers([layers["GFP"]])
    room.form.restore_layers([(layers["DAPI"], layers["GFP"], layers["strokes"])], 2)
    assert chosen(room.form.image) == ["DAPI", "GFP"]
    assert room.form.labels.layer() is layers["strokes"]
    room.train(2)
    state = RunState("segment", sources=room.panel.train.training.request.sources)
    assert state.facts()["layers"] == [["DAPI", "GFP", "strokes"]]
