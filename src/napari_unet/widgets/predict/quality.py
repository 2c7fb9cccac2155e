"""Checks of a predicted image: of what was removed from it, and against a reference image."""

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
from napari_unet.widgets.qt.event_thread import EventRunner, LatestOnly
from napari_unet.widgets.qt.style import Notice, Section, mark
from napari_unet.widgets.qt.subscriptions import Subscriptions

if TYPE_CHECKING:  # it loads scipy.stats, which takes a second
    from napari_unet.noise.residual_report import Fact, ResidualReport

RESIDUAL_SIGMAS = 4.0
"""Contrast limits of the residual, plus and minus, in standard deviations of the noise."""

HEAT = Colormap([[0, 0, 0, 1], [1, 0.1, 0.1, 1], [1, 0.9, 0.2, 1]], name="unsupported")
"""From black to yellow: how strongly the data contradicts the result."""

VERDICTS: dict[str, tuple[Literal["info", "warning", "error"], str]] = {
    "good": ("info", "Good."),
    "caution": ("warning", "Caution."),
    "bad": ("error", "Do not rely on this result as it is."),
}
"""Kind of notice and first words for each level of a `ResidualReport`."""

FACTS: dict[Fact, str] = {
    "Noise": "Standard deviation of the noise in grey values: in the input, and what remains "
    "in smooth parts of the result.",
    "Residual": "Variance of what was removed, divided by that of the noise. It should be 1. More "
    "means that structure was removed, too; less means that noise is left.",
    "Autocorrelation": "Autocorrelation of what was removed, between neighbours along y and "
    "x. It should equal that of the noise, which is given in brackets.",
    "Correlation": "Correlation of what was removed with the detail of the result. It is near "
    "0 unless structure was removed or invented.",
    "Lost": "Share of the places where the noisy data has structure that the result lacks.",
    "Unsupported": "Share of the places where the noisy data contradicts the structure that the "
    "result shows.",
    "Lines": "Offsets of whole rows and columns that are left in the result, in grey values.",
}
"""The numbers of a `ResidualReport` that are shown, with their tooltips."""


class Difference:
    """One array minus another, computed where it is read.

    Parameters
    ----------
    one, other : array
        Arrays of the same shape.
    colours : bool
        Whether their last axis holds colours; then the means over that axis are subtracted.
    """

    def __init__(self, one: Any, other: Any, *, colours: bool) -> None:
        self._one = one
        self._other = other
        self._colours = colours
        self.shape = tuple(map(int, one.shape[:-1] if colours else one.shape))
        self.ndim, self.dtype = len(self.shape), np.dtype(np.float32)

    def __getitem__(self, where: Any) -> NDArray[np.float32]:
        one, other = (np.asarray(a[where], np.float64) for a in (self._one, self._other))
        found = one - other
        return np.asarray(found.mean(-1) if self._colours else found, np.float32)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


class ResidualPanel(QWidget):
    """Analyses what was removed from the plane in view of a denoised image, in a thread.

    It shows a verdict, a table of numbers, and buttons that add layers to the viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._pair: PredictionPair | None = None
        self._plane: Plane | None = None
        self.report: ResidualReport | None = None
        self.runner = EventRunner(self)
        self._latest = LatestOnly(self.runner)
        self._latest.due.connect(self._begin)
        self.verdict = Notice()
        self.line = QLabel()
        self.facts = {name: QLabel() for name in FACTS}
        self.where = QPushButton("Show where")
        self.residual = QPushButton("Show what was removed")
        self.again = QPushButton("Analyse the plane in view")
        self._table = QWidget()
        self._arrange()
        self.where.clicked.connect(self._show_unsupported)
        self.residual.clicked.connect(self._show_residual)
        self.again.clicked.connect(self.analyse)
        self.runner.happened.connect(self._take_report)
        self.runner.failed.connect(self._show_problem)
        self.runner.ended.connect(self._show_state)
        dims = viewer.dims.events
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(self._moved, dims.current_step, dims.order)
        self._show_state()

    def set_result(self, pair: PredictionPair) -> None:
        """Take a denoised image and its input, and analyse the plane in view."""
        self.clear()
        self._pair = pair
        self.analyse()

    def clear(self) -> None:
        """Forget the result. Layers that were added stay."""
        self._pair = self._plane = self.report = None
        self._latest.cancel()
        self.verdict.say("")
        self.line.setText("")
        self._show_state()

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        self.clear()
        self.runner.abandon()
        self._subscriptions.release()

    def analyse(self) -> None:
        """Analyse the plane in view; if an analysis runs already, do so when it has ended."""
        self._latest.request()

    def _begin(self) -> None:
        pair = self._pair
        plane = None if pair is None else pair.plane(self._viewer)
        if pair is None or plane is None:
            return
        self._plane = plane
        self.report = None
        noisy, denoised = pair.arrays
        self.runner.start_call(lambda: (plane, _analyse(plane.read(noisy), plane.read(denoised))))
        self.verdict.say("")
        self.line.setText("Analysing what was removed …")
        self._show_state()

    def _take_report(self, found: tuple[Plane, ResidualReport]) -> None:
        if self._pair is None or found[0] is not self._plane:
            return
        self._plane, self.report = found
        kind, word = VERDICTS[self.report.level]
        self.verdict.say("\n".join([word, *self.report.verdict]), kind)
        self.line.setText(f"Analysed: {self._plane}.")
        for name, text in _fact_texts(self.report).items():
            value = self.facts[name]
            value.setText(text)
            value.setToolTip(f"{FACTS[name]} {self.report.explain(name)}")
            mark(value, self.report.level_of(name))

    def _show_problem(self, error: NapariUnetError) -> None:
        if self._pair is not None:
            self.line.setText("")
            self.verdict.say(f"This plane cannot be analysed: {error}", "warning")

    def _moved(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self._show_state()

    def _show_unsupported(self) -> None:
        pair, plane = self._pair, self._plane
        report = self.report
        if pair is None or plane is None or report is None:
            return
        name = f"{pair.image.name} – unsupported"
        note = (
            f"This map shows where “{pair.result.name}” has structure that the noisy data "
            f"contradicts ({plane}), as a multiple of the threshold."
        )
        marks = report.unsupported
        layer = note_layer(
            marks.reshape(plane.size),
            name,
            note,
            placement(pair.image, start=plane.start),
            colormap=HEAT,
            blending="additive",
            contrast_limits=(0.0, max(2.0, float(marks.max(initial=0)))),
        )
        self._show(layer)

    def _show_residual(self) -> None:
        pair, report = self._pair, self.report
        if pair is None or report is None:
            return
        image, result = pair.image, pair.result
        name, most = f"{image.name} – removed", RESIDUAL_SIGMAS * report.sigma_before
        layer = note_layer(
            Difference(*pair.arrays, colours=bool(image.rgb)),
            name,
            f"“{image.name}” minus “{result.name}”: what was removed. It should look like pure "
            "noise.",
            placement(image),
            colormap="gray",
            contrast_limits=(-most, most),
        )
        self._show(layer)

    def _show(self, layer: Image) -> None:
        """Put a layer above the result, in the place of one that showed the same before."""
        assert self._pair is not None
        layers = self._viewer.layers
        for old in [x for x in layers if x.metadata == layer.metadata]:
            layers.remove(old)
        insert_above(layers, self._pair.result, [layer])

    def _show_state(self) -> None:
        pair, known = self._pair, self.report is not None
        running = self.runner.running
        for part in (self._table, self.where, self.residual):
            part.setVisible(known)
        self.where.setEnabled(known and bool(self.report and self.report.unsupported_share))
        self.line.setVisible(bool(self.line.text()))
        plane = None if pair is None else pair.plane(self._viewer)
        self.again.setVisible(plane is not None and plane != self._plane and not running)

    def _arrange(self) -> None:
        self.line.setProperty("unet", "faint")
        self.line.setWordWrap(True)
        self.where.setToolTip(
            "Add a map of the places where the noisy data contradicts the result as a layer."
        )
        self.residual.setToolTip(
            "Add the difference of input and result as a layer. It should look like pure "
            "noise. Photon noise is stronger where the image is bright."
        )
        self.again.setToolTip("The numbers belong to another plane than the one in view.")
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


def _analyse(noisy: NDArray[Any], denoised: NDArray[Any]) -> ResidualReport:
    from napari_unet.noise.residual_report import analyse_residual

    return analyse_residual(noisy, denoised)


def _fact_texts(report: ResidualReport) -> dict[Fact, str]:
    """Return the text of each of the `FACTS`."""
    y, x = report.residual_autocorrelation[:, 0]
    own_y, own_x = report.noise_autocorrelation[:, 0]
    return {
        "Noise": f"{report.sigma_before:.3g} → {report.sigma_after:.2g} grey values",
        "Residual": f"{report.residual_variance:.2f} × the noise's variance",
        "Autocorrelation": f"y {_short(y)} ({_short(own_y)}), x {_short(x)} ({_short(own_x)})",
        "Correlation": f"{_short(report.signal_correlation)} with the signal",
        "Lost": f"{report.lost_share:.2%} of the places",
        "Unsupported": f"{report.unsupported_share:.2%} of the places",
        "Lines": f"rows {report.row_noise:.2g}, columns {report.column_noise:.2g} grey values",
    }


def _short(value: float) -> str:
    """Return two decimals, without the sign of a zero."""
    return f"{round(float(value), 2) + 0.0:.2f}"


@dataclass(frozen=True)
class Comparison:
    """How similar the result, and its input, are to a reference image."""

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
        self._pair: PredictionPair | None = None
        self._asked: Plane | None = None
        self.runner = EventRunner(self)
        self.layer = LayerCombo(viewer, Image, none="Choose the clean image")
        self.range = OptionalEdit(NumberEdit(low=0), 255.0)
        self.measure = QPushButton("Measure")
        self.line = QLabel()
        self.notice = Notice()
        self._arrange()
        self.layer.layerChanged.connect(self._changed)
        self.range.valueChanged.connect(self._changed)
        self.measure.clicked.connect(self.start)
        self.runner.happened.connect(self._show_comparison)
        self.runner.failed.connect(self._show_problem)
        self.runner.ended.connect(self._show_state)
        dims = viewer.dims.events
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(self._moved, dims.current_step, dims.order)
        self._show_state()

    def set_result(self, pair: PredictionPair) -> None:
        """Take a finished result and its input."""
        self._pair = pair
        self._changed()

    def clear(self) -> None:
        """Forget the result."""
        self._pair = None
        self._changed()

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        self.clear()
        self.runner.abandon()
        self.layer.release()
        self._subscriptions.release()

    def start(self) -> None:
        """Measure what is in view."""
        if self.runner.running or self._pair is None or self.layer.layer() is None:
            return
        try:
            self._begin(self._pair, self.layer.layer())
        except NapariUnetError as error:
            self._show_problem(error)
        self._show_state()

    def _begin(self, pair: PredictionPair, reference: Image) -> None:
        if reference in (pair.image, pair.result):
            raise _no_reference(reference is pair.image)
        given, result = pair.arrays
        arrays = [LayerData.of(reference).data, result, given]
        if len({tuple(a.shape) for a in arrays}) > 1:
            raise InputError(
                "Reference, result and input must have the same shape",
                got=", ".join(str(tuple(a.shape)) for a in arrays),
            )
        plane = pair.plane(self._viewer)
        if plane is None:
            raise InputError("The image is not in view")
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

    def _moved(self, event: Any = None) -> None:  # noqa: ARG002 - napari passes it
        self.notice.say("")  # it was about another plane

    def _show_comparison(self, found: tuple[Plane, Comparison]) -> None:
        plane, (result, given) = found[0], (found[1].result, found[1].given)
        if plane is not self._asked:
            return
        self._say(
            f"PSNR {result.psnr:.2f} dB (input {given.psnr:.2f} dB)\n"
            f"SSIM {result.ssim:.3f} (input {given.ssim:.3f})\n"
            f"for a data range of {result.data_range:.6g}; {_place(plane)}."
        )

    def _show_problem(self, error: NapariUnetError) -> None:
        self._say("")
        self.notice.say(str(error), "error")

    def _say(self, text: str) -> None:
        self.notice.say("")
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def _show_state(self) -> None:
        chosen = self.layer.layer() is not None and self._pair is not None
        self.measure.setEnabled(chosen and not self.runner.running)

    def _arrange(self) -> None:
        tips = {
            "Reference": "A clean image of the same scene, in the same intensity units. Not "
            "the noisy input: by that measure, doing nothing would be best.",
            "Data range": "Difference between the brightest and the darkest value, for PSNR "
            "and SSIM. Not set: 255 for an 8-bit reference, else the range of the "
            "reference.",
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
    """Measure a result, and its input, against a reference.

    Parameters
    ----------
    reference, result, given : ndarray, shape (y, x) or (y, x, colour)
        The clean image, the predicted one, and the one it was predicted from.
    data_range : float, optional
        Difference between brightest and darkest value; 255 for an 8-bit reference, else the range
        of the reference.

    Raises
    ------
    InputError
        Where the reference is the result or its input, is too small, or has only one value.
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
        "The input cannot be the reference: by that measure, doing nothing would be best",
        todo="Choose a clean image, such as one with a long exposure",
    )


def _place(plane: Plane) -> str:
    return str(plane).removesuffix(", mean of the colours")


class QualityChecks(QWidget):
    """Compares a predicted image with its input in the viewer, analyses it, and measures it.

    Shown are, where they make sense: the comparison of input and result, the analysis of what was
    removed, and the measurement against a reference.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pair: PredictionPair | None = None
        self.compare = CompareBar(viewer)
        self.residual = ResidualPanel(viewer)
        self.reference = ReferencePanel(viewer)
        self.residual_section = Section("Quality of the result", self.residual)
        self.residual_section.button.setChecked(True)
        self.reference_section = Section("Measure against a reference", self.reference)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (self.compare, self.residual_section, self.reference_section):
            layout.addWidget(part)
        self._subscriptions = Subscriptions()
        self._subscriptions.connect(self._layer_removed, viewer.layers.events.removed)
        self._forget()

    def set_result(self, pair: PredictionPair, *, task: str, complete: bool) -> None:
        """Take a result.

        Parameters
        ----------
        pair : PredictionPair
            The result and its input.
        task : str
            What the model was trained for; only the result of ``"denoise"`` is analysed.
        complete : bool
            Whether the prediction was not stopped; a partial result can only be compared.
        """
        self._forget()
        self._pair = pair
        self.compare.set_layers(pair.image, pair.result)
        measured = complete and pair.alike
        self.reference_section.setVisible(measured)
        self.residual_section.setVisible(measured and task == "denoise")
        if measured:
            self.reference.set_result(pair)
        if measured and task == "denoise":
            self.residual.set_result(pair)

    def clear(self) -> None:
        """Forget the result, and show nothing."""
        self.compare.set_layers(None, None)
        self._forget()

    def _forget(self) -> None:
        """Forget the result; it can still be compared in the viewer."""
        self._pair = None
        for part, section in (
            (self.residual, self.residual_section),
            (self.reference, self.reference_section),
        ):
            part.clear()
            section.hide()

    def release(self) -> None:
        """Stop, and disconnect from the viewer."""
        self._subscriptions.release()
        for part in (self.compare, self.residual, self.reference):
            part.release()

    def _layer_removed(self, event: Any) -> None:
        # The comparison notices by itself when its layers are removed.
        pair = self._pair
        if pair is not None and event.value in (pair.image, pair.result):
            self._forget()
