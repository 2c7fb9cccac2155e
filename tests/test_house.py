"""The house rules of docs/ARCHITECTURE.md: how long, how named, how tied together."""

from __future__ import annotations

import ast
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_unet"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
MODULES = {
    ".".join(("napari_unet", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in FILES
}

FILE_LINES = 600
FUNCTION_LINES = 80
FUNCTION_LINES_95 = 40
LEAST_LINES = 60

SMALL_AND_USED_ONCE: dict[str, str] = {}
"""Modules under 60 lines that one other module alone imports, and why they stay."""

FACE = {"napari_unet"}
"""The package itself: it hands names on, and imports none before it is asked for it."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def line_count(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield our modules that a file imports: anywhere, in functions and for types alone, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield from [m for m in (whole, node.module) if m in MODULES][:1]


IMPORTS = {
    name: {other for other in imports_of(TREES[path]) if other != name}
    for name, path in MODULES.items()
}


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines from ``def`` to the end, without the docstring."""
    assert function.end_lineno is not None
    total = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is None or first.end_lineno is None:
        return total
    return total - (first.end_lineno - first.lineno + 1)


def test_functions_are_short():
    lengths = {
        f"{name_of(path)}:{node.lineno} {node.name}": code_lines(node)
        for path, tree in TREES.items()
        for node in functions_of(tree)
    }
    assert [f"{name}: {n}" for name, n in lengths.items() if n > FUNCTION_LINES] == []
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= FUNCTION_LINES_95


def test_a_training_step_is_read_at_a_glance():
    tree = TREES[SOURCE / "training" / "trainer.py"]
    (step,) = [node for node in functions_of(tree) if node.name == "train_step"]
    assert code_lines(step) <= 40


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_one_idea(path):
    assert line_count(path) <= FILE_LINES


def test_no_class_name_stands_twice():
    names = Counter(
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_small_modules_have_several_users():
    found = set()
    for name, path in MODULES.items():
        users = {user for user, used in IMPORTS.items() if name in used} - FACE
        if path.name != "__init__.py" and line_count(path) < LEAST_LINES and len(users) == 1:
            found.add(name.removeprefix("napari_unet."))
    assert found == set(SMALL_AND_USED_ONCE)


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of modules that reach each other (Tarjan 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for other in graph[name]:
            if other not in numbers:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == numbers[name]:
            circle = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            found.extend([circle] if len(circle) > 1 else [])

    for name in graph:
        if name not in numbers:
            visit(name)
    return found


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


def test_no_import_runs_in_a_circle_not_even_a_hidden_one():
    graph = {name: used - FACE for name, used in IMPORTS.items() if name not in FACE}
    assert circles(graph) == []


def test_no_more_than_two_names_are_assigned_in_parallel():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Tuple) and len(target.elts) > 2
    ]
    assert found == []


def is_text(node: ast.expr) -> bool:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return constant or isinstance(node, ast.JoinedStr)


def is_condition(node: ast.expr) -> bool:
    negation = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    return negation or isinstance(node, ast.Compare | ast.BoolOp)


def test_no_sentence_is_multiplied_by_a_condition():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
        if (is_text(node.left) and is_condition(node.right))
        or (is_text(node.right) and is_condition(node.left))
    ]
    assert found == []


def test_constants_are_documented_below():
    """Not by ``#:`` above them, nor by a comment behind."""
    above = re.compile(r"\s*#:")
    behind = re.compile(r"[A-Z_][A-Z0-9_]+(: .*)? = .*  # (?!type:|noqa)")
    found = [
        f"{name_of(path)}:{number}"
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if above.match(line) or behind.match(line)
    ]
    assert found == []


def test_there_is_enough_of_tests():
    lines = sum(line_count(path) for path in (ROOT / "tests").rglob("*.py"))
    assert lines >= 0.5 * sum(map(line_count, FILES))
