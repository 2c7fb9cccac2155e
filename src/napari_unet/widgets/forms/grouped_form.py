"""A form of many options: in groups that fold, with a search, and marks where a default is left."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_unet.fields import FieldDescription
from napari_unet.tasks.network_options import NetworkOptions
from napari_unet.tasks.option_groups import group_of, in_order
from napari_unet.widgets.forms.model_form import ModelForm, Row, form_layout
from napari_unet.widgets.qt.style import Section, mark
from napari_unet.widgets.qt.text import named, write_list

OTHER = "Other"
"""Group of options that belong to no group."""


class GroupedForm(ModelForm[NetworkOptions]):
    """Edits the options of a task, in groups that are folded at first.

    Parameters
    ----------
    defaults : NetworkOptions
        What is shown at first, and what `reset` goes back to. Its class decides the fields.
    exclude : collection of str
        Fields that are not shown.
    parent : QWidget, optional
        The Qt parent.

    Attributes
    ----------
    changedFields : Signal(object)
        The names of the fields that differ from their defaults, after an edit.
    sections : dict of str to Section
        The groups by name.
    """

    changedFields = Signal(object)  # noqa: N815 - Qt's way of naming

    def __init__(
        self,
        defaults: NetworkOptions,
        *,
        exclude: Collection[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        self.sections: dict[str, Section] = {}
        self._defaults = defaults
        self._grouped: dict[str, QFormLayout] = {}
        self._open_before: set[str] | None = None
        super().__init__(type(defaults), exclude=exclude, parent=parent)
        self._nothing = QLabel("No option matches.")
        self._nothing.setProperty("unet", "faint")
        self._nothing.hide()
        self._layout.insertRow(0, self._nothing)
        self._layout.setVerticalSpacing(0)
        self.valueChanged.connect(self._mark)
        self.setValue(defaults)

    def reset(self) -> None:
        """Show the defaults."""
        self.setValue(self._defaults)

    def change_default(self, name: str, value: Any) -> None:
        """Change a field's default, and the field where it has its default.

        Parameters
        ----------
        name : str
            The field.
        value : object
            Its default from now on.
        """
        unchanged = name not in self.changed()
        self._defaults = self._defaults.model_copy(update={name: value})
        if unchanged:
            self.editors[name].setValue(value)
        self._mark()

    def changed(self) -> list[str]:
        """Return the names of the fields that differ from their defaults."""
        values = self.raw()
        return [name for name in self.rows if values[name] != getattr(self._defaults, name)]

    def show_matches(self, text: str) -> None:
        """Show only the fields that a text is about, with their groups open.

        Parameters
        ----------
        text : str
            Words that name, description or group of a field have to contain; empty: all are
            shown, and groups are open as the user left them.
        """
        words = text.lower().split()
        found = {name for name, row in self.rows.items() if _matches(row, words)}
        for name, row in self.rows.items():
            for part in (row.label, row.box):
                part.setVisible(name in found)
        if words and self._open_before is None:
            self._open_before = {g for g, s in self.sections.items() if s.button.isChecked()}
        groups = set(map(_group, found))
        opened = groups if words else self._open_before
        for group, section in self.sections.items():
            section.setVisible(group in groups)
            if opened is not None:
                section.button.setChecked(group in opened)
        if not words:
            self._open_before = None
        self._nothing.setVisible(not found)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Align the editors of all groups, whose labels have their font from now on."""
        super().showEvent(event)
        width = max(row.label.sizeHint().width() for row in self.rows.values())
        for row in self.rows.values():
            row.label.setMinimumWidth(width)

    def _ordered(self, fields: Mapping[str, FieldDescription]) -> Iterable[FieldDescription]:
        return [fields[name] for name in in_order(fields)]

    def _rows_for(self, name: str) -> QFormLayout:
        group = _group(name)
        if group not in self.sections:
            content = QWidget()
            self._grouped[group] = form_layout(content)
            self._grouped[group].setContentsMargins(10, 0, 0, 6)
            self.sections[group] = Section(group, content)
            self._layout.addRow(self.sections[group])
        return self._grouped[group]

    def _mark(self) -> None:
        """Mark the fields that differ from their defaults, and count them in the headings."""
        changed = self.changed()
        for name, row in self.rows.items():
            differs = name in changed
            if differs != (row.label.property("unet") == "changed"):
                mark(row.label, "changed" if differs else "")
            default = _written(getattr(self._defaults, name), row.field)
            told = f"{row.field.help}\nDefault: {default}." if default else row.field.help
            row.label.setToolTip(told)
        for group, section in self.sections.items():
            number = sum(_group(name) == group for name in changed)
            section.set_title(f"{group} ({number} changed)" if number else group)
        self.changedFields.emit(changed)


def _group(name: str) -> str:
    return group_of(name) or OTHER


def _matches(row: Row, words: list[str]) -> bool:
    name = row.field.name
    about = f" {row.label.text()} {name} {row.field.help} {_group(name)}".lower()
    return all(re.search(rf"\b{re.escape(word)}", about) for word in words)


def _written(value: Any, field: FieldDescription) -> str:
    """Return a default as the form shows it; empty where that takes more than a word or two."""
    if value is None or value == "auto":
        return field.empty or "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return field.labels.get(value) or named(value)
    if isinstance(value, float):
        return f"{value:g}"
    return write_list(value) if isinstance(value, int | tuple) else ""
