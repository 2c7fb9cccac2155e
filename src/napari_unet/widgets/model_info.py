"""Which model, and what it is."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_unet.model import ClassInfo, TrainedModel
from napari_unet.widgets.editors import guard_wheel
from napari_unet.widgets.layers import class_color, hex_color
from napari_unet.widgets.session import NamedModel, Session
from napari_unet.widgets.words import count, duration, humanise


class ModelChooser(QComboBox):
    """Chooses one of the session's models; a new one becomes the choice."""

    valueChanged = Signal()  # noqa: N815 - Qt's way of naming

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setPlaceholderText("Train one, or open a file")
        self.setMinimumContentsLength(8)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        guard_wheel(self)
        for named in session.models:
            self._add(named)
        session.modelAdded.connect(self._add)
        self.currentIndexChanged.connect(lambda _: self.valueChanged.emit())

    def value(self) -> NamedModel | None:
        """Return the chosen model."""
        index = self.currentIndex()
        return self._session.models[index] if index >= 0 else None

    def setValue(self, value: NamedModel) -> None:  # noqa: N802 - Qt's name
        """Choose a model of the session."""
        self.setCurrentIndex(self._session.models.index(value))

    def _add(self, named: NamedModel) -> None:
        self.addItem(named.name)
        self.setCurrentIndex(self.count() - 1)


def describe_model(model: TrainedModel) -> str:
    """Return what one wants to know of a model, as rich text."""
    config = model.config
    classes = "&nbsp; ".join(map(_class_text, model.classes))
    lines = {
        "Task": f"{humanise(model.task)}, {config.ndim}D, {_channels(model)}",
        "Classes": classes,
        "Trained": _training(model.training),
        "How": escape(str(model.training.get("why", ""))),
        "Fingerprint": f"<code>{model.digest[:8]}</code>",
    }
    return "<br>".join(f"<b>{name}</b> {text}" for name, text in lines.items() if text)


def _channels(model: TrainedModel) -> str:
    """Say what goes in, and what comes out if that is something else."""
    given, planes = model.image_channels, model.reading.planes
    made = given if model.target is None else model.config.out_channels
    parts = [count(given, "channel") + (f" in, {made} out" if made != given else "")]
    if planes > 1:
        parts.append(f"{count(planes, 'plane')} together")
    return ", ".join(parts)


def _class_text(info: ClassInfo) -> str:
    name = escape(str(info)).replace(" ", "&nbsp;")
    return f'<span style="color:{hex_color(class_color(info))}">■</span>&nbsp;{name}'


def _training(facts: dict[str, Any]) -> str:
    parts = []
    if "steps" in facts:
        parts.append(count(int(facts["steps"]), "step"))
    if "seconds" in facts:
        parts.append(duration(float(facts["seconds"])))
    validation = facts.get("validation", {})
    scores = [s for s in validation.get("IoU", ()) if s is not None]
    if scores:
        parts.append(f"IoU {sum(scores) / len(scores):.2f}")
    elif "PSNR" in validation:
        parts.append(f"PSNR {validation['PSNR']:.1f} dB")
    elif "IoU" not in validation and "loss" in validation:
        parts.append(f"held-out loss {validation['loss']:.3g}")
    return ", ".join(parts)
