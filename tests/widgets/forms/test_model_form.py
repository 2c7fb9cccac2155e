"""The form: every kind of field, and reasons in place."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QGroupBox, QLabel

from napari_unet.errors import InputError
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.options import OPTIONS
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.widgets.forms.editors import (
    ChoiceEdit,
    NumberEdit,
    OptionalEdit,
    SwitchEdit,
    TextEdit,
)
from napari_unet.widgets.forms.model_form import ModelForm
from napari_unet.widgets.qt.text import read_list, write_list


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True)
    depth: int = Field(2, ge=1, le=5, description="How deep.")


class Sample(BaseModel):
    model_config = ConfigDict(frozen=True)
    rate: float = Field(1 / 3, gt=0, le=1, description="How fast.")
    steps: int = Field(10, ge=1, le=100, description="How many.")
    kind: Literal["one", "two_words"] = Field("one", description="Which.")
    on: bool = Field(True, description="Whether.")
    limit: int | None = Field(None, ge=1, description="At most.")
    sizes: tuple[int, ...] = Field((3, 3), description="Sizes.")
    levels: tuple[tuple[int, ...], ...] = Field(((1, 2), (3,)), description="Levels.")
    patch: tuple[int, ...] | None = Field(None, description="Patch.")
    axis: int | Literal["auto"] | None = Field("auto", description="Axis.")
    inner: Inner = Field(default_factory=Inner, description="The rest.")

    @model_validator(mode="after")
    def _agree(self):
        if self.on and self.steps == 13:
            raise ValueError("13 steps cannot be on")
        return self


@pytest.fixture
def form(qtbot):
    form = ModelForm(Sample)
    qtbot.addWidget(form)
    return form


def reason(form, name):
    label = form._reasons[name]
    return label.text() if not label.isHidden() else ""


def test_each_kind_of_field_has_its_editor(form):
    kinds = {name: type(editor) for name, editor in form.editors.items()}
    assert kinds == {
        "rate": NumberEdit,
        "steps": NumberEdit,
        "kind": ChoiceEdit,
        "on": SwitchEdit,
        "limit": OptionalEdit,
        "sizes": TextEdit,
        "levels": TextEdit,
        "patch": TextEdit,
        "axis": TextEdit,
        "inner": ModelForm,
    }


def test_labels_are_for_people_and_tooltips_are_the_descriptions(form):
    labels = {label.text(): label.toolTip() for label in form.findChildren(QLabel)}
    assert labels["Rate"] == "How fast."
    assert form.editors["inner"].editors["depth"].toolTip() == "How deep."
    assert [form.editors["kind"].itemText(i) for i in range(2)] == ["One", "Two words"]
    assert not form.findChildren(QGroupBox)


def test_it_gives_back_what_it_was_given(form):
    assert form.value() == Sample()
    other = Sample(
        rate=0.123456789012345,
        steps=77,
        kind="two_words",
        on=False,
        limit=4,
        sizes=(),
        levels=((64, 64), (128,)),
        patch=(32, 64),
        axis=None,
        inner=Inner(depth=5),
    )
    form.setValue(other)
    assert form.value() == other
    form.setValue(Sample(axis=-1))
    assert form.value() == Sample(axis=-1)


@pytest.mark.parametrize(
    "model", [SegmentOptions(), UNetConfig(), UNetConfig.preset("ndnet_unetv3")], ids=str
)
def test_it_gives_back_our_own_models(qtbot, model):
    names = {"network", "class_names", "class_colors"} & set(type(model).model_fields)
    form = ModelForm(type(model), exclude=names)
    qtbot.addWidget(form)
    form.setValue(model)
    assert form.value() == model


def test_what_is_set_elsewhere_goes_into_the_value(form):
    form.editors["steps"].setValue(11)
    assert form.value({"rate": 0.5, "steps": 12}) == Sample(rate=0.5, steps=12)
    with pytest.raises(InputError, match="Rate: Should be less than or equal to 1"):
        form.value({"rate": 2})


def test_a_value_out_of_range_stays_and_the_reason_is_shown_below_it(form):
    form.editors["steps"].setValue(101)
    assert reason(form, "steps") == "Should be less than or equal to 100"
    with pytest.raises(InputError, match="Steps: Should be less than or equal to 100"):
        form.value()
    assert form.editors["steps"].value() == 101
    form.editors["steps"].setValue(100)
    assert reason(form, "steps") == ""
    assert form.value().steps == 100


def test_nonsense_in_a_list_is_refused_in_place(form):
    form.editors["sizes"].setText("3, x")
    assert "integer" in reason(form, "sizes")
    assert reason(form, "steps") == ""


def test_a_nested_value_is_refused_where_it_is(form):
    form.editors["inner"].editors["depth"].setValue(6)
    assert reason(form, "inner") == ""
    assert reason(form.editors["inner"], "depth") == "Should be less than or equal to 5"
    with pytest.raises(InputError, match="less than or equal to 5"):
        form.value()


def test_values_that_do_not_go_together_are_refused_at_the_end(form):
    form.editors["steps"].setValue(13)
    assert form._general.text() == "13 steps cannot be on"
    form.editors["on"].setValue(False)
    assert form._general.text() == ""


def test_each_edit_is_told_once_and_setting_all_once(form, qtbot):
    told = []
    form.valueChanged.connect(lambda: told.append(1))
    form.editors["steps"].setValue(12)
    assert len(told) == 1
    form.setValue(Sample(steps=50, kind="two_words"))
    assert len(told) == 2


def test_hidden_fields_keep_their_values(qtbot):
    form = ModelForm(Sample, exclude={"steps"})
    qtbot.addWidget(form)
    form.setValue(Sample(steps=42))
    form.editors["rate"].setValue(0.5)
    assert form.value() == Sample(steps=42, rate=0.5)


def test_an_optional_number_is_none_until_it_is_set(form):
    editor = form.editors["limit"]
    assert form.value().limit is None
    assert editor.editor.isHidden()
    assert editor.check.text() == "automatic"
    editor.check.setChecked(True)
    assert not editor.editor.isHidden()
    assert form.value().limit == 1


@pytest.mark.parametrize("task", OPTIONS)
def test_a_number_that_is_ticked_begins_with_a_sensible_value(qtbot, task):
    form = ModelForm(OPTIONS[task], exclude={"network", "steps", "seconds"})
    qtbot.addWidget(form)
    numbers = {n: e for n, e in form.editors.items() if isinstance(e, OptionalEdit)}
    assert {"clip_gradient", "batch_size", "threads", "stop_after"} <= set(numbers)
    for editor in numbers.values():
        editor.check.setChecked(True)
    found = form.value()
    assert found.clip_gradient == 1.0
    assert found.batch_size == 8
    for name in numbers:
        assert getattr(found, name) == OPTIONS[task].model_fields[name].examples[0]


def test_a_word_or_a_number_is_automatic_without_a_text(qtbot):
    form = ModelForm(SegmentOptions, exclude={"network"})
    qtbot.addWidget(form)
    axis = form.editors["channel_axis"]
    assert (axis.text(), axis.placeholderText()) == ("", "automatic")
    for text, value in (("2", 2), ("none", None), ("auto", "auto"), ("", "auto")):
        axis.setText(text)
        assert form.value().channel_axis == value
        form.setValue(SegmentOptions(channel_axis=value))
        assert form.value().channel_axis == value
    assert form.editors["patch"].placeholderText() == "automatic"


def test_a_number_is_shown_in_short_and_kept_in_full(form, qtbot):
    editor = form.editors["rate"]
    assert editor.lineEdit().text() == "0.3333"
    editor.interpretText()
    assert editor.value() == 1 / 3


def test_typing_into_a_number(form, qtbot):
    editor = form.editors["rate"]
    editor.selectAll()
    qtbot.keyClicks(editor, "2.5e-2")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert form.value().rate == 0.025
    editor.selectAll()
    qtbot.keyClicks(editor, "abc")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    assert form.value().rate == 0.025


def test_arrows_go_by_sensible_steps_and_stop_at_the_limits(form):
    rate, steps = form.editors["rate"], form.editors["steps"]
    rate.setValue(0.003)
    rate.stepBy(1)
    assert rate.value() == pytest.approx(0.0031)
    rate.setValue(0.95)
    rate.stepBy(10)
    assert rate.value() == 1
    steps.setValue(2)
    steps.stepBy(-5)
    assert steps.value() == 1
    steps.stepBy(1)
    assert steps.value() == 2


def test_the_wheel_scrolls_the_panel_and_changes_nothing(form):
    editor = form.editors["steps"]
    editor.clearFocus()
    wheel = QWheelEvent(
        QPointF(5, 5),
        QPointF(5, 5),
        QPoint(0, 0),
        QPoint(0, 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(editor, wheel)
    assert editor.value() == 10


@pytest.mark.parametrize(
    ("text", "depth", "value"),
    [
        ("", 2, ()),
        ("64", 2, ((64,),)),
        ("1 2;3", 2, ((1, 2), (3,))),
        ("0.5, 1", 1, (0.5, 1)),
        (" None ", 0, None),
        ("auto", 0, "auto"),
        ("-1", 0, -1),
    ],
)
def test_lists_are_read_and_written(text, depth, value):
    assert read_list(text, depth) == value
    if value is not None:
        assert read_list(write_list(value), depth) == value
