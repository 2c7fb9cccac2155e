"""Which axis is what."""

from __future__ import annotations

import pytest

from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, find_layout


@pytest.mark.parametrize(
    ("shape", "ndim", "known", "expected"),
    [
        ((64, 64), 2, {}, AxisLayout((), None, (0, 1))),
        ((5, 64, 64), 2, {}, AxisLayout((0,), None, (1, 2))),
        ((5, 64, 64), 3, {}, AxisLayout((), None, (0, 1, 2))),
        ((2, 5, 64, 64), 3, {}, AxisLayout((0,), None, (1, 2, 3))),
        ((64, 64, 3), 2, {"rgb": True}, AxisLayout((), 2, (0, 1))),
        ((7, 64, 64, 4), 2, {"rgb": True}, AxisLayout((0,), 3, (1, 2))),
        ((64, 64, 2), 2, {"channel_axis": -1}, AxisLayout((), 2, (0, 1))),
        ((2, 64, 64), 2, {"channel_axis": 0}, AxisLayout((), 0, (1, 2))),
        ((64, 2, 64), 2, {"channel_axis": 1}, AxisLayout((), 1, (0, 2))),
        ((5, 2, 64, 64), 2, {"names": "tcyx"}, AxisLayout((0,), 1, (2, 3))),
        ((5, 64, 64, 2), 3, {"names": ("z", "y", "x", " Channel ")}, AxisLayout((), 3, (0, 1, 2))),
        ((5, 2, 64, 64), 2, {"labels_shape": (5, 64, 64)}, AxisLayout((0,), 1, (2, 3))),
        # Labels of the image's shape: it has no channels.
        ((5, 64, 64), 2, {"labels_shape": (5, 64, 64)}, AxisLayout((0,), None, (1, 2))),
        # The shortest of several that fit.
        ((3, 64, 64), 2, {"labels_shape": (64, 64)}, AxisLayout((), 0, (1, 2))),
        # Labels know better than names, and an explicit answer better than both.
        (
            (2, 5, 64, 64),
            2,
            {"labels_shape": (5, 64, 64), "names": "tcyx"},
            AxisLayout((1,), 0, (2, 3)),
        ),
        ((2, 5, 64), 2, {"channel_axis": None, "names": "cyx"}, AxisLayout((0,), None, (1, 2))),
    ],
)
def test_roles(shape, ndim, known, expected):
    assert find_layout(shape, ndim, **known) == expected


def test_sizes_by_role():
    layout = AxisLayout((0, 3), 1, (2, 4))
    shape = (5, 2, 64, 7, 32)
    assert layout.loop_shape(shape) == (5, 7)
    assert layout.spatial_shape(shape) == (64, 32)
    assert layout.channels(shape) == 2
    assert AxisLayout((), None, (0, 1)).channels((4, 4)) == 1
    assert AxisLayout((), None, (0, 1)).loop_shape((4, 4)) == ()


def test_labels_have_the_same_axes_but_the_channels():
    layout = AxisLayout((0, 3), 1, (2, 4))
    assert layout.labels == AxisLayout((0, 2), None, (1, 3))
    assert layout.labels.labels == layout.labels


def test_too_few_axes_is_said_with_the_shape():
    with pytest.raises(InputError, match=r"3D network needs 3 spatial axes \(got shape \(64, 64\)"):
        find_layout((64, 64), 3)


@pytest.mark.parametrize("channel", [0, 2])
def test_too_few_axes_beside_the_channels_is_said_with_the_channel_axis(channel):
    with pytest.raises(InputError, match=rf"\(9, 64, 64\) with channel axis {channel}"):
        find_layout((9, 64, 64), 3, channel_axis=channel)


@pytest.mark.parametrize("channel", [2, -3])
def test_a_channel_axis_that_is_not_there_is_said(channel):
    with pytest.raises(InputError, match=rf"no such channel axis \(got axis {channel} of an image"):
        find_layout((64, 64), 2, channel_axis=channel)
