"""What to believe of a denoised image: numbers, a verdict, and where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari import Viewer
from napari.layers import Image
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.widgets.layers import insert_above, note_layer, placement
from napari_unet.widgets.parts import Notice
from napari_unet.widgets.planes import Plane, Subject
from napari_unet.widgets.worker import EventRunner

if TYPE_CHECKING:
    from napari_unet.noise.report import TrustReport

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
    "Unsupported": "Share of the places where the noisy data speaks against the structure that the "
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


class TrustPanel(QWidget):
    """Examines the plane in view of a denoised image, in a thread, and tells what it found.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._subject: Subject | None = None
        self._plane: Plane | None = None
        self._due = False
        self.report: TrustReport | None = None
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

    def set_result(self, subject: Subject) -> None:
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

    def let_go(self) -> None:
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

    def _found(self, found: tuple[Plane, TrustReport]) -> None:
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
            f"speaks against ({plane}): multiples of what noise allows for."
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
            "Add a map of the places where the noisy data speaks against the result."
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


def _examine(noisy: NDArray[Any], denoised: NDArray[Any]) -> TrustReport:
    from napari_unet.noise.trust import examine

    return examine(noisy, denoised)


def _told(report: TrustReport) -> dict[str, str]:
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
