"""Command-line options from the fields of a pydantic model.

A field's name, limits, default and help text are declared once, at the field; pydantic reads and
checks what the user types, so that the command line accepts just what Python accepts.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError

from napari_unet.fields import (
    REQUIRED,
    FieldDescription,
    alternatives,
    fields_of,
    flag_of,
    is_model,
    write_value,
)
from napari_unet.network.architecture import Architecture
from napari_unet.tasks.option_groups import group_of, in_order

LIMIT_WORDS = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
"""How the limits of a number are written in help texts."""

METAVARS = {int: "INT", float: "NUMBER", str: "TEXT"}
"""How plain values are called in help texts."""


@dataclass(frozen=True)
class _Given:
    """A value that the user typed; it tells "none" from an option that was left out."""

    value: Any


def with_options(
    model: type[BaseModel],
    names: tuple[str, ...] = (),
    but: tuple[str, ...] = (),
    *,
    grouped: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of a model.

    The command has a parameter `options`, which receives a dict of what the user set.

    Parameters
    ----------
    model : type of BaseModel
        Where the fields are declared.
    names : tuple of str
        The fields to take; all if empty.
    but : tuple of str
        Fields to leave out.
    grouped : bool
        Whether they are listed in the groups of training options.
    """
    fields = fields_of(model, names, but)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**arguments: Any) -> None:
            typed = {name: arguments.pop(name) for name in fields}
            options = {n: _value(v) for n, v in typed.items() if v is not None}
            command(**arguments, options=options)

        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "options"]
        parameters = [*kept, *(_parameter(fields[n], grouped) for n in in_order(fields))]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def sizes_of(text: str) -> tuple[int, ...]:
    """Read a shape such as ``512,512``."""
    sizes: tuple[int, ...] = reader(FieldDescription.of_type(tuple[int, ...]))(text).value
    return sizes


def numbers_of(text: str) -> tuple[float, ...]:
    """Read numbers such as ``2,0.5,0.5``."""
    numbers: tuple[float, ...] = reader(FieldDescription.of_type(tuple[float, ...]))(text).value
    return numbers


def reader(field: FieldDescription) -> Callable[[str], _Given]:
    """Return what reads a field's value from the command line, as `FieldDescription.read` does.

    A network is read from the name of a preset, or from a file of JSON with its fields.
    """
    return partial(_read_network if Architecture in field.types else _read, field)


def _read(field: FieldDescription, text: str) -> _Given:
    try:
        return _Given(field.read(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}.") from error


def _read_network(field: FieldDescription, text: str) -> _Given:
    try:
        given = json.loads(Path(text).read_text("utf-8")) if text.endswith(".json") else text
        return _Given(field.check(given))
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{text}: {error}") from error


def _value(typed: Any) -> Any:
    return typed.value if isinstance(typed, _Given) else typed


def _parameter(field: FieldDescription, grouped: bool) -> inspect.Parameter:
    group = group_of(field.name) if grouped else None
    shown: dict[str, Any] = {"help": _help(field), "rich_help_panel": group}
    if field.types == (bool,):
        switch = f"{field.flag}/{flag_of(field.name, off=True)}"
        annotation: Any = Annotated[bool | None, typer.Option(switch, **shown)]
    else:
        option = typer.Option(
            field.flag, parser=reader(field), metavar=_metavar(field.annotation), **shown
        )
        annotation = Annotated[Any, option]
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _help(field: FieldDescription) -> str:
    facts = list(filter(None, (" ".join(_limits(field)),)))
    if field.default not in (None, {}, (), REQUIRED):
        facts.append(f"default {_written(field.default)}")
    return field.help + (f" ({'; '.join(facts)})" if facts else "")


def _limits(field: FieldDescription) -> Iterator[str]:
    for name, limit in field.limits.items():
        yield f"{LIMIT_WORDS[name]} {limit:.10g}"


def _written(value: Any) -> str:
    if isinstance(value, BaseModel):
        set_to = {name: part for name, part in value.model_dump().items() if part}
        return ", ".join(f"{name}={_written(part)}" for name, part in set_to.items())
    if isinstance(value, Mapping):
        return write_value(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _metavar(annotation: Any) -> str:
    """Return how a value of that type is written: ``INT|auto``, ``NUMBER,...``."""
    kinds = [kind for kind in alternatives(annotation) if kind is not NoneType]
    if len(kinds) > 1:
        return "|".join(map(_metavar, kinds))
    kind, parts = kinds[0], get_args(kinds[0])
    if kind in METAVARS:
        return METAVARS[kind]
    if kind is Architecture:
        return "NAME|FILE.json"
    if is_model(kind):
        return "NAME=VALUE,..."
    if get_origin(kind) is Literal:
        return "|".join(map(str, parts))
    if get_origin(kind) is dict:
        return f"{_metavar(parts[0])}={_metavar(parts[1])},..."
    return f"{_metavar(parts[0])},..."
