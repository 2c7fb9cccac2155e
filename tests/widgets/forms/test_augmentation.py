"""Augmentation in the panel: a line in the form, a dialog with a list, and eight pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unet.data.augment_options import CHANGES, AugmentOptions
from napari_unet.errors import InputError
from napari_unet.widgets.forms.augmentation import AugmentEdit, ChangeList, summary
from tests.widgets.conftest import two_classes


@pytest.fixture
def changes(qtbot):
    widget = ChangeList()
    qtbot.addWidget(widget)
    return widget


def opened(room):
    """Open the dialog as a user does."""
    room.click(room.form.advanced_section.button)
    room.form.augment.edit.click()
    return room.form.augment.dialog


def settled(room, dialog):
    """Wait until eight pictures are there, and nothing more is coming; return them."""
    pictures = dialog.pictures
    room.wait(
        lambda: not pictures._request_soon._hasPendingEmission and not pictures.runner.running
    )
    assert pictures.text == ""
    return [bits(image) for image in pictures.images]


def bits(image):
    pointer = image.constBits()
    pointer.setsize(image.sizeInBytes())
    rows = np.frombuffer(pointer, np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def said(room, dialog):
    """Wait until there is a text in the place of the pictures; return it."""
    room.wait(lambda: dialog.pictures.text and not dialog.pictures.text.startswith("Drawing"))
    assert dialog.pictures.images == []
    return dialog.pictures.text


LIMITS = {
    name: next((m.le for m in AugmentOptions.model_fields[name].metadata if hasattr(m, "le")), 1)
    for name in CHANGES
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_list_gives_back_whatever_it_is_given(changes, data):
    made = data.draw(st.sets(st.sampled_from(CHANGES)))
    part = st.integers(1, 1000).map(lambda n: n / 1000)
    values = {name: data.draw(part) * LIMITS[name] if name in made else 0 for name in CHANGES}
    values["flip"] = "flip" in made
    chance = {name: data.draw(part) for name in made}
    options = AugmentOptions(**values, chance=chance, per_channel=data.draw(part))
    changes.setValue(options)
    got = changes.value()
    assert (got.chance, got.per_channel) == (options.chance, options.per_channel)
    for name in CHANGES:
        assert getattr(got, name) == pytest.approx(getattr(options, name), rel=1e-9)


def test_the_usual_is_given_back_exactly(changes):
    assert changes.value() == AugmentOptions()
    odd = AugmentOptions(scale=0.07, noise=0.123456, chance={"noise": 0.29, "flip": 0.0})
    changes.setValue(odd)
    assert changes.value() == odd


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_can_be_turned_off_and_on_again(changes, qtbot, name):
    changes.setValue(AugmentOptions.off())
    row = changes.rows[name]
    assert not row.chance.isEnabled()
    with qtbot.waitSignal(changes.valueChanged):
        row.check.click()
    extra = AugmentOptions.model_fields[name].json_schema_extra
    assert changes.value() == AugmentOptions.off().model_copy(update={name: extra["try"]})
    assert row.chance.isEnabled()
    row.chance.set_amount(0.25)
    assert changes.value().chance == {name: 0.25}
    row.check.click()
    assert changes.value() == AugmentOptions.off()


def test_channels_can_change_on_their_own_where_contrast_or_brightness_change(changes, qtbot):
    share = changes.per_channel
    assert share.isEnabled()
    assert share.amount() == 0
    with qtbot.waitSignal(changes.valueChanged):
        share.set_amount(0.5)
    assert changes.value() == AugmentOptions(per_channel=0.5)
    for name in ("intensity", "brightness"):
        assert share.isEnabled()
        changes.rows[name].check.click()
    assert not share.isEnabled()
    changes.rows["brightness"].check.click()
    assert share.isEnabled()
    changes.setValue(AugmentOptions())
    assert share.amount() == 0


def test_every_line_says_what_it_is_and_in_which_unit(changes):
    suffixes = {row.amount.suffix() for row in changes.rows.values() if row.amount}
    assert suffixes == {"°", " %", " pixels", " units"}
    for name, row in changes.rows.items():
        field = AugmentOptions.model_fields[name]
        assert row.check.text() == field.title
        assert all(editor.toolTip() for editor in row.editors)
        assert row.check.toolTip().startswith(field.description)


def test_no_number_beyond_the_limits_can_be_entered(changes):
    blur, chance = changes.rows["blur"], changes.rows["blur"].chance
    blur.check.setValue(True)
    for editor, typed, held in ((blur.amount, "99", 5), (chance, "250", 1), (chance, "-3", 0)):
        editor.selectAll()
        QTest.keyClicks(editor, typed)
        QTest.keyClick(editor, Qt.Key.Key_Return)
        assert editor.amount() == held
    # The arrows go from limit to limit too, in the unit that is shown.
    zoom = changes.rows["scale"].amount
    zoom.setValue(25)
    zoom.stepBy(1)
    assert zoom.amount() == 0.26
    zoom.setValue(100)
    zoom.stepBy(5)
    assert zoom.amount() == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Mirror, rotate 180°, zoom 25 %, contrast 25 %, brightness 0.25"),
        ({"flip": False, "scale": 0, "blur": 1.5}, "blur 1.5 pixels"),
        ({"noise": 0.1, "chance": {"noise": 0.5}}, "noise 0.1 (50 %)"),
        ({"chance": {"flip": 0.0}}, "Rotate 180°"),
        ({"per_channel": 0.5}, "brightness 0.25, per channel (50 %)"),
    ],
)
def test_the_form_says_in_a_line_what_is_set(qtbot, options, text):
    edit = AugmentEdit()
    qtbot.addWidget(edit)
    edit.setValue(AugmentOptions(**options))
    assert text in edit.text.text()
    edit.setValue(AugmentOptions.off())
    assert edit.text.text() == summary(AugmentOptions.off()) == "None"


def test_eight_samples_around_a_stroke_are_shown(painted):
    image, strokes = (layer.data.copy() for layer in painted.viewer.layers)
    dialog = opened(painted)
    pictures = settled(painted, dialog)
    assert len(pictures) == 8
    assert all((a != b).any() for a, b in pairwise(pictures))
    # Strokes are coloured, the picture is grey.
    assert all(0 < (np.ptp(p, axis=2) > 0).mean() < 0.9 for p in pictures)
    assert "around a stroke" in dialog.caption.text()
    assert not dialog.isModal()
    for before, layer in zip((image, strokes), painted.viewer.layers, strict=True):
        assert np.array_equal(before, layer.data)


def test_a_change_is_drawn_at_once_and_goes_into_the_training(painted):
    dialog = opened(painted)
    painted.click(dialog.none)
    plain = settled(painted, dialog)
    assert all((p == plain[0]).all() for p in plain)
    painted.click(dialog.list.rows["noise"].check)
    noisy = settled(painted, dialog)
    assert all((p != plain[0]).any() for p in noisy)
    dialog.list.rows["noise"].chance.set_amount(0.5)
    some = settled(painted, dialog)
    same = [(p == plain[0]).all() for p in some]
    assert 0 < sum(same) < 8
    assert painted.form.augment.text.text() == "Noise 0.2 (50 %)"
    painted.train(steps=1)
    options = painted.panel.session.models[0].model.training["options"]
    assert options["augment"]["noise"] == 0.2
    assert options["augment"]["chance"] == {"noise": 0.5}
    assert not options["augment"]["flip"]


def test_none_and_usual(painted):
    dialog = opened(painted)
    painted.click(dialog.none)
    assert painted.form.advanced.value().augment.flip is False
    assert painted.form.augment.value() == AugmentOptions.off()
    painted.click(dialog.usual)
    assert painted.form.advanced.value().augment == AugmentOptions()


def test_another_eight_are_others_and_the_same_numbers_give_the_same(painted):
    dialog = opened(painted)
    first = settled(painted, dialog)
    dialog.pictures.renew()
    again = settled(painted, dialog)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    painted.click(dialog.another)
    other = settled(painted, dialog)
    assert all((a != b).any() for a, b in zip(first, other, strict=True))


def test_without_an_image_there_is_one_of_ours(room):
    dialog = opened(room)
    settled(room, dialog)
    assert dialog.caption.text() == "A built-in image, because no image is chosen yet."
    room.open(two_classes()[0])
    room.wait(lambda: "in the middle of the view" in dialog.caption.text())
    settled(room, dialog)


def test_without_strokes_a_stack_is_shown_where_one_looks(room):
    stack = two_classes((12, 64, 64))[0]
    room.open(stack)
    room.viewer.dims.set_point(0, 7)
    read = room.form.patch_reader()
    assert read.__self__.point[0] == 7
    assert read(0).shape == room.form.patch_reader()(0).shape
    assert len(read(0).shape) == 2


def test_colours_are_shown_as_colours(room):
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = np.random.default_rng(0).integers(0, 255, (64, 64))
    room.open(image)
    assert room.viewer.layers[0].rgb
    dialog = opened(room)
    painted = settled(room, dialog)
    assert painted[0][..., 0].std() > 20
    assert painted[0][..., 0].mean() > painted[0][..., 1].mean() + 20


def test_what_does_not_fit_is_said_in_the_place_of_the_pictures(room):
    room.open(two_classes()[0], np.zeros((32, 32), np.uint8))
    dialog = opened(room)
    assert "shape" in said(room, dialog)
    room.form.advanced.form.editors["batch_size"].setValue(1000)
    room.click(dialog.another)
    room.wait(lambda: "Batch size" in dialog.pictures.text)


def test_an_error_while_drawing_is_said_and_the_next_change_tries_again(painted, monkeypatch):
    from napari_unet.widgets.train import patch_source

    def fail(*_):
        raise InputError("The disk has gone")

    with monkeypatch.context() as broken:
        broken.setattr(patch_source, "_opened", fail)
        dialog = opened(painted)
        assert said(painted, dialog) == "The disk has gone."
    painted.click(dialog.list.rows["blur"].check)
    assert len(settled(painted, dialog)) == 8


def test_the_dialog_follows_what_is_set_elsewhere(painted):
    dialog = opened(painted)
    painted.form.augment.setValue(AugmentOptions(blur=2))
    assert dialog.value() == AugmentOptions(blur=2)
    settled(painted, dialog)


def test_closed_it_draws_nothing_and_opened_again_it_is_the_same(painted):
    dialog = opened(painted)
    dialog.list.rows["blur"].check.click()
    painted.click(dialog.shut)
    assert not dialog.isVisible()
    painted.form.augment.setValue(AugmentOptions(blur=1, noise=0.5))
    assert not dialog.pictures._request_soon._hasPendingEmission
    painted.form.augment.edit.click()
    assert painted.form.augment.dialog is dialog
    assert dialog.value().noise == 0.5
    settled(painted, dialog)


def test_enter_in_a_number_ends_the_typing_and_no_more(painted):
    dialog = opened(painted)
    rotate = dialog.list.rows["rotate_degrees"].amount
    rotate.setFocus()
    rotate.selectAll()
    QTest.keyClicks(rotate, "45")
    QTest.keyClick(rotate, Qt.Key.Key_Return)
    assert dialog.isVisible()
    assert dialog.value() == AugmentOptions(rotate_degrees=45)


def test_it_is_drawn_in_either_theme_and_wears_it(painted):
    dialog = opened(painted)
    settled(painted, dialog)
    dark = dialog.grab().toImage().pixelColor(3, 3).lightness()
    painted.click(dialog.shut)
    painted.viewer.theme = "light"
    painted.form.augment.edit.click()
    settled(painted, dialog)
    assert dialog.grab().toImage().pixelColor(3, 3).lightness() > dark + 100


def test_it_closes_with_the_dock_and_ends_with_the_window(viewer, qtbot):
    from napari_unet.widgets.panel import open_panel

    host = open_panel(viewer, "train")
    viewer.window.add_dock_widget(host)
    edit = host.panel.train.form.augment
    edit.open()
    dialog = edit.dialog
    assert dialog.isVisible()
    viewer.window.remove_dock_widget(host)
    qtbot.waitUntil(lambda: not dialog.isVisible())
    viewer.close()
    qtbot.waitUntil(lambda: not isalive(dialog))
