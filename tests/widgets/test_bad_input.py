"""Everything a user can get wrong before training: said clearly, and nothing is lost."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from tests.widgets.conftest import two_classes


def told_once(room, notes):
    """Return the one error that the Train page says, be it below the choosers or as a notice."""
    page = room.panel.train
    reading = page.form.reading
    said = [page.notice.text()] if not page.notice.isHidden() else []
    said += [reading.text()] if reading.property("unet") == "error" else []
    assert notes == []
    (text,) = said
    return text


@pytest.fixture
def refused(room, notes):
    """Press Train and return the one message of it; the panel must be ready for another try."""

    def press():
        room.click(room.panel.train.footer.train)
        room.idle()
        page = room.panel.train
        text = told_once(room, notes)
        assert "\n" not in text
        assert "Traceback" not in text
        assert not page.footer.train.isHidden()
        assert not page.form._above.isHidden()
        assert room.panel.session.models == []
        return text

    return press


def test_no_layer(refused):
    assert "There is no image" in refused()


def test_no_strokes_layer(room, refused):
    room.open(two_classes()[0])
    text = refused()
    assert "no Labels layer" in text
    assert "New strokes layer" in text


def test_labels_and_image_of_unlike_shapes(room, refused):
    image, _ = two_classes()
    _, strokes = two_classes((32, 32))
    room.open(image, strokes)
    text = refused()
    assert "differ in shape" in text
    assert "(64, 64)" in text
    assert "(32, 32)" in text


@pytest.mark.parametrize("painted", [[], [1]])
def test_too_little_painted_is_waited_for_until_it_is_stopped(room, notes, painted):
    image, strokes = two_classes()
    room.open(image, np.where(np.isin(strokes, painted), strokes, 0))
    page = room.panel.train
    room.click(page.footer.train)
    room.wait(lambda: page.notice.text().startswith("Waiting: paint at least one stroke of"))
    assert ("a second label (press M)" in page.notice.text()) == bool(painted)
    assert ("Set label 0 to background." in page.notice.text()) == bool(painted)
    room.click(page.footer.stop)
    room.idle()
    assert notes == []
    assert not page.form._above.isHidden()
    assert not page.footer.train.isHidden()
    assert room.panel.session.models == []


def test_a_constant_image(room, refused):
    image, strokes = two_classes()
    room.open(np.full_like(image, 7), strokes, contrast_limits=(0, 10))
    assert "constant" in refused() or "same value" in refused()


def test_only_pixels_that_are_not_finite(room, refused):
    image, strokes = two_classes()
    room.open(np.full_like(image, np.nan), strokes, contrast_limits=(0, 1))
    assert "finite" in refused()


def test_some_pixels_that_are_not_finite_are_left_out_and_said(room, notes):
    image, strokes = two_classes()
    image[:8, :8], image[-4:, -4:] = np.nan, np.inf
    room.open(image, strokes, contrast_limits=(-3, 7))
    room.train(steps=2)
    assert notes == []
    assert "not finite" in room.panel.train.notice.text()
    (named,) = room.panel.session.models
    assert all(np.isfinite(w).all() for w in named.model.weights.values())


def test_an_image_smaller_than_the_smallest_tile_is_mirrored(room, notes):
    image, strokes = two_classes((30, 34))
    room.open(image, strokes)
    room.train(steps=2)
    assert notes == []
    assert len(room.panel.session.models) == 1


def test_three_dimensions_of_a_flat_image(room, refused):
    room.open(*two_classes())
    room.form.ndim.setValue(3)
    assert "3D network needs 3 spatial axes" in refused()


def test_after_a_refusal_the_same_panel_trains(room, notes):
    image, strokes = two_classes()
    room.open(image)
    room.click(room.panel.train.footer.train)
    assert "Labels layer" in told_once(room, notes)
    room.viewer.add_labels(strokes)
    room.train(steps=1)
    assert notes == []
    assert len(room.panel.session.models) == 1
    assert "Labels layer" not in room.panel.train.notice.text()


def test_an_image_that_cannot_be_read_is_named_with_the_reason(room, refused):
    image, strokes = two_classes()
    gone = []

    def read(block):
        if gone:
            raise OSError("the disk is gone")
        return block

    lazy = da.from_array(image, chunks=(64, 64)).map_blocks(read, dtype=image.dtype)
    room.open(lazy, strokes, contrast_limits=(0, 10))
    gone.append(True)
    assert "The image “picture” could not be read (OSError: the disk is gone)" in refused()
