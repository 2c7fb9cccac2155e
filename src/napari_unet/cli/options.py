"""Command-line options out of the fields of a pydantic model.

A field's name, limits, default and help text are declared once, at the field; pydantic reads and
checks what the user types, so that the command line accepts just what Python accepts.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from napari_unet.network.architecture import Architecture

_LIMITS = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
_WORDS = {int: "INT", float: "NUMBER", str: "TEXT"}


@dataclass(frozen=True)
class _Given:
    """What the user typed; tells "none" from an option that was left out."""

    value: Any


def with_options(
    model: type[BaseModel], names: tuple[str, ...] = (), but: tuple[str, ...] = ()
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
    """
    fields = {n: f for n, f in model.model_fields.items() if n in (names or (n,)) and n not in but}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**arguments: Any) -> None:
            typed = {name: arguments.pop(name) for name in fields}
            options = {n: _value(v) for n, v in typed.items() if v is not None}
            command(**arguments, options=options)

        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.name != "options"]
        parameters = [*kept, *(_parameter(name, field) for name, field in fields.items())]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def sizes_of(text: str) -> tuple[int, ...]:
    """Read a shape such as ``512,512``."""
    sizes: tuple[int, ...] = reader(tuple[int, ...])(text).value
    return sizes


def reader(annotation: Any, limits: tuple[Any, ...] = ()) -> Callable[[str], _Given]:
    """Return what reads a value of that type from the command line.

    Lists are written ``1,2,3``, mappings ``1=a,2=b``, and None is ``none``. Models are written
    like mappings, with ``field.key=value`` for a field that is one, and ``none`` is what a model
    calls ``off()``.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(
        Annotated[annotation, *limits] if limits else annotation
    )
    kinds = {get_origin(kind) or kind for kind in _alternatives(annotation)}
    model = next(filter(_is_model, kinds), None)
    if model is Architecture:
        return partial(_read_network, adapter)

    def read(text: str) -> _Given:
        if NoneType in kinds and text.lower() == "none":
            return _Given(None)
        raw: Any = text
        if kinds & {tuple, dict}:
            raw = text.split(",")
        if dict in kinds:
            raw = dict(pair.partition("=")[::2] for pair in raw)
        if model is not None:
            raw = model.off() if text.lower() == "none" and hasattr(model, "off") else _nested(text)
        try:
            return _Given(adapter.validate_python(raw))
        except ValidationError as error:
            raise typer.BadParameter(f"{text}: {_reason(error, model)}.") from error

    return read


def _read_network(adapter: TypeAdapter[Any], text: str) -> _Given:
    """Read the name of a preset, or a file of JSON with a network's fields."""
    try:
        given = json.loads(Path(text).read_text("utf-8")) if text.endswith(".json") else text
        return _Given(adapter.validate_python(given))
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{text}: {error}") from error


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _nested(text: str) -> dict[str, Any]:
    """Read ``a=1,b.c=2`` as ``{"a": "1", "b": {"c": "2"}}``."""
    found: dict[str, Any] = {}
    for pair in text.split(","):
        name, _, value = pair.partition("=")
        name, _, key = name.strip().partition(".")
        if not key:
            found[name] = value.strip()
        elif isinstance(found.setdefault(name, {}), dict):
            found[name][key] = value.strip()
    return found


def _reason(error: ValidationError, model: Any) -> str:
    """Return the first reason for refusal; of a model with the field, or the fields there are."""
    first = error.errors()[0]
    message = first["msg"][:1].lower() + first["msg"][1:]
    if model is None:
        return message
    name = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        return f"there is no {name or 'empty name'}; there are {', '.join(model.model_fields)}"
    return f"{name}: {message}"


def _value(typed: Any) -> Any:
    return typed.value if isinstance(typed, _Given) else typed


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    flag, help_text = "--" + name.replace("_", "-"), _help(field)
    if field.annotation is bool:
        switch = typer.Option(f"{flag}/--no{flag[1:]}", help=help_text)
        annotation: Any = Annotated[bool | None, switch]
    else:
        parser = reader(field.annotation, tuple(field.metadata))
        option = typer.Option(
            flag, parser=parser, metavar=_metavar(field.annotation), help=help_text
        )
        annotation = Annotated[Any, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _help(field: FieldInfo) -> str:
    facts = [" ".join(_limits(field))] if field.metadata else []
    default = field.get_default(call_default_factory=True)
    if default is not None and default != {}:
        facts.append(f"default {_written(default)}")
    return (field.description or "") + (f" ({'; '.join(facts)})" if facts else "")


def _limits(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        for word, sign in _LIMITS.items():
            if hasattr(limit, word):
                yield f"{sign} {getattr(limit, word):g}"


def _written(value: Any) -> str:
    if isinstance(value, BaseModel):
        set_to = {name: part for name, part in value.model_dump().items() if part}
        return ", ".join(f"{name}={_written(part)}" for name, part in set_to.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _metavar(annotation: Any) -> str:
    """Return how a value of that type is written: ``INT|auto``, ``NUMBER,...``."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    if annotation is Architecture:
        return "NAME|FILE.json"
    if _is_model(annotation):
        return "NAME=VALUE,..."
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin is tuple:
        return f"{_metavar(parts[0])},..."
    if origin is dict:
        return f"{_metavar(parts[0])}={_metavar(parts[1])},..."
    return "|".join(_metavar(kind) for kind in _alternatives(annotation) if kind is not NoneType)


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _alternatives(part)
    else:
        yield annotation
