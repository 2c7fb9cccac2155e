"""A form that is generated from the fields of a pydantic model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_unet.data.augment_options import AugmentOptions
from napari_unet.errors import InputError
from napari_unet.fields import AUTOMATIC, FieldDescription, fields_of, is_model
from napari_unet.widgets.forms.augmentation import AugmentEdit
from napari_unet.widgets.forms.editors import (
    HUGE,
    ChoiceEdit,
    NumberEdit,
    OptionalEdit,
    SwitchEdit,
    TextEdit,
    literal_choices,
)
from napari_unet.widgets.qt.text import named, read_list, read_mapping, write_list, write_mapping

M = TypeVar("M", bound=BaseModel)


class Row(NamedTuple):
    """A field in a form: what it is, its label, and the box of its editor and reason."""

    field: FieldDescription
    label: QLabel
    box: QWidget


LEAST_STEP = 1e-6
"""Distance of the arrows of a spin box from a limit that is not part of the range."""


class ModelForm(QWidget, Generic[M]):
    """Edits one pydantic model.

    Choices become combo boxes, switches check boxes, numbers spin boxes, tuples lines of text,
    models forms of their own. Descriptions are the tooltips. A value that the model refuses stays
    in its editor, with the reason below it.

    Parameters
    ----------
    model : type
        The model's class; all its fields need defaults.
    exclude : collection of str
        Fields that are not shown; they keep the values of the last `setValue`.

    Attributes
    ----------
    valueChanged : Signal()
        A value was edited; the model may refuse it.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(
        self, model: type[M], *, exclude: Collection[str] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.model = model
        self._base = model()
        self._loading = False
        self.editors: dict[str, Any] = {}
        self.rows: dict[str, Row] = {}
        self._reasons: dict[str, QLabel] = {}
        self._layout = form_layout(self)
        for field in self._ordered(fields_of(model, but=exclude)):
            self._add(field)
        self._general = _reason_label()
        self._layout.addRow(self._general)
        self.setValue(self._base)

    def value(self, given: Mapping[str, Any] | None = None) -> M:
        """Return the model.

        Parameters
        ----------
        given : mapping, optional
            Fields that are set elsewhere; they replace what is held here.

        Raises
        ------
        InputError
            Where the model refuses a value; the message is the first reason.
        """
        try:
            return self.model(**{**self.raw(), **(given or {})})
        except ValidationError as error:
            name, reason = next(iter(_reasons(error).items()))
            raise InputError(f"{self.title(name)}: {reason}" if name else reason) from error

    def setValue(self, value: M) -> None:  # noqa: N802 - Qt's name
        """Show another model."""
        self._base, self._loading = value, True
        for name, editor in self.editors.items():
            editor.setValue(getattr(value, name))
        self._loading = False
        self._edited()

    def raw(self) -> dict[str, Any]:
        """Return the values of all editors, valid or not, and of the fields that are not shown."""
        held = {
            name: editor.raw() if isinstance(editor, ModelForm) else editor.value()
            for name, editor in self.editors.items()
        }
        hidden = {n: getattr(self._base, n) for n in self.model.model_fields if n not in held}
        return hidden | held

    def errors(self) -> dict[str, str]:
        """Return why values are refused, by field; the key is "" for the model as a whole."""
        try:
            self.model(**self.raw())
        except ValidationError as error:
            return _reasons(error)
        return {}

    def _ordered(self, fields: Mapping[str, FieldDescription]) -> Iterable[FieldDescription]:
        """Return the fields in the order in which they are shown."""
        return fields.values()

    def _rows_for(self, name: str) -> QFormLayout:  # noqa: ARG002 - for forms with groups
        """Return the layout that a field's row is added to."""
        return self._layout

    def title(self, name: str) -> str:
        """Return what a field is called on the screen."""
        return self.model.model_fields[name].title or named(name)

    def _add(self, field: FieldDescription) -> None:
        name, editor = field.name, make_editor(field)
        editor.setToolTip(field.help)
        editor.setAccessibleName(self.title(name))
        editor.valueChanged.connect(lambda *_: self._edited())
        label = QLabel(self.title(name))
        label.setToolTip(field.help)
        box, reason = QWidget(), _reason_label()
        inside = QVBoxLayout(box)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(0)
        inside.addWidget(editor)
        inside.addWidget(reason)
        rows = self._rows_for(name)
        if isinstance(editor, ModelForm | WeightsEdit):
            rows.addRow(label)
            rows.addRow(box)
            inside.setContentsMargins(12, 0, 0, 0)
        else:
            rows.addRow(label, box)
        self.editors[name], self._reasons[name] = editor, reason
        self.rows[name] = Row(field, label, box)

    def _edited(self) -> None:
        if self._loading:
            return
        errors = self.errors()
        for name, label in self._reasons.items():
            nested = isinstance(self.editors[name], ModelForm)
            _show(label, "" if nested else errors.pop(name, ""))
        shown = errors.pop("", "") or next(
            (r for n, r in errors.items() if n not in self.editors), ""
        )
        _show(self._general, shown)
        self.valueChanged.emit()


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Return the layout of labels and editors that all our forms have."""
    layout = QFormLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setHorizontalSpacing(10)
    layout.setVerticalSpacing(5)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
    return layout


def make_editor(field: FieldDescription) -> Any:
    """Return the editor that fits a field's type and limits."""
    kind = field.types[0]
    if kind is str and field.optional:
        return _path_editor()
    if get_origin(kind) is dict:
        key = get_args(kind)[0]
        if get_origin(key) is Literal:
            return WeightsEdit(get_args(key), field.help)
        return TextEdit(read_mapping, write_mapping)
    if len(field.types) > 1 or get_origin(kind) is tuple:
        return _text_editor(field)
    editor = _simple_editor(field)
    if field.optional and not isinstance(editor, TextEdit):
        least = _limits(field)[0] if kind in (int, float) else kind()
        return OptionalEdit(editor, field.proposal or least, field.empty)
    return editor


def _simple_editor(field: FieldDescription) -> Any:
    kind = field.types[0]
    if field.choices:
        return ChoiceEdit(literal_choices(field))
    if kind is bool:
        return SwitchEdit()
    if kind in (int, float):
        low, high = _limits(field)
        return NumberEdit(whole=kind is int, low=low, high=high)
    if kind is AugmentOptions:
        return AugmentEdit()
    if is_model(kind):
        return ModelForm(kind)
    return TextEdit(str, str)


def _path_editor() -> TextEdit:
    """Return an editor of a text that may be None, shown as empty."""
    return TextEdit(lambda text: text or None, lambda value: value or "")


def _text_editor(field: FieldDescription) -> TextEdit:
    depth = _depth(field.types[0]) if len(field.types) == 1 else 0
    if not depth:
        return _word_editor(any("auto" in get_args(kind) for kind in field.types))

    def read(text: str) -> Any:
        value = read_list(text, depth)
        return None if field.optional and not value else value

    editor = TextEdit(read, write_list)
    editor.setPlaceholderText(field.empty)
    return editor


def _word_editor(has_auto: bool) -> TextEdit:
    """Return an editor of a number or a word; no text stands for "auto", where there is that."""

    def read(text: str) -> Any:
        empty = has_auto and text.strip().lower() in ("", "auto", AUTOMATIC)
        return "auto" if empty else read_list(text, 0)

    def write(value: Any) -> str:
        return "" if has_auto and value == "auto" else "none" if value is None else str(value)

    editor = TextEdit(read, write)
    editor.setPlaceholderText(AUTOMATIC if has_auto else "")
    return editor


def _depth(kind: Any) -> int:
    return 1 + _depth(get_args(kind)[0]) if get_origin(kind) is tuple else 0


def _limits(field: FieldDescription) -> tuple[float, float]:
    """Return the limits of the arrows of a spin box."""
    above = field.limits.get("gt", -HUGE)
    low = field.limits.get("ge", above if above == -HUGE else above + LEAST_STEP)
    return float(low), float(field.limits.get("le", HUGE))


def _reasons(error: ValidationError) -> dict[str, str]:
    """Return why each field is refused; the key is "" for the model as a whole."""
    reasons: dict[str, str] = {}
    for each in error.errors():
        reasons.setdefault(str((*each["loc"], "")[0]), _reason(each["msg"]))
    return reasons


def _reason(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].upper() + text[1:]


def _reason_label() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setProperty("unet", "error")
    label.hide()
    return label


def _show(label: QLabel, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))


class WeightsEdit(QWidget):
    """Edits the weights of several named things, such as losses; 0 leaves one out.

    Parameters
    ----------
    names : sequence of str
        The names.
    tip : str
        Tooltip of all weights.
    """

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, names: Sequence[str], tip: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editors = {name: NumberEdit(low=0) for name in names}
        layout = form_layout(self)
        for name, editor in self.editors.items():
            editor.setToolTip(tip)
            editor.setAccessibleName(named(name))
            editor.valueChanged.connect(lambda _: self.valueChanged.emit())
            layout.addRow(named(name), editor)

    def value(self) -> dict[str, float]:
        """Return the weights that are not 0."""
        held = {name: editor.value() for name, editor in self.editors.items()}
        return {name: weight for name, weight in held.items() if weight}

    def setValue(self, value: dict[str, float]) -> None:  # noqa: N802 - Qt's name
        """Show other weights."""
        for name, editor in self.editors.items():
            editor.setValue(value.get(name, 0.0))
