"""A field is described once, and what the command line writes of a value it reads back."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from napari_unet.fields import REQUIRED, FieldDescription, fields_of, write_flags, write_value
from napari_unet.tasks.options import OPTIONS


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth: int = 2
    parts: dict[str, float] = Field(default_factory=dict)


class Sample(BaseModel):
    needed: int
    rate: float = Field(0.5, gt=0, le=1, description="How fast.")
    odd: Annotated[int, Field(ge=1, le=15)] | None = None
    kind: Literal["one", "two"] = "one"
    axis: int | Literal["auto"] | None = "auto"
    sizes: tuple[int, ...] | None = None
    names: dict[int, str] = Field(default_factory=dict)
    inner: Inner = Field(default_factory=Inner)


FIELDS = fields_of(Sample)


def test_what_is_told_of_a_field():
    rate, odd, kind, axis = (FIELDS[name] for name in ("rate", "odd", "kind", "axis"))
    assert (rate.default, rate.help, rate.types) == (0.5, "How fast.", (float,))
    assert rate.limits == {"gt": 0, "le": 1}
    assert (odd.optional, odd.types, odd.limits) == (True, (int,), {"ge": 1, "le": 15})
    assert (kind.choices, kind.optional) == (("one", "two"), False)
    assert (axis.types, axis.choices, axis.optional) == ((int, Literal["auto"]), (), True)
    assert FIELDS["needed"].default is REQUIRED
    assert FIELDS["inner"].model is Inner
    assert FIELDS["inner"].default == Inner()


def test_some_fields_can_be_taken_and_others_left_out():
    assert list(fields_of(Sample, ("kind", "rate"))) == ["rate", "kind"]
    assert list(fields_of(Sample, but=set(FIELDS) - {"odd"})) == ["odd"]


VALUES = {
    "rate": st.floats(0, 1, exclude_min=True),
    "odd": st.none() | st.integers(1, 15),
    "kind": st.sampled_from(("one", "two")),
    "axis": st.none() | st.just("auto") | st.integers(-5, 5),
    "sizes": st.none() | st.lists(st.integers(), min_size=1).map(tuple),
    "names": st.dictionaries(st.integers(), st.text("ab c="), min_size=1),
    "inner": st.builds(
        Inner, depth=st.integers(), parts=st.dictionaries(st.sampled_from("xy"), st.floats(-9, 9))
    ),
}


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_what_is_written_is_read_back(name, data):
    value = data.draw(VALUES[name])
    stored = value.model_dump() if isinstance(value, BaseModel) else value
    assert FIELDS[name].read(write_value(stored)) == value
    assert FIELDS[name].is_readable(stored)


@pytest.mark.parametrize(
    ("name", "value"), [("names", {1: "a, b"}), ("names", {}), ("sizes", ()), ("rate", 7)]
)
def test_what_cannot_be_read_back_is_known(name, value):
    assert not FIELDS[name].is_readable(value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("rate", "2", "input should be less than or equal to 1"),
        ("odd", "many", "input should be a valid integer"),
        ("inner", "width=3", "there is no width; there are depth, parts"),
        ("kind", "none", "input should be 'one' or 'two'"),
    ],
)
def test_what_is_refused_and_why(name, text, reason):
    with pytest.raises(ValueError, match=reason):
        FIELDS[name].read(text)


def test_switches_are_turned_off_by_a_flag():
    words = list(write_flags({"make_way": False, "fast": True, "patch": (4, 5), "planes": None}))
    assert words == ["--no-make-way", "--fast", "--patch", "4,5", "--planes", "none"]


@pytest.mark.parametrize("model", OPTIONS.values())
def test_our_own_defaults_are_what_the_models_say(model):
    values = dict(model())
    assert {name: field.default for name, field in fields_of(model).items()} == values


def test_a_type_that_is_no_field():
    assert FieldDescription.of_type(tuple[int, ...]).read("4,5") == (4, 5)
