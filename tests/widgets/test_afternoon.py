"""An afternoon in one window: five trainings, three tasks, two images; closed, and gone on with.

The window, its docks and its buttons are real; the trainings are short and run in this process.
"""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_unet.runs.folder import CHECKPOINT
from napari_unet.training import trainer
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.panel import find_host, find_panel, make_predict_panel, make_train_panel
from napari_unet.widgets.train.runs import KEEP
from napari_unet.widgets.train.unfinished import OFFER
from tests.widgets.conftest import PATIENCE, two_classes

PLACE = {"scale": (0.5, 0.25), "translate": (3.0, -2.0), "units": ("um", "um")}


class Afternoon:
    """Somebody who works with the panel of a window."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot = viewer, qtbot
        self.open()

    def open(self, page="Train"):
        """Choose an entry of the menu."""
        make = {"Train": make_train_panel, "Predict": make_predict_panel}[page]
        self.viewer.window.add_dock_widget(make(self.viewer), name=page)
        self.panel = find_panel(self.viewer)
        self.train = self.panel.train

    def close_dock(self):
        """Click on the × of the dock."""
        self.viewer.window.remove_dock_widget(find_host(self.viewer))

    def wait(self, condition):
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=PATIENCE)

    def click(self, button):
        assert button.isEnabled()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def idle(self):
        pages = (self.panel.train, self.panel.predict)
        self.wait(lambda: not any(page.runner.running for page in pages))

    def choose(self, task, image, **others):
        """Choose task and layers, and a small and short training."""
        self.panel.show_page("train")
        self.train.tasks.choice.setValue(task)
        form = self.train.form
        form.image.set_layer(self.viewer.layers[image])
        for name, layer in others.items():
            getattr(form, name).set_layer(self.viewer.layers[layer])
        form.net_size.setValue("small")
        form.advanced.form.editors["batch_size"].setValue(2)
        return form

    def learn(self, steps=6):
        """Train to the end, and look at the preview of the finished model."""
        self.panel.show_page("train")
        self.train.form.budget.setValue({"steps": steps})
        self.click(self.train.footer.train)
        self.idle()
        training, followed = self.train.training, self.train.live.model_preview
        assert training.model is not None
        assert self.train.notice.kind("problem") is None
        self.wait(lambda: followed._asked and followed._asked[0] is training.model.model)
        self.wait(lambda: not followed.runner.running)
        assert self.shown().name.endswith("preview")

    def predict(self):
        """Apply what was learned to the image it was learned from."""
        self.click(self.train.footer.predict)
        self.idle()
        return self.shown()

    def shown(self):
        """Return the topmost result or preview that is seen of the image that was learned from.

        Labels may lie upon a restored image; no two of a kind lie upon each other.
        """
        name = self.train.form.image.layer().name
        seen = [x for x in self.viewer.layers if x.visible and RESULT in x.metadata]
        found = [x for x in seen if x.name.startswith(name)]
        assert len({type(x) for x in found}) == len(found), [x.name for x in found]
        return found[-1]

    def paint(self, strokes, box, label):
        """Paint a rectangle, as a stroke of the brush does."""
        indices = np.indices((box[1] - box[0], box[3] - box[2])).reshape(2, -1)
        indices += np.array([[box[0]], [box[2]]])
        strokes.data_setitem(tuple(indices), label)


@pytest.fixture
def checkpoints(monkeypatch, own_folders):
    """Trainings are kept, with a checkpoint after every step."""
    KEEP.remember(True)
    for name in ("RUN_CHECKPOINT", "FIRST_RUN_CHECKPOINT"):
        monkeypatch.setattr(trainer, name, 0.0)
    monkeypatch.setattr("napari_unet.training.budget.SAVING_SHARE", 1e9)
    return own_folders


def open_images(viewer):
    """Open two images of different exposure and size of pixels, one of them with strokes."""
    monday, strokes = two_classes()
    tuesday = 3 * monday + 50
    viewer.add_image(monday, name="monday", **PLACE)
    viewer.add_image(tuesday, name="tuesday", **PLACE)
    viewer.add_labels(strokes, name="strokes", **PLACE)


def test_an_afternoon_and_the_next_morning(make_napari_viewer, qtbot, checkpoints, notes):
    viewer = make_napari_viewer(strict_qt="raise")
    open_images(viewer)
    user = Afternoon(viewer, qtbot)
    strokes = viewer.layers["strokes"]
    painted = strokes.data.copy()

    # 1: strokes on one image.
    form = user.choose("segment", "monday", labels="strokes")
    user.wait(lambda: form.strokes.painted.pixels == {1: 288, 2: 288})
    form.strokes.table.item(0, 1).setText("dark")
    form.strokes.table.item(1, 1).setText("bright")
    user.learn()
    first = user.predict()
    assert first.name == "monday – prediction"

    # 2: corrected, and once more; a hand-made correction of the result is kept.
    user.paint(first, (0, 3, 0, 3), 2)
    corrected = first.data.copy()
    user.paint(strokes, (2, 6, 40, 60), 2)
    painted[2:6, 40:60] = 2
    user.wait(lambda: form.strokes.painted.pixels[2] == 288 + 80)
    user.learn()
    second = user.predict()
    assert second.name == "monday – prediction"
    kept = viewer.layers["monday – prediction (edited)"]
    assert np.array_equal(kept.data, corrected)
    assert not kept.visible

    # The other image, of three times the exposure, from the other page.
    user.open("Predict")
    page = user.panel.predict
    page.form.image.set_layer(viewer.layers["tuesday"])
    user.click(page.footer.predict)
    user.idle()
    other = viewer.layers["tuesday – prediction"]
    assert (other.data == second.data).mean() > 0.98
    for name in ("scale", "translate", "units", "axis_labels"):
        expected = tuple(getattr(viewer.layers["tuesday"], name))
        assert tuple(getattr(other, name)) == expected, name

    # 3: another task on the other image.
    user.choose("denoise", "tuesday")
    user.learn()
    assert user.predict().name == "tuesday – denoised"

    # 4: a third task: from one image to the other; the dock is closed while it learns.
    user.choose("restore", "monday", other="tuesday")
    user.train.form.budget.setValue({"steps": 12})
    user.click(user.train.footer.train)
    user.wait(lambda: user.train.training.started is not None)
    panel = user.panel
    user.close_dock()
    assert [x for x in viewer.layers if "preview" in x.name] == []
    user.open()
    assert user.panel is panel
    user.idle()
    assert user.train.training.model.model.training["steps"] == 12
    assert user.predict().name == "monday – restored"

    # 5: back to the strokes: names and settings are as they were left.
    form = user.choose("segment", "monday", labels="strokes")
    assert form.names() == {1: "dark", 2: "bright"}
    assert [c.name for c in user.panel.session.models[0].model.classes] == ["dark", "bright"]
    user.learn()
    form.budget.setValue({"steps": 500})
    user.click(user.train.footer.train)
    user.wait(lambda: list(checkpoints.glob(f"*/{CHECKPOINT}")))
    assert np.array_equal(strokes.data, painted)
    assert len(viewer.layers) < 15
    assert [kind for kind, _ in notes if kind in ("error", "warning")] == []
    saved = strokes.as_layer_data_tuple()
    runner = user.train.runner
    viewer.close()
    user.wait(lambda: not runner.running)

    # The next morning.
    viewer = make_napari_viewer(strict_qt="raise")
    open_images(viewer)
    viewer.layers.remove("strokes")
    user = Afternoon(viewer, qtbot)
    user.wait(lambda: "Open “strokes”" in user.train.offer.text(OFFER))
    strokes = viewer.add_labels(saved[0], **saved[1])
    go_on = user.train.offer.buttons(OFFER)[0]
    user.click(go_on)
    user.wait(lambda: user.train.progress.plot.training.size >= 2)
    assert user.train.form.names() == {1: "dark", 2: "bright"}
    user.click(user.train.footer.stop)
    user.idle()
    result = user.predict()
    assert result.name == "monday – prediction"
    assert np.array_equal(strokes.data, painted)
    assert {c.name for c in user.panel.session.models[-1].model.classes} == {"dark", "bright"}
    assert [kind for kind, _ in notes if kind in ("error", "warning")] == []
