"""What to believe of a denoised image: numbers, a verdict, and where to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari import Viewer
from napari.layers import Image
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import InputError, NapariUnetError
from napari_unet.noise.metrics import ImageSimilarity, image_similarity
from napari_unet.widgets.forms.editors import NumberEdit, OptionalEdit
from napari_unet.widgets.forms.layer_combo import LayerCombo
from napari_unet.widgets.forms.model_form import form_layout
from napari_unet.widgets.layers.compare import CompareBar
from napari_unet.widgets.layers.factory import note_layer
from napari_unet.widgets.layers.layer_data import LayerData
from napari_unet.widgets.layers.placement import insert_above, placement
from napari_unet.widgets.layers.view import Plane, PredictionPair
from napari_unet.widgets.qt.event_thread import EventRunner
from napari_unet.widgets.qt.style import Notice, Section

if TYPE_CHECKING:
    from napari_unet.noise.residual_report import ResidualReport

LIMITS = 4.0
"""What was taken away is shown from minus to plus so many standard deviations of the noise."""

HEAT = Colormap([[0, 0, 0, 1], [1, 0.1, 0.1, 1], [1, 0.9, 0.2, 1]], name="unsupported")

SPOKEN: dict[str, tuple[Literal["info", "warning", "error"], str]] = {
    "good": ("info", "Good."),
    "caution": ("warning", "Caution."),
    "bad": ("error", "Do not trust it as it is."),
}
"""How each level is said."""

FACTS = {
    "Noise": "Standard deviation of the noise in grey values: estimated in the input, and what is "
    "left of it in the result where that is smooth.",
    "Residual": "Variance of what was taken away over that of the noise. 1 is right; more: "
    "structure went with it; less: noise is left.",
    "Autocorrelation": "Autocorrelation of what was taken away, between neighbours along y and x; "
    "in brackets that of the noise itself, which it should resemble.",
    "Correlation": "Correlation of what was taken away with the detail of the result. Near 0, "
    "unless structure was taken away or made up.",
    "Unsupported": "Share of the places where the noisy data contradicts the structure that the "
    "result shows.",
}


class Difference:
    """What one array has more than another, computed where it is looked at.

    Parameters
    ----------
    one, other : array
        Of one shape.
    colours : bool
        Whether their last axis holds colours; then it is the difference of the means of those.
    """

    def __init__(self, one: Any, other: Any, *, colours: bool) -> None:
        self._one, self._other, self._colours = one, other, colours
        self.shape = tuple(map(int, one.shape[:-1] if colours else one.shape))
        self.ndim, self.dtype = len(self.shape), np.dtype(np.float32)

    def __getitem__(self, where: Any) -> NDArray[np.float32]:
        one, other = (np.asarray(a[where], np.float64) for a in (self._one, self._other))
        found = one - other
        return np.asarray(found.mean(-1) if self._colours else found, np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


class ResidualPanel(QWidget):
    """Examines the plane in view of a denoised image, in a thread, and tells what it found.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._subject: PredictionPair | None = None
        self._plane: Plane | None = None
        self._due = False
        self.report: ResidualReport | None = None
        self.runner = EventRunner(self)
        self.verdict, self.line = Notice(), QLabel()
        self.facts = {name: QLabel() for name in FACTS}
        self.where = QPushButton("Show where")
        self.residual = QPushButton("Show what was taken away")
        self.again = QPushButton("Examine the plane in view")
        self._table = QWidget()
        self._arrange()
        self.where.clicked.connect(self._where_clicked)
        self.residual.clicked.connect(self._residual_clicked)
        self.again.clicked.connect(self.examine)
        self.runner.happened.connect(self._found)
        self.runner.failed.connect(self._failed)
        self.runner.ended.connect(self._ended)
        for emitter in self._emitters():
            emitter.connect(self._moved)
        self._show_state()

    def set_result(self, subject: PredictionPair) -> None:
        """Take a denoised image and what it was made from; examine what is in view of it."""
        self.clear()
        self._subject = subject
        self.examine()

    def clear(self) -> None:
        """Forget the result; layers that were added stay."""
        self._subject = self._plane = self.report = None
        self._due = False
        self.verdict.say("")
        self.line.setText("")
        self._show_state()

    def release(self) -> None:
        """Stop, and follow the viewer no longer."""
        self.clear()
        self.runner.abandon()
        for emitter in self._emitters():
            emitter.disconnect(self._moved)

    def examine(self) -> None:
        """Examine the plane in view; when that is done, what was examined before is forgotten."""
        if self.runner.running:
            self._due = True
            return
        subject = self._subject
        plane = None if subject is None else subject.plane(self._viewer)
        if subject is None or plane is None:
            return
        self._plane, self.report = plane, None
        noisy, denoised = subject.arrays
        self.runner.start_call(lambda: (plane, _examine(plane.read(noisy), plane.read(denoised))))
        self.verdict.say("")
        self.line.setText("Looking at what was taken away …")
        self._show_state()

    # What happens

    def _found(self, found: tuple[Plane, ResidualReport]) -> None:
        if self._subject is None or found[0] is not self._plane:
            return
        self._plane, self.report = found
        kind, word = SPOKEN[self.report.level]
        self.verdict.say("\n".join([word, *self.report.verdict]), kind)
        self.line.setText(f"Examined: {self._plane}.")
        for name, text in _told(self.report).items():
            self.facts[name].setText(text)

    def _failed(self, error: NapariUnetError) -> None:
        if self._subject is not None:
            self.line.setText("")
            self.verdict.say(f"This plane cannot be examined: {error}", "warning")

    def _ended(self) -> None:
        if self._due:
            self._due = False
            self.examine()
        self._show_state()

    def _moved(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._show_state()

    def _emitters(self) -> tuple[Any, ...]:
        dims = self._viewer.dims.events
        return dims.current_step, dims.order

    # What the user does

    def _where_clicked(self) -> None:
        subject, plane, report = self._subject, self._plane, self.report
        if subject is None or plane is None or report is None:
            return
        name = f"{subject.image.name} – unsupported"
        note = (
            f"This map shows where “{subject.result.name}” has structure that the noisy data "
            f"contradicts ({plane}), as a multiple of the threshold."
        )
        marks = report.unsupported
        layer = note_layer(
            marks.reshape(plane.size),
            name,
            note,
            placement(subject.image, start=plane.start),
            colormap=HEAT,
            blending="additive",
            contrast_limits=(0.0, max(2.0, float(marks.max(initial=0)))),
        )
        self._show(layer)

    def _residual_clicked(self) -> None:
        subject, report = self._subject, self.report
        if subject is None or report is None:
            return
        image, result = subject.image, subject.result
        name, most = f"{image.name} – taken away", LIMITS * report.sigma_before
        layer = note_layer(
            Difference(*subject.arrays, colours=bool(image.rgb)),
            name,
            f"“{image.name}” minus “{result.name}”: what was taken away. It should look like noise "
            "and like nothing else.",
            placement(image),
            colormap="gray",
            contrast_limits=(-most, most),
        )
        self._show(layer)

    def _show(self, layer: Image) -> None:
        """Put a layer above the result, in the place of one that showed the same before."""
        assert self._subject is not None
        layers = self._viewer.layers
        for old in [x for x in layers if x.metadata == layer.metadata]:
            layers.remove(old)
        insert_above(layers, self._subject.result, [layer])

    # Looks

    def _show_state(self) -> None:
        subject, known = self._subject, self.report is not None
        running = self.runner.running
        for part in (self._table, self.where, self.residual):
            part.setVisible(known)
        self.where.setEnabled(known and bool(self.report and self.report.unsupported_share))
        self.line.setVisible(bool(self.line.text()))
        plane = None if subject is None else subject.plane(self._viewer)
        self.again.setVisible(plane is not None and plane != self._plane and not running)

    def _arrange(self) -> None:
        self.line.setProperty("unet", "faint")
        self.line.setWordWrap(True)
        self.where.setToolTip(
            "Add a map of the places where the noisy data contradicts the result."
        )
        self.residual.setToolTip(
            "Add the difference of input and result: it should look like noise and nothing else. "
            "Noise of few photons is stronger where it is bright."
        )
        self.again.setToolTip("The numbers are about another plane than that in view.")
        grid = QGridLayout(self._table)
        grid.setContentsMargins(0, 2, 0, 2)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        for row, (name, value) in enumerate(self.facts.items()):
            label = QLabel(name)
            for column, text in enumerate((label, value)):
                text.setToolTip(FACTS[name])
                grid.addWidget(text, row, column)
        buttons = QHBoxLayout()
        buttons.addWidget(self.where, 1)
        buttons.addWidget(self.residual, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.verdict)
        layout.addWidget(self._table)
        layout.addLayout(buttons)
        layout.addWidget(self.line)
        layout.addWidget(self.again)


def _examine(noisy: NDArray[Any], denoised: NDArray[Any]) -> ResidualReport:
    from napari_unet.noise.residual_report import analyse_residual

    return analyse_residual(noisy, denoised)


def _told(report: ResidualReport) -> dict[str, str]:
    """Return what each of the `FACTS` is."""
    y, x = report.residual_autocorrelation[:, 0]
    own_y, own_x = report.noise_autocorrelation[:, 0]
    return {
        "Noise": f"{report.sigma_before:.3g} → {report.sigma_after:.2g} grey values",
        "Residual": f"{report.residual_variance:.2f} × the noise's variance",
        "Autocorrelation": f"y {_short(y)} ({_short(own_y)}), x {_short(x)} ({_short(own_x)})",
        "Correlation": f"{_short(report.signal_correlation)} with the signal",
        "Unsupported": f"{report.unsupported_share:.2%} of the places",
    }


def _short(value: float) -> str:
    """Return two decimals, without the sign of a zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"


@dataclass(frozen=True)
class Comparison:
    """How alike result and input are to a reference."""

    result: ImageSimilarity
    given: ImageSimilarity


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
        self._subject: PredictionPair | None = None
        self._asked: Plane | None = None
        self.runner = EventRunner(self)
        self.layer = LayerCombo(viewer, Image, none="Choose the clean image")
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

    def set_result(self, subject: PredictionPair) -> None:
        """Take a finished result and what it was made from."""
        self._subject = subject
        self._changed()

    def clear(self) -> None:
        """Forget the result."""
        self._subject = None
        self._changed()

    def release(self) -> None:
        """Stop, and follow the viewer no longer."""
        self.clear()
        self.runner.abandon()
        self.layer.release()

    def start(self) -> None:
        """Measure what is in view."""
        if self.runner.running or self._subject is None or self.layer.layer() is None:
            return
        try:
            self._begin(self._subject, self.layer.layer())
        except NapariUnetError as error:
            self._failed(error)
        self._show_state()

    def _begin(self, subject: PredictionPair, reference: Image) -> None:
        if reference in (subject.image, subject.result):
            raise _no_reference(reference is subject.image)
        given, result = subject.arrays
        arrays = [LayerData.of(reference).data, result, given]
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
    like, was = (image_similarity(reference, x, data_range, colours) for x in (result, given))
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


class QualityChecks(QWidget):
    """Compares a predicted image with what it was made from, and with a reference.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._subject: PredictionPair | None = None
        self.compare = CompareBar(viewer)
        self.trust, self.reference = ResidualPanel(viewer), ReferencePanel(viewer)
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

    def set_result(self, subject: PredictionPair, *, task: str, complete: bool) -> None:
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

    def release(self) -> None:
        """Stop, and follow the viewer no longer."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        for part in (self.compare, self.trust, self.reference):
            part.release()

    def _removed(self, event: Any) -> None:
        # What compares sees for itself what is gone.
        subject = self._subject
        if subject is not None and event.value in (subject.image, subject.result):
            self._forget()
