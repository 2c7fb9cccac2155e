"""What one looks at when an image was predicted: before and after, what to believe, how good."""

from __future__ import annotations

from typing import Any

from napari import Viewer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.widgets.compare import CompareBar
from napari_unet.widgets.parts import Section
from napari_unet.widgets.planes import Subject
from napari_unet.widgets.reference import ReferencePanel
from napari_unet.widgets.trust import TrustPanel


class Checks(QWidget):
    """Compares a predicted image with what it was made from, and with a reference.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._subject: Subject | None = None
        self.compare = CompareBar(viewer)
        self.trust, self.reference = TrustPanel(viewer), ReferencePanel(viewer)
        self.trust_section = Section("What to believe", self.trust)
        self.trust_section.button.setChecked(True)
        self.reference_section = Section("Measure against a reference", self.reference)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (self.compare, self.trust_section, self.reference_section):
            layout.addWidget(part)
        viewer.layers.events.removed.connect(self._removed)
        self._forget()

    def set_result(self, subject: Subject, *, task: str, complete: bool) -> None:
        """Take a result.

        Parameters
        ----------
        subject : Subject
            The result, and what it was made from.
        task : str
            What the model was trained for; what was denoised is examined.
        complete : bool
            Whether all of it is there; else it can only be looked at.
        """
        self._forget()
        self._subject = subject
        self.compare.set_layers(subject.image, subject.result)
        measured = complete and subject.alike
        self.reference_section.setVisible(measured)
        self.trust_section.setVisible(measured and task == "denoise")
        if measured:
            self.reference.set_result(subject)
        if measured and task == "denoise":
            self.trust.set_result(subject)

    def clear(self) -> None:
        """Forget the result, and show nothing."""
        self.compare.set_layers(None, None)
        self._forget()

    def _forget(self) -> None:
        """Measure nothing any more."""
        self._subject = None
        for part, section in (
            (self.trust, self.trust_section),
            (self.reference, self.reference_section),
        ):
            part.clear()
            section.hide()

    def let_go(self) -> None:
        """Stop, and follow the viewer no longer."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        for part in (self.compare, self.trust, self.reference):
            part.let_go()

    def _removed(self, event: Any) -> None:
        # What compares sees for itself what is gone.
        subject = self._subject
        if subject is not None and event.value in (subject.image, subject.result):
            self._forget()
