"""How near a result comes to a reference that the user names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.noise.likeness import Likeness, likeness
from napari_unet.widgets.choosers import LayerChooser
from napari_unet.widgets.editors import NumberEdit, OptionalEdit
from napari_unet.widgets.form import form_layout
from napari_unet.widgets.layers import Picture
from napari_unet.widgets.parts import Notice
from napari_unet.widgets.planes import Plane, Subject
from napari_unet.widgets.worker import EventRunner


@dataclass(frozen=True)
class Comparison:
    """How alike result and input are to a reference."""

    result: Likeness
    given: Likeness


class ReferencePanel(QWidget):
    """Compares the plane in view of a result, and of its input, with a clean image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._subject: Subject | None = None
        self._asked: Plane | None = None
        self.runner = EventRunner(self)
        self.layer = LayerChooser(viewer, Image, none="Choose the clean image")
        self.range = OptionalEdit(NumberEdit(low=0), 255.0)
        self.measure = QPushButton("Measure")
        self.line, self.notice = QLabel(), Notice()
        self._arrange()
        self.layer.layerChanged.connect(self._changed)
        self.range.valueChanged.connect(self._changed)
        self.measure.clicked.connect(self.start)
        self.runner.happened.connect(self._found)
        self.runner.failed.connect(self._failed)
        self.runner.ended.connect(self._show_state)
        self._show_state()

    def set_result(self, subject: Subject) -> None:
        """Take a finished result and what it was made from."""
        self._subject = subject
        self._changed()

    def clear(self) -> None:
        """Forget the result."""
        self._subject = None
        self._changed()

    def let_go(self) -> None:
        """Stop, and follow the viewer no longer."""
        self.clear()
        self.runner.abandon()
        self.layer.let_go()

    def start(self) -> None:
        """Measure what is in view."""
        if self.runner.running or self._subject is None or self.layer.layer() is None:
            return
        try:
            self._begin(self._subject, self.layer.layer())
        except NapariUnetError as error:
            self._failed(error)
        self._show_state()

    def _begin(self, subject: Subject, reference: Image) -> None:
        if reference in (subject.image, subject.result):
            raise _no_reference(reference is subject.image)
        given, result = subject.arrays
        arrays = [Picture.of(reference).data, result, given]
        if len({tuple(a.shape) for a in arrays}) > 1:
            raise InputError(
                "Reference, result and input have to be of one shape",
                got=", ".join(str(tuple(a.shape)) for a in arrays),
            )
        plane = subject.plane(self._viewer)
        if plane is None:
            raise InputError("The view is outside of the image")
        self._asked = plane
        self._say("")
        wanted = self.range.value()

        def measured() -> tuple[Plane, Comparison]:
            return plane, compare(*(plane.read(a, mean=False) for a in arrays), data_range=wanted)

        self.runner.start_call(measured)

    def _changed(self) -> None:
        self._asked = None
        self._say("")
        self._show_state()

    def _found(self, found: tuple[Plane, Comparison]) -> None:
        plane, (result, given) = found[0], (found[1].result, found[1].given)
        if plane is not self._asked:
            return
        self._say(
            f"PSNR {result.psnr:.2f} dB (input {given.psnr:.2f} dB)\n"
            f"SSIM {result.ssim:.3f} (input {given.ssim:.3f})\n"
            f"for a data range of {result.data_range:.6g}; {_place(plane)}."
        )

    def _failed(self, error: NapariUnetError) -> None:
        self._say("")
        self.notice.say(str(error), "error")

    def _say(self, text: str) -> None:
        self.notice.say("")
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def _show_state(self) -> None:
        chosen = self.layer.layer() is not None and self._subject is not None
        self.measure.setEnabled(chosen and not self.runner.running)

    def _arrange(self) -> None:
        tips = {
            "Reference": "The image as it should be, in the same intensity units. Never the noisy "
            "input: against that, doing nothing would be best.",
            "Data range": "From darkest to brightest, for PSNR and SSIM. Left open: 255 for a "
            "reference of bytes, else what the reference spans.",
        }
        form = form_layout()
        for name, editor in (("Reference", self.layer), ("Data range", self.range)):
            label = QLabel(name)
            for part in (label, editor):
                part.setToolTip(tips[name])
            editor.setAccessibleName(name)
            form.addRow(label, editor)
        self.measure.setToolTip(
            "Peak signal-to-noise ratio, and structural similarity (Wang et al. 2004), of the "
            "plane in view."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(form)
        for below in (self.measure, self.line, self.notice):
            layout.addWidget(below)


def compare(
    reference: NDArray[Any],
    result: NDArray[Any],
    given: NDArray[Any],
    *,
    data_range: float | None = None,
) -> Comparison:
    """Measure a result, and what it was made from, against a reference.

    Parameters
    ----------
    reference, result, given : ndarray, shape (y, x) or (y, x, colour)
        As it should be, as it is, and as it was.
    data_range : float, optional
        From darkest to brightest; 255 for a reference of bytes, else what the reference spans.

    Raises
    ------
    InputError
        Where the reference is no reference, or too small, or without any range.
    """
    for is_input, other in ((True, given), (False, result)):
        if np.array_equal(reference, other):
            raise _no_reference(is_input)
    colours = 2 if reference.ndim > 2 else None
    like, was = (likeness(reference, x, data_range, colours) for x in (result, given))
    return Comparison(like, was)


def _no_reference(is_input: bool) -> InputError:
    if not is_input:
        return InputError("The result cannot be its own reference", todo="Choose the clean image")
    return InputError(
        "The input itself is no reference: against it, doing nothing would be best",
        todo="Choose an image as it should be, such as one of a long exposure",
    )


def _place(plane: Plane) -> str:
    return str(plane).removesuffix(", mean of the colours")
