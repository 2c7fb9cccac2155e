"""What a user installs: manifest, entry points, dependencies and the wheel."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from napari_unet import _version

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_unet"
NAME = "napari-unet-live"
# What is needed without being imported: tifffile opens compressed files with it.
NEVER_IMPORTED = {"imagecodecs"}


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution(NAME)


def requirements(extra: str = "") -> dict[str, Requirement]:
    """Return what the package requires, or what one of its extras adds to that."""
    found = [Requirement(line) for line in metadata.requires(NAME) or ()]
    wanted = [r for r in found if (f'extra == "{extra}"' in str(r.marker)) == bool(extra)]
    return {canonicalize_name(r.name): r for r in wanted if extra or "extra" not in str(r.marker)}


def constraints() -> dict[str, str]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = (line.split("==") for line in text.splitlines() if not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pins}


def imported_packages(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def third_party(paths: Iterator[Path]) -> set[str]:
    """Return the distributions that hold what these files import."""
    names = {name for path in paths for name in imported_packages(path)}
    names -= sys.stdlib_module_names | {"napari_unet"}
    owners = metadata.packages_distributions()
    return {canonicalize_name(owners[name][0]) for name in names}


def test_version_has_one_source():
    assert metadata.version(NAME) == _version.__version__


def test_console_script_leads_to_a_callable():
    (script,) = metadata.entry_points(group="console_scripts", name="napari-unet")
    assert callable(script.load())


def test_manifest_is_found_by_npe2(manifest):
    assert (manifest.name, manifest.display_name) == (NAME, "U-Net Live")
    assert [w.display_name for w in manifest.contributions.widgets] == ["Train", "Predict"]


def test_manifest_names_only_what_exists(manifest, qapp):
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_manifest_uses_only_commands_it_declares(manifest):
    all_of = manifest.contributions
    items = [item for menu in all_of.menus.values() for item in menu]
    users = [*all_of.widgets, *all_of.sample_data, *all_of.keybindings, *all_of.readers, *items]
    assert {u.command for u in users} == {c.id for c in all_of.commands}


def test_keys_of_the_manifest_are_those_the_panel_binds(manifest):
    from napari_unet.widgets import panel

    keys = {k.command.partition(".")[2]: k.key for k in manifest.contributions.keybindings}
    bound = {
        "toggle_training": panel.TOGGLE_KEY,
        "run_prediction": panel.PREDICT_KEY,
        "paint_here_next": panel.GUIDE_KEY,
    }
    assert {name: key.replace("+", "-") for name, key in keys.items()} == bound


def test_manifest_at_the_root_is_the_one_in_the_package():
    real = SOURCE / "napari.yaml"
    link = ROOT / "napari.yaml"
    # A checkout on Windows may write a link as a file that holds the way.
    aim = link.resolve() if link.is_symlink() else ROOT / link.read_text(encoding="utf-8").strip()
    assert aim == real.resolve()


def test_everything_imported_is_required():
    widgets = SOURCE / "widgets"
    core = third_party(p for p in SOURCE.rglob("*.py") if not p.is_relative_to(widgets))
    gui = third_party(widgets.rglob("*.py"))
    extras = {*requirements("bioimageio"), *requirements("tensorboard")}
    assert core - set(requirements()) - extras == set()
    assert gui - set(requirements()) - set(requirements("all")) == set()


def test_everything_required_is_imported():
    assert set(requirements()) - third_party(SOURCE.rglob("*.py")) == NEVER_IMPORTED


def test_every_requirement_has_a_lower_bound():
    wanted = requirements() | requirements("all")
    wanted |= requirements("bioimageio") | requirements("tensorboard")
    assert [r.name for r in wanted.values() if ">=" not in str(r.specifier)] == []


@pytest.mark.parametrize("extra", ["", "all", "bioimageio", "tensorboard", "test", "bench", "docs"])
def test_constraints_pin_a_version_that_is_allowed(extra):
    pins = constraints()
    for name, requirement in requirements(extra).items():
        if name != NAME:
            assert requirement.specifier.contains(pins[name]), requirement


def test_constraints_name_neither_path_nor_host_nor_build():
    pins = constraints()
    assert pins["torch"] == "2.13.0"
    assert [v for v in pins.values() if not re.fullmatch(r"[0-9]+(\.[0-9]+)*([abc.]\w+)?", v)] == []


def test_wheel_holds_what_it_must_and_nothing_else(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"napari_unet_live-{_version.__version__}.dist-info"
    package = {p.relative_to(SOURCE.parent).as_posix() for p in SOURCE.rglob("*") if p.is_file()}
    assert {"napari_unet/napari.yaml", "napari_unet/py.typed"} <= names
    assert {n for n in names if n.startswith("napari_unet/")} == {
        n for n in package if "__pycache__" not in n
    }
    assert {n.partition("/")[0] for n in names} == {"napari_unet", info}
    assert f"{info}/licenses/LICENSE" in names
