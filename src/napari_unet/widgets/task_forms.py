"""The choice of a task, and the form that belongs to it."""

from __future__ import annotations

from napari import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_unet.widgets.editors import ChoiceEdit
from napari_unet.widgets.form import form_layout
from napari_unet.widgets.image_form import ImageForm
from napari_unet.widgets.session import Session
from napari_unet.widgets.task_form import RowLabel, TaskForm
from napari_unet.widgets.train_form import TrainForm

TASKS = {
    "segment": ("Segment", "Paint a few strokes; every pixel gets a class."),
    "denoise": ("Denoise", "Learns from the noisy image alone; no clean one is needed."),
    "restore": ("Restore", "Learns from pairs how a degraded image should look."),
    "inpaint": ("Fill in", "Fills in missing pixels from what is around them."),
}
"""Name and explanation of each task."""


class TaskForms(QWidget):
    """Chooses what to learn, and shows what has to be set for it.

    A form is made when its task is chosen for the first time.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers are.
    session : Session
        Whose models can be started from.

    Attributes
    ----------
    changed : Signal()
        Another task is chosen.
    failed : Signal(object)
        Something the user asked for cannot be; a `NapariUnetError`.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, viewer: Viewer, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self.choice = ChoiceEdit([(task, name) for task, (name, _) in TASKS.items()])
        self.choice.setToolTip("What the network shall learn.")
        self.choice.setAccessibleName("Task")
        self.about = QLabel()
        self.about.setProperty("unet", "faint")
        self.about.setWordWrap(True)
        self.segment = TrainForm(viewer, session)
        self._forms: dict[str, TaskForm] = {"segment": self.segment}
        self.current: TaskForm = self.segment
        self._head = QWidget()
        head = QVBoxLayout(self._head)
        head.setContentsMargins(10, 8, 10, 0)
        head.setSpacing(4)
        row = form_layout()
        row.addRow(RowLabel("Task"), self.choice)
        head.addLayout(row)
        head.addWidget(self.about)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        for part in (self._head, self.segment):
            self._layout.addWidget(part)
        self.segment.failed.connect(self.failed)
        self.choice.valueChanged.connect(self._chosen)
        self._chosen()

    def show_running(self, running: bool) -> None:
        """Make room while a training runs."""
        self._head.setVisible(not running)
        self.current.show_running(running)

    def let_go(self) -> None:
        """Follow the viewer no longer."""
        for form in self._forms.values():
            form.let_go()

    def _chosen(self) -> None:
        task = self.choice.value()
        self.about.setText(TASKS[task][1])
        before, image = self.current, self.current.image.layer()
        self.current = self._form(task)
        if image is not None:
            self.current.image.set_layer(image)
        before.hide()
        self.current.show()
        self.changed.emit()

    def _form(self, task: str) -> TaskForm:
        if task not in self._forms:
            form = self._forms[task] = ImageForm(self._viewer, task, self._session)
            form.failed.connect(self.failed)
            self._layout.addWidget(form)
        return self._forms[task]
