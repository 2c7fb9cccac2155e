"""Labels from probabilities, without predicting again."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

import napari_unet
from napari_unet import InputError, RefineOptions, refine
from napari_unet.control import Control
from napari_unet.postprocessing.objects import find_regions
from napari_unet.postprocessing.refine import PartRefined, Refined, refine_events

VALUES = (1, 4, 7)
SHAPES = st.sampled_from([(7, 8), (1, 9), (4, 5, 6)])


@st.composite
def some_probabilities(draw):
    """Return bytes for three classes that add up to about 1, with ties and full certainty."""
    shape = draw(SHAPES)
    sharp = draw(st.sampled_from([0, 1, 4]))
    numbers = draw(hnp.arrays(np.uint8, (3, *shape), elements=st.integers(0, 12)))
    powers = (numbers + 1.0) ** sharp
    return np.rint(255 * powers / powers.sum(0)).astype(np.uint8)


OPTIONS = st.builds(
    RefineOptions,
    object_class=st.sampled_from([None, *VALUES]),
    threshold=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    smallest=st.integers(0, 9),
    holes=st.integers(0, 5),
    split=st.booleans(),
    distance=st.floats(0, 5),
)


def run(probabilities, options, **more):
    return refine(probabilities, options, values=VALUES, **more)


def certain(labels):
    return np.stack([np.where(labels == value, 255, 0) for value in VALUES]).astype(np.uint8)


@given(some_probabilities())
def test_without_options_it_is_the_likeliest_class(probabilities):
    labels = refine(probabilities, values=VALUES)
    assert np.array_equal(labels, np.array(VALUES)[probabilities.argmax(0)])
    assert labels.dtype == np.uint8


@given(some_probabilities(), OPTIONS)
def test_it_keeps_its_promises_about_classes(probabilities, options):
    labels = run(probabilities, options)
    assert set(np.unique(labels)) <= set(VALUES)
    again = run(certain(labels), options.model_copy(update={"threshold": 0.5}))
    assert np.array_equal(again, labels)  # nothing is left to do
    assert np.array_equal(run(probabilities, options), labels)
    if options.object_class is not None:
        chosen = VALUES.index(options.object_class)
        mine = labels == options.object_class
        sizes = np.bincount(find_regions(mine)[0].ravel())[1:]
        assert (sizes >= options.smallest).all()
        rest = np.where(
            np.arange(3)[:, None] == chosen, -1, probabilities.reshape(3, -1).astype(int)
        )
        likeliest = np.array(VALUES)[rest.argmax(0)].reshape(labels.shape)
        assert np.array_equal(labels[~mine], likeliest[~mine])


@given(some_probabilities(), OPTIONS)
def test_it_keeps_its_promises_about_objects(probabilities, options):
    objects = run(probabilities, options.model_copy(update={"output": "objects"}))
    classes = run(probabilities, options)
    numbers = np.unique(objects[objects > 0])
    assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert objects.dtype == np.min_scalar_type(len(numbers))
    wanted = classes == options.object_class if options.object_class else classes > 0
    assert np.array_equal(objects > 0, wanted)
    for number in numbers:
        mine = objects == number
        assert find_regions(mine)[1] == 1
        assert len(np.unique(classes[mine])) == 1
        assert mine.sum() >= min(options.smallest, objects.size)


@given(some_probabilities(), OPTIONS)
def test_floats_and_bytes_are_the_same(probabilities, options):
    floats = probabilities.astype(np.float64) / 255
    assert np.array_equal(run(floats, options), run(probabilities, options))


def test_a_known_picture_falls_into_known_objects():
    cells = np.zeros((20, 30))
    cells[2:8, 2:8] = 0.9  # one
    cells[4, 4] = 0.2  # with a hole
    cells[10:18, 3:9] = 0.6  # another, less sure
    cells[5, 20] = 0.95  # a speck
    probabilities = np.stack([cells, 1 - cells]).astype(np.float32)
    sure = RefineOptions(object_class=1, threshold=0.8, smallest=5, holes=3, output="objects")
    objects = refine(probabilities, sure)
    assert objects.max() == 1
    assert (objects[2:8, 2:8] == 1).all()
    assert objects.sum() == 36
    unsure = sure.model_copy(update={"threshold": 0.5, "smallest": 0, "holes": 0})
    objects = refine(probabilities, unsure)
    assert objects.max() == 3
    assert sorted(np.bincount(objects.ravel())[1:]) == [1, 35, 48]
    classes = refine(probabilities, sure.model_copy(update={"output": "classes"}))
    assert classes[4, 4] == 1
    assert classes[5, 20] == 2


def test_the_threshold_at_its_ends():
    probabilities = np.array([[[0.0, 0.3, 1.0]], [[1.0, 0.7, 0.0]]])
    assert refine(probabilities, RefineOptions(object_class=1, threshold=0)).tolist() == [[1, 1, 1]]
    assert refine(probabilities, RefineOptions(object_class=1, threshold=1)).tolist() == [[2, 2, 1]]


def test_the_threshold_itself_is_reached():
    probabilities = np.array([[[0.1, 0.3]], [[0.9, 0.7]]], np.float32)
    options = RefineOptions(object_class=1, threshold=0.3)
    assert refine(probabilities, options).tolist() == [[2, 1]]


def test_one_class_alone_leaves_nothing_below_the_threshold():
    options = RefineOptions(object_class=3, threshold=0.5)
    assert refine(np.array([[[0.2, 0.8]]]), options, values=[3]).tolist() == [[0, 3]]


def test_class_zero_is_background_and_no_object():
    labels = np.array([[0, 1, 1, 0, 2]])
    probabilities = np.stack([labels == v for v in (0, 1, 2)]).astype(np.float32)
    objects = refine(probabilities, RefineOptions(output="objects"), values=(0, 1, 2))
    assert objects.tolist() == [[0, 1, 1, 0, 2]]
    assert not refine(probabilities[:1], RefineOptions(output="objects"), values=[0]).any()


def checkered(planes=3, side=40):
    """Return a stack in which every second pixel of each plane is an object."""
    mask = np.zeros((planes, side, side), bool)
    mask[:, ::2, ::2] = True
    return np.stack([mask, ~mask]).astype(np.float32)


def test_objects_are_numbered_through_planes_that_are_refined_one_by_one():
    options = RefineOptions(object_class=1, output="objects")
    probabilities = checkered()
    objects = refine(probabilities, options, spatial_ndim=2)
    assert objects.max() == 1200
    assert objects.dtype == np.uint16
    assert np.array_equal(np.unique(objects), np.arange(1201))
    assert np.array_equal(objects[0], refine(probabilities[:, 0], options))


def test_planes_can_be_connected():
    options = RefineOptions(object_class=1, output="objects", through_planes=True, smallest=2)
    objects = refine(checkered(), options, spatial_ndim=2)
    assert objects.max() == 400
    assert np.array_equal(objects[0], objects[2])
    apart = options.model_copy(update={"through_planes": False})
    assert refine(checkered(), apart, spatial_ndim=2).max() == 0
    films = np.stack([checkered(), checkered()], 1)
    assert refine(films, options, spatial_ndim=2).max() == 800
    assert refine(checkered()[:, 0], options, spatial_ndim=2).max() == 0  # there is one plane only


def test_spacing_reaches_the_watershed():
    z, y, x = np.indices((12, 24, 24))
    far = [((5 * z - at) ** 2 + (y - 12) ** 2 + (x - 12) ** 2) > 100 for at in (20, 38)]
    mask = ~(far[0] & far[1])
    probabilities = np.stack([mask, ~mask]).astype(np.float32)
    options = RefineOptions(object_class=1, output="objects", split=True, distance=12)
    assert refine(probabilities, options, spacing=(99, 5, 1, 1)).max() == 2
    assert refine(probabilities, options).max() == 1


def test_events_tell_of_each_part_and_obey():
    control, seen = Control(), []
    for event in refine_events(checkered(), spatial_ndim=2, control=control):
        seen.append(event)
        control.stop()
    assert seen[0] == PartRefined(1, 3)
    assert isinstance(seen[1], Refined)
    assert not seen[1].complete
    assert seen[1].labels[0].all()
    assert not seen[1].labels[1:].any()
    *_, last = refine_events(checkered(), spatial_ndim=2)
    assert last.complete


@pytest.mark.parametrize(
    ("probabilities", "more", "words"),
    [
        (np.zeros((2, 5)), {}, "too few axes"),
        (np.zeros((2, 5, 5)), {"spatial_ndim": 3}, "too few axes"),
        (np.zeros((2, 5, 5), int), {}, "not probabilities"),
        (np.zeros((2, 5, 5)), {"values": (1, 2, 3)}, "needs a label"),
        (np.zeros((2, 5, 5)), {"values": (-1, 2)}, "needs a label"),
        (np.zeros((2, 5, 5)), {"spacing": (1,)}, "spacing"),
        (np.zeros((2, 5, 5)), {"spacing": (0, 1)}, "spacing"),
        (np.zeros((2, 5, 5)), {"options": RefineOptions(object_class=3)}, "no such class"),
    ],
)
def test_what_does_not_fit_is_refused(probabilities, more, words):
    with pytest.raises(InputError, match=words):
        refine(probabilities, **more)


@pytest.mark.parametrize(
    "bad", [{"threshold": 1.1}, {"smallest": -1}, {"holes": -1}, {"distance": -1}, {"hole": 1}]
)
def test_options_have_limits(bad):
    with pytest.raises(ValidationError):
        RefineOptions(**bad)


def test_it_needs_no_torch():
    code = "import sys, napari_unet; napari_unet.refine; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_names_are_public():
    assert {"refine", "RefineOptions"} <= set(napari_unet.__all__)
    assert napari_unet.refine is refine
