"""Every example in a docstring runs, and shows what it says it shows."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import napari_unet

MODULES = [
    "napari_unet",
    *(m.name for m in pkgutil.walk_packages(napari_unet.__path__, "napari_unet.")),
]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", [m for m in MODULES if not m.endswith("__main__")])
def test_examples(name, request, tmp_path, monkeypatch):
    if name.startswith("napari_unet.widgets"):
        request.getfixturevalue("qapp")
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 0


def test_an_example_that_lies_is_noticed(capsys):
    module = type(pytest)("liar", ">>> 1 + 1\n3\n")
    assert doctest.testmod(module, optionflags=OPTIONS).failed == 1
