"""The page to show to somebody: whole in itself, well-formed, and nothing in it runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.model import ClassInfo
from napari_unet.runs.curve import Curve
from napari_unet.runs.pictures import class_colours, image_rgb, labels_rgb
from napari_unet.runs.report import PlotLine, plot, report, ticks
from napari_unet.runs.state import RunState
from napari_unet.training.events import Validated
from tests.runs.states import EVIL, started, whole

VOID = {"meta", "img"}
finite = st.floats(-1e9, 1e9)


def story(**facts):
    told = RunState("segment", {"loss": "ce", "class_names": {"2": EVIL}}, **facts)
    for event in whole():
        told.feed(event)
    told.end("finished")
    return told


class Page(HTMLParser):
    """Reads a page; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.text, self.tags = [], [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_it_tells_what_a_colleague_asks():
    page = Page(report(story(), "2026-run"))
    for told in ("Segmentation", "2026-run", "finished", "CPU", "cell", EVIL, "0.500", "11"):
        assert told in page.text
    assert "2D U-Net" in page.text
    assert "napari-unet train" in page.text
    assert f"Paint more of {EVIL}." in page.text
    assert page.tags.count("svg") == 3
    assert ("style", "background:#ff0080") in page.attributes  # the class's own colour


def test_it_needs_nothing_else_and_nothing_in_it_runs():
    text = report(story(), EVIL, [(EVIL, np.zeros((2, 2, 3), np.uint8))])
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in ("src", "href")]
    assert sources
    assert all(value.startswith("data:image/png;base64,") for value in sources)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in text


def test_without_a_single_step_it_says_what_there_is():
    told = RunState("denoise")
    page = Page(report(told, "run"))
    assert "unfinished" in page.text
    assert "svg" not in page.tags
    told.feed(started(()))
    assert "Classes" not in Page(report(told, "run")).text


@given(st.text(max_size=30))
def test_whatever_is_written_the_page_is_whole(text):
    told = story()
    told.messages.append(("warning", text))
    told.names = (text, text)
    told.end(f"failed: {text}")
    assert Page(report(told, text, [(text, np.zeros((1, 1, 3), np.uint8))])).open == []


@given(st.lists(st.tuples(st.floats(0, 1e9), finite), min_size=1, max_size=40), st.booleans())
def test_curves_stay_inside_their_picture(points, log):
    svg = ET.fromstring(plot(EVIL, [PlotLine(EVIL, "red", points)], log=log))
    width, height = map(float, svg.get("viewBox").split()[2:])
    (way,) = svg.iter("{http://www.w3.org/2000/svg}polyline")
    drawn = [tuple(map(float, pair.split(","))) for pair in way.get("points").split()]
    assert len(drawn) == len(points)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in drawn)


def test_larger_is_higher_and_later_is_right():
    svg = plot("Loss", [PlotLine("", "red", [(0, 1.0), (10, 3.0), (20, 100.0)])], log=True)
    (way,) = re.findall(r'polyline points="([^"]*)"', svg)
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in way.split())
    assert x0 < x1 < x2
    assert y0 > y1 > y2
    assert plot("Loss", [PlotLine("", "red", [])]) == ""


@given(finite, st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(low, span):
    high = low + span
    if high - low < 1e-9 * abs(high):
        return
    found = ticks(low, high)
    assert len(found) <= 6
    room = 1e-6 * (high - low)
    assert all(low - room <= value <= high + room for value in found)


def test_a_curve_leaves_out_what_is_no_number():
    curve = Curve()
    for y in (1.0, None, float("nan"), float("inf"), 3.0):
        curve.append(0, y)
    assert list(curve.points()[1]) == [1.0, 3.0]


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 5), (2, 4, 5), (1, 3, 4, 5), (3, 3, 4, 5)])
def test_any_image_becomes_a_picture(shape):
    image = np.random.default_rng(0).normal(size=shape)
    image[..., 0, 0] = np.nan
    assert (image_rgb(image).shape, image_rgb(image).dtype) == ((4, 5, 3), np.uint8)
    assert image_rgb(np.ones(shape)).shape == (4, 5, 3)


def test_two_images_can_be_shown_equally_bright():
    dark, bright = np.linspace(0, 1, 100).reshape(1, 10, 10), np.full((1, 2, 2), 0.5)
    assert abs(int(image_rgb(bright, dark).max()) - 127) <= 2
    assert image_rgb(bright, np.full((1, 2, 2), np.nan)).max() == 127


def test_labels_shine_in_the_colours_of_their_classes():
    labels = np.array([[0, 1], [4, 9]])
    found = labels_rgb(labels, {1: (255, 0, 0), 4: (0, 0, 200)})
    assert found.tolist() == [[[0, 0, 0], [255, 0, 0]], [[0, 0, 200], [0, 0, 0]]]
    base = np.full((2, 2, 3), 100, np.uint8)
    assert labels_rgb(labels, {1: (200, 0, 100)}, base)[0].tolist() == [[100] * 3, [150, 50, 100]]
    background = class_colours((ClassInfo(0), ClassInfo(1, color=(1.0, 0.0, 0.0, 1.0))))
    assert background == {0: (128, 128, 128), 1: (255, 0, 0)}
    assert labels_rgb(labels * 0, background, base).tolist() == base.tolist()


def test_too_few_held_out_pixels_are_said_not_scored():
    told = story()
    told.feed(Validated(4, 0.1, "IoU", (None, 1.0), 30, ((0, 0), (0, 30))))
    told.end("finished")
    said = Page(report(told, "run")).text
    assert said.count("too few to tell") >= 2  # mean, class
    assert "1.000" in said
    assert told.facts()["mean_score"] is None
