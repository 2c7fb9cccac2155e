"""The invariants of docs/ARCHITECTURE.md that hold for the code as a whole."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import napari_unet

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_unet"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
GUI = ("napari", "qtpy", "superqt", "magicgui", "pyqtgraph", "PyQt6", "PySide6")


def module_names() -> list[str]:
    found = pkgutil.walk_packages(napari_unet.__path__, "napari_unet.")
    return ["napari_unet", *(m.name for m in found if not m.name.endswith("__main__"))]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_imports_keep_the_contracts():
    # In a process of its own: it configures logging, which silences every logger there is.
    code = "from importlinter.cli import lint_imports_command as run; run()"
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(
        [sys.executable, "-c", code, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "6 kept, 0 broken" in done.stdout


def test_importing_the_package_loads_neither_torch_nor_a_gui():
    heavy = ("torch", "numpy", *GUI)
    done = run_python(f"import sys, napari_unet; print(*(m for m in {heavy} if m in sys.modules))")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_all_but_the_widgets_works_where_no_gui_is_installed():
    names = [n for n in module_names() if not n.startswith("napari_unet.widgets")]
    done = run_python(
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({GUI}))\n"  # None makes the import fail
        f"for name in {names}: importlib.import_module(name)"
    )
    assert done.returncode == 0, done.stderr


def torch_module_imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("torch", "torch.nn"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (n for n in names if n.startswith("torch.nn") and "functional" not in n)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "torch.nn":
            yield from [] if node.attr == "functional" else [ast.unparse(node)]


def test_data_knows_no_torch_modules():
    trees = {p: t for p, t in TREES.items() if p.is_relative_to(SOURCE / "data")}
    assert trees
    assert {p.name: n for p, t in trees.items() if (n := [*torch_module_imports(t)])} == {}


def test_no_exception_of_ours_is_a_runtime_error():
    ours = {
        cls
        for name in module_names()
        for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass)
        if issubclass(cls, BaseException) and cls.__module__.startswith("napari_unet")
    }
    assert ours
    assert [cls for cls in ours if issubclass(cls, RuntimeError)] == []
