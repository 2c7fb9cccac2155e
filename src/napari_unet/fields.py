"""A field of a pydantic model, described once: for forms, the command line, docs and provenance.

Also how the command line writes a field's value, and reads it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

LIMITS = ("gt", "ge", "lt", "le")
"""What a number may be limited by: above, from, below, up to."""

AUTOMATIC = "automatic"
"""What None means where a field does not say otherwise with ``json_schema_extra["empty"]``."""

REQUIRED = object()
"""In place of the default of a field that has none."""


@dataclass(frozen=True, eq=False)
class FieldDescription:
    """What a form, a command line or a page needs to know of a field.

    Parameters
    ----------
    name : str
        The field's name.
    annotation : type
        Its type, with limits and validators.
    types : tuple of type
        The types that its value may have, but for None.
    optional : bool
        Whether its value may be None.
    limits : dict of str to float
        Limits of a number by the names in `LIMITS`.
    default : object
        Its default, or `REQUIRED`.
    help : str
        What it means.
    title : str
        What it is called where people read it; empty where its name does.
    proposal : object
        A sensible value to begin with where the default is None; None where there is none.
    empty : str
        What None means, in a word or two; empty where it may not be None.
    labels : mapping
        What values are called where people read them, as far as their names do not say it.
    """

    name: str
    annotation: Any
    types: tuple[Any, ...]
    optional: bool
    limits: Mapping[str, float]
    default: Any
    help: str
    title: str
    proposal: Any
    empty: str
    labels: Mapping[Any, str]

    @classmethod
    def of(cls, name: str, field: FieldInfo) -> FieldDescription:
        """Describe a field of a model."""
        kinds = alternatives(field.annotation)
        default = field.get_default(call_default_factory=True)
        extra = field.json_schema_extra
        extra = extra if isinstance(extra, dict) else {}
        limited = Annotated[field.annotation, *field.metadata] if field.metadata else None
        return cls(
            name,
            limited or field.annotation,
            tuple(kind for kind in kinds if kind is not NoneType),
            NoneType in kinds,
            dict(_limits(limited or field.annotation)),
            REQUIRED if field.is_required() else default,
            field.description or "",
            field.title or "",
            next(iter(field.examples or ()), None),
            str(extra.get("empty", AUTOMATIC)) if NoneType in kinds else "",
            extra.get("labels", {}),  # type: ignore[arg-type]
        )

    @classmethod
    def of_type(cls, annotation: Any, name: str = "") -> FieldDescription:
        """Describe a value of a type that is no model's field."""
        return cls.of(name, FieldInfo.from_annotation(annotation))

    @property
    def model(self) -> type[BaseModel] | None:
        """The model that its value is, if it is one."""
        return next(filter(is_model, self.types), None)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that it may have, where they are listed."""
        if not self.types or any(get_origin(kind) is not Literal for kind in self.types):
            return ()
        return tuple(value for kind in self.types for value in get_args(kind))

    @property
    def flag(self) -> str:
        """What it is called on the command line."""
        return flag_of(self.name)

    def read(self, text: str) -> Any:
        """Return the value that a text of the command line stands for.

        Lists are written ``1,2,3``, mappings ``1=a,2=b``, and None is ``none``. Models are
        written like mappings, with ``field.key=value`` for a field that is one, and ``none`` is
        what a model calls ``off()``.

        Raises
        ------
        ValueError
            With the reason, where the text stands for no such value.
        """
        raw: Any = text
        kinds = {get_origin(kind) or kind for kind in self.types}
        if text.lower() == "none" and (self.optional or hasattr(self.model, "off")):
            return None if self.model is None or self.optional else self.model.off()  # type: ignore[attr-defined]
        if self.model is not None:
            raw = _nested(text)
        elif dict in kinds:
            raw = dict(pair.partition("=")[::2] for pair in text.split(","))
        elif tuple in kinds:
            raw = text.split(",")
        try:
            return self.check(raw)
        except ValidationError as error:
            raise ValueError(_reason(error, self.model)) from error

    def check(self, value: Any) -> Any:
        """Return a value as the model would hold it.

        Raises
        ------
        ValidationError
            Where the field may not have that value.
        """
        return TypeAdapter(self.annotation).validate_python(value)

    def is_readable(self, value: Any) -> bool:
        """Tell whether the command line reads back what it writes of a value."""
        try:
            return bool(self.read(write_value(value)) == self.check(value))
        except ValueError:
            return False


def fields_of(
    model: type[BaseModel], names: Iterable[str] = (), but: Iterable[str] = ()
) -> dict[str, FieldDescription]:
    """Return the fields of a model by name, in order.

    Parameters
    ----------
    model : type of BaseModel
        Where the fields are declared.
    names : iterable of str
        The fields to take; all if empty.
    but : iterable of str
        Fields to leave out.
    """
    wanted = (set(names) or set(model.model_fields)) - set(but)
    fields = model.model_fields.items()
    return {name: FieldDescription.of(name, field) for name, field in fields if name in wanted}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that a value may have, one by one, without limits.

    Examples
    --------
    >>> alternatives(Annotated[int, "limited"] | Literal["auto"] | None)
    (<class 'int'>, typing.Literal['auto'], <class 'NoneType'>)
    """
    if get_origin(annotation) is Annotated:
        return alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for part in get_args(annotation) for kind in alternatives(part))
    return (annotation,)


def is_model(kind: Any) -> bool:
    """Tell whether a type is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def flag_of(name: str, *, off: bool = False) -> str:
    """Return what a field is called on the command line.

    Parameters
    ----------
    name : str
        The field's name.
    off : bool
        Whether the flag turns a switch off.

    Examples
    --------
    >>> flag_of("make_way"), flag_of("make_way", off=True)
    ('--make-way', '--no-make-way')
    """
    return ("--no-" if off else "--") + name.replace("_", "-")


def write_value(value: Any) -> str:
    """Return a value as `FieldDescription.read` reads it.

    Examples
    --------
    >>> write_value((1, 2)), write_value({"a": 1, "b": {"c": 2}}), write_value(None)
    ('1,2', 'a=1,b.c=2', 'none')
    """
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return ",".join(f"{key}={part}" for key, part in _flat(value))
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def write_flags(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words that set fields on the command line.

    Parameters
    ----------
    values : mapping
        The fields' values by name.

    Examples
    --------
    >>> list(write_flags({"steps": 5, "fast": False}))
    ['--steps', '5', '--no-fast']
    """
    for name, value in values.items():
        if isinstance(value, bool):
            yield flag_of(name, off=not value)
        else:
            yield from (flag_of(name), write_value(value))


def _limits(annotation: Any) -> Iterator[tuple[str, float]]:
    """Yield the limits of a number, also where it is one of several types."""
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _limits(part)
    elif get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from _limits(inner)
        for each in metadata:
            for part in each.metadata if isinstance(each, FieldInfo) else (each,):
                for name in LIMITS:
                    if getattr(part, name, None) is not None:
                        yield name, getattr(part, name)


def _flat(value: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the entries of ``{"a": {"b": 1}}`` as ``("a.b", 1)``."""
    for name, part in value.items():
        if isinstance(part, Mapping):
            yield from ((f"{name}.{key}", inner) for key, inner in part.items())
        else:
            yield str(name), part


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


def _reason(error: ValidationError, model: type[BaseModel] | None) -> str:
    """Return the first reason for refusal; of a model with the field, or the fields there are."""
    first = error.errors()[0]
    message = first["msg"][:1].lower() + first["msg"][1:]
    if model is None:
        return message
    name = ".".join(str(part) for part in first["loc"] if part != "[key]")
    if first["type"] == "extra_forbidden":
        return f"there is no {name or 'empty name'}; there are {', '.join(model.model_fields)}"
    return f"{name}: {message}"
