"""What random changes are declared: old spellings hold, wrong ones are refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from napari_unet.data.augment_options import CHANGES, AugmentOptions
from napari_unet.fields import FieldDescription
from napari_unet.tasks.segmentation.options import SegmentOptions

OLD = {
    "flip": True,
    "rotate_degrees": 180.0,
    "scale": 0.25,
    "elastic": 0.0,
    "intensity": 0.25,
    "brightness": 0.25,
    "noise": 0.0,
    "blur": 0.0,
}
"""As files had it before there were chances: all of it."""


def test_what_older_files_hold_still_reads() -> None:
    assert AugmentOptions(**OLD) == AugmentOptions()
    assert AugmentOptions(**{**OLD, "blur": 0.5}).model_dump(exclude_defaults=True) == {"blur": 0.5}
    assert SegmentOptions.parse({"augment": OLD}).augment == AugmentOptions()
    older = AugmentOptions.model_validate_json('{"flip": true, "rotate_degrees": 180.0}')
    assert older.chance == {}


def test_every_change_is_declared_whole() -> None:
    fields = dict(AugmentOptions.model_fields)
    assert fields.pop("chance").description
    assert fields.pop("per_channel").description
    assert tuple(fields) == CHANGES
    for name, field in fields.items():
        assert field.title
        assert field.description
        extra: Any = field.json_schema_extra
        assert (extra["unit"] == "") == (name == "flip")
        # What it is tried with is allowed, and changes something.
        assert getattr(AugmentOptions(**{name: extra["try"]}), name)


def test_nothing_goes_without_saying_twice() -> None:
    always = AugmentOptions(chance={"blur": 1.0, "flip": 0.5})
    assert always.chance == {"flip": 0.5}
    assert AugmentOptions(chance={"blur": 1}) == AugmentOptions()
    assert AugmentOptions.model_validate_json(always.model_dump_json()) == always


def test_off_is_off() -> None:
    assert not any(AugmentOptions.off().model_dump().values())
    never = AugmentOptions(noise=0.3, chance=dict.fromkeys(CHANGES, 0.0))
    assert never.effective() == AugmentOptions.off()
    some = AugmentOptions(noise=0.3, chance={"noise": 0.0, "scale": 0.5}).effective()
    assert (some.noise, some.scale, some.chance) == (0.0, 0.25, {"scale": 0.5})


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": -1},
        {"rotate_degrees": 200},
        {"unknown": 1},
        {"gamma": 3},
        {"jitter": -1},
        {"chance": {"unknown": 0.5}},
        {"chance": {"noise": 1.5}},
        {"chance": {"noise": -0.5}},
        {"per_channel": 1.5},
        {"per_channel": -0.5},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AugmentOptions(**wrong)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("none", AugmentOptions.off()),
        ("rotate_degrees=90,noise=0.1", AugmentOptions(rotate_degrees=90, noise=0.1)),
        ("flip=no, blur = 2", AugmentOptions(flip=False, blur=2)),
        (
            "noise=0.1,chance.noise=0.5,chance.flip=0",
            AugmentOptions(noise=0.1, chance={"noise": 0.5, "flip": 0}),
        ),
    ],
)
def test_the_command_line_reads_it(text: str, meant: AugmentOptions) -> None:
    assert FieldDescription.of_type(AugmentOptions).read(text) == meant


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rotate=90", "there is no rotate; there are flip, rotate_degrees, .*, blur, chance"),
        ("noise=much", "noise: input should be a valid number"),
        ("noise", "noise: input should be a valid number"),
        ("blur=9", "blur: input should be less than or equal to 5"),
        ("chance.noise=2", "chance.noise: input should be less than or equal to 1"),
        ("chance.nose=1", "chance.nose: input should be 'flip'"),
        ("chance=1,chance.noise=1", "chance: input should be a valid dictionary"),
        ("", "there is no empty name"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        FieldDescription.of_type(AugmentOptions).read(text)
    assert "\n" not in str(caught.value)
