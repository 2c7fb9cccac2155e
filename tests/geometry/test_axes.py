"""Which axis is what."""

from __future__ import annotations

import pytest

from napari_unet.errors import InputError
from napari_unet.geometry.axes import AxisLayout, describe_layout, find_layout, name_axes

TCYX = AxisLayout((0,), 1, (2, 3))
STACKS = AxisLayout((0, 1), None, (2, 3))
FRAMES = AxisLayout((0,), None, (1, 2))


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
        # Names know better than labels, and an explicit answer better than both.
        ((2, 2, 64, 64), 2, {"labels_shape": (2, 64, 64), "names": "tcyx"}, TCYX),
        ((5, 8, 64, 64), 2, {"labels_shape": (8, 64, 64), "names": "tzyx"}, STACKS),
        ((5, 64, 64), 2, {"labels_shape": (64, 64), "names": "zyx"}, FRAMES),
        # One frame is no choice: labels may lack its axis.
        (
            (1, 8, 64, 64),
            2,
            {"labels_shape": (8, 64, 64), "names": "tzyx"},
            AxisLayout((1,), 0, (2, 3)),
        ),
        # Time is looped over, wherever it stands, unless nothing else is left.
        ((64, 64, 5), 2, {"names": ("Y", "x", "Time")}, AxisLayout((2,), None, (0, 1))),
        ((5, 8, 64, 64), 3, {"names": ("frame", "", "", "")}, AxisLayout((0,), None, (1, 2, 3))),
        ((5, 64, 64), 3, {"names": "tyx"}, AxisLayout((), None, (0, 1, 2))),
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


@pytest.mark.parametrize(
    ("names", "units", "expected"),
    [
        (("", "y", "x"), ("Second", "µm", "µm"), ("t", "y", "x")),
        (
            ("axis -3", "axis -2", "axis -1"),
            ("hour", "pixel", "pixel"),
            ("t", "axis -2", "axis -1"),
        ),
        # A name that is known decides, whatever the unit.
        (("z", "t", "x"), ("ms", "µm", "µm"), ("z", "t", "x")),
        (("", "", ""), ("", "", ""), ("", "", "")),
    ],
)
def test_a_unit_of_time_names_an_axis(names, units, expected):
    assert name_axes(names, units) == expected


@pytest.mark.parametrize(
    ("shape", "ndim", "names", "expected"),
    [
        ((8, 64, 64), 2, "tyx", "time 8 · y x · 1 channel → 2D"),
        ((5, 2, 9, 64, 64), 3, "tczyx", "time 5 · z y x · 2 channels → 3D"),
        ((5, 9, 64, 64), 2, "tzyx", "time 5 · z 9 · y x · 1 channel → 2D"),
        ((8, 64, 64), 2, None, "axis 0: 8 · y x · 1 channel → 2D"),
        ((8, 64, 64), 3, "tyx", "time y x · 1 channel → 3D (time is read as depth)"),
    ],
)
def test_one_line_says_how_an_image_is_read(shape, ndim, names, expected):
    assert describe_layout(shape, find_layout(shape, ndim, names=names), names) == expected


def test_colours_are_called_so():
    layout = find_layout((64, 64, 3), 2, rgb=True)
    assert describe_layout((64, 64, 3), layout, rgb=True) == "y x · 3 colours → 2D"
