from __future__ import annotations

import socket

import numpy as np
import pytest
from skimage.data import _fetchers

from napari_unet.errors import InputError
from napari_unet.samples import catalogue, cells2d, names, sample, volume3d


@pytest.fixture(params=names())
def found(request):
    return sample(request.param)


def test_the_parts_of_a_sample_fit_together(found):
    spatial = found.strokes.shape
    assert found.image.shape == (*spatial, 3)[: found.image.ndim]
    assert found.truth is not None
    assert found.truth.shape == spatial
    assert found.strokes.dtype == found.truth.dtype == np.uint8
    assert len(found.scale) == len(found.units) == len(found.axis_labels) == len(spatial)
    assert found.rgb == (found.image.ndim == 3 and found.name == "cells2d")


def test_the_truth_is_complete_and_every_class_is_painted(found):
    classes = set(found.class_names)
    assert set(np.unique(found.truth)) == classes
    assert set(np.unique(found.strokes)) == {0} | classes
    for value in classes:
        assert (found.strokes == value).sum() > 400


def test_strokes_are_few_and_right(found):
    painted = found.strokes > 0
    assert (found.strokes == found.truth)[painted].mean() >= 0.99
    planes = painted.reshape(-1, *painted.shape[-2:]).mean((1, 2))
    assert 0.01 < planes.max() < 0.05


def test_the_description_says_where_the_sample_and_its_truth_come_from(found):
    assert "Source: skimage" in found.description or "synthetic" in found.description
    assert "truth" in found.description


def test_each_caller_gets_arrays_of_its_own(found):
    untouched = sample(found.name)
    found.image[:] = 0
    found.strokes[:] = 1
    found.truth[:] = 0
    found.class_names.clear()
    again = sample(found.name)
    for field in ("image", "strokes", "truth"):
        assert (getattr(again, field) == getattr(untouched, field)).all()
    assert again.class_names == untouched.class_names != {}


def test_a_sample_is_made_only_once(monkeypatch):
    sample("volume3d")
    monkeypatch.setitem(catalogue._BUILDERS, "volume3d", None)
    assert sample("volume3d").name == "volume3d"


@pytest.mark.parametrize("build", [cells2d.build, volume3d.build])
def test_made_anew_it_is_the_same_and_needs_no_network(build, monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("a sample asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    if _fetchers._image_fetcher is not None:
        monkeypatch.setattr(_fetchers._image_fetcher, "fetch", refuse)
    fresh = build()
    known = sample(fresh.name)
    for field in ("image", "strokes", "truth"):
        assert (getattr(fresh, field) == getattr(known, field)).all()


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match=r"'cells3d'.*'cells2d' or 'volume3d'"):
        sample("cells3d")
