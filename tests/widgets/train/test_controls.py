"""How the parts of the pages work together: history, previews, advice, pairs and refining."""

from __future__ import annotations

from threading import Event

import numpy as np
import pytest

import napari_unet
from napari_unet.control import Previewed
from napari_unet.training.events import Finished, Snapshot, Started, Stepped, Warned
from napari_unet.widgets.layers import results
from napari_unet.widgets.layers.provenance import RESULT
from napari_unet.widgets.predict.provenance_dialog import ProvenanceDialog
from tests.widgets.conftest import two_classes

LIVE = 9
"""What live previews say, and no model does."""


def model_of(first, second):
    """Return a model that knows no other labels than these."""
    image, strokes = two_classes()
    painted = np.choose(strokes, (0, first, second)).astype(np.uint8)
    return napari_unet.fit(image, painted, steps=1, size="small", batch_size=1, threads=1)


@pytest.fixture(scope="module")
def models():
    """Models that can be told apart by their labels."""
    return [model_of(1, 2), model_of(3, 4), model_of(5, 6)]


class Training:
    """Stands in for the core: it previews a label of its own, and answers one question."""

    def __init__(self, models):
        self.first, self.second, self.asked_for = models
        self.calls, self.views, self.extra = [], [], []

    def __call__(self, task, image, labels, options, *, control, start, **others):
        self.calls.append({"options": options, "start": start, **others})
        yield started()
        yield Snapshot(10, 1.0, self.first)
        yield Snapshot(20, 2.0, self.second)
        step = 20
        while not control.stopped:
            step += 1
            yield Stepped(step, 1 / step, 1e-3, step / 10, None, None)
            while self.extra:
                yield self.extra.pop(0)
            if control.asked() == "keep":
                yield Snapshot(step, step / 10, self.asked_for)
            self.views.append(control.view)
            if control.view is not None:
                yield previewed(step, control.view)
            Event().wait(0.02)
        yield Finished(self.second, "stopped", step, step / 10)


def started():
    return Started("CPU", 1, 10, None, None, 8, (176, 176), (96, 96), ("dark", "b"), (9, 9), (1, 2))


def previewed(step, view):
    shape = view.region.shape
    return Previewed(step, view, np.full(shape, LIVE, np.uint8), np.full(shape, 0.5, np.float32))


@pytest.fixture
def training(monkeypatch, models):
    import napari_unet.api

    training = Training(models)
    monkeypatch.setattr(napari_unet.api, "train_task", training)
    return training


@pytest.fixture
def page(painted, training):
    """The Train page while it trains."""
    page = painted.panel.train
    painted.click(page.footer.train)
    painted.wait(
        lambda: page.live.preview.layer is not None and len(page.progress.history.history.items)
    )
    yield page
    page.runner.stop()
    painted.idle()
    painted.wait(lambda: not page.live.model_preview.runner.running)


def said(page):
    return set(np.unique(page.live.preview.layer.data).tolist())


def test_an_earlier_moment_is_shown_and_what_comes_live_does_not_hide_it(painted, page):
    slider = page.progress.history.slider
    painted.wait(lambda: said(page) == {LIVE})
    slider.setValue(0)
    painted.wait(lambda: said(page) <= {1, 2})
    steps = page.progress.plot.training.size
    painted.wait(lambda: page.progress.plot.training.size > steps + 10)
    assert said(page) <= {1, 2}
    slider.setValue(1)
    painted.wait(lambda: said(page) <= {3, 4})
    page.progress.history.slider.setValue(page.progress.history.slider.maximum())
    painted.wait(lambda: said(page) == {LIVE})
    assert page.live.model_preview._model is None


def test_an_earlier_moment_follows_what_is_in_view(room, training):
    image, strokes = two_classes((3, 64, 64))
    room.open(image, strokes)
    page = room.panel.train
    room.viewer.dims.set_current_step(0, 0)
    room.wait(lambda: len(room.form.strokes.painted.pixels) == 2)
    room.form.ndim.setValue(2)
    room.click(page.footer.train)
    room.wait(lambda: page.live.preview.layer is not None)
    page.progress.history.slider.setValue(0)
    room.wait(lambda: set(np.unique(page.live.preview.layer.data[0])) <= {1, 2})
    room.viewer.dims.set_current_step(0, 2)
    room.wait(lambda: page.live.preview.layer.data[2].any())
    assert set(np.unique(page.live.preview.layer.data[2])) <= {1, 2}
    room.click(page.footer.stop)
    room.idle()
    room.wait(lambda: not page.live.model_preview.runner.running)


def test_stopped_it_shows_what_it_ended_with(painted, page):
    painted.click(page.footer.stop)
    painted.idle()
    painted.wait(lambda: said(page) <= {3, 4})
    page.progress.history.slider.setValue(0)
    painted.wait(lambda: said(page) <= {1, 2})
    page.progress.history.slider.setValue(page.progress.history.slider.maximum())
    painted.wait(lambda: said(page) <= {3, 4})


def test_the_present_is_asked_for_before_it_is_kept(painted, page, training):
    models = painted.panel.session.models
    assert models == []
    page.progress.history.keep.click()
    painted.wait(lambda: models != [])
    assert models[0].model.digest == training.asked_for.digest
    assert page.notice.text().startswith(f"Saved as {models[0].name}")
    training.extra.append(Snapshot(5000, 500.0, training.first))  # one of which nobody asked
    painted.wait(lambda: len(page.progress.history.history.items) == 4)
    assert len(models) == 1


def test_an_earlier_moment_is_kept_as_it_is(painted, page, training):
    page.progress.history.slider.setValue(1)
    page.progress.history.keep.click()
    page.progress.history.keep.click()
    (named,) = painted.panel.session.models
    assert named.model.digest == training.second.digest
    assert page.runner.running


def test_going_on_from_a_moment_starts_anew_from_it(painted, page, training):
    page.progress.history.slider.setValue(0)
    page.progress.history.branch.click()
    painted.wait(lambda: len(training.calls) == 2)
    assert training.calls[0]["start"] is None
    assert training.calls[1]["start"].digest == training.first.digest
    assert page.form.start.value().digest == training.first.digest
    assert page.progress.history.selected is None
    assert page.runner.running
    painted.wait(lambda: said(page) == {LIVE})


def test_going_on_after_the_end(painted, page, training):
    painted.click(page.footer.stop)
    painted.idle()
    assert page.progress.history.label.text().startswith("the end")
    page.progress.history.slider.setValue(0)
    page.progress.history.branch.click()
    painted.wait(lambda: len(training.calls) == 2)
    assert training.calls[1]["start"].digest == training.first.digest
    painted.wait(lambda: said(page) == {LIVE})
    assert page.progress.history.label.text().startswith("now")


def test_advice_is_shown_and_gone_with_the_next_training(painted, page, training):
    assert page.progress.advice.isHidden()
    training.extra += [Warned("The loss was not finite.")] * 2
    painted.wait(lambda: not page.progress.advice.isHidden())
    assert "choose a lower learning rate" in page.progress.advice.text.text()
    painted.click(page.footer.stop)
    painted.idle()
    assert not page.progress.advice.isHidden()
    painted.click(page.footer.train)
    assert page.progress.advice.isHidden()


def unsure(painted):
    return [layer for layer in painted.viewer.layers if layer.name.endswith("– unsure")]


def test_doubt_comes_and_goes_with_its_box(painted, page):
    assert not unsure(painted)
    page.live.bar.unsure.click()
    painted.wait(lambda: len(unsure(painted)) == 1)
    assert (unsure(painted)[0].data == 128).all()
    page.live.bar.unsure.click()
    assert not unsure(painted)
    steps = page.progress.plot.training.size
    painted.wait(lambda: page.progress.plot.training.size > steps + 5)
    assert not unsure(painted)


def test_without_the_box_for_previews_nothing_is_computed(painted, page, training):
    page.live.bar.shown.click()
    painted.wait(lambda: training.views[-1] is None)
    before = page.live.preview.layer.data.copy()
    page.progress.history.slider.setValue(0)
    painted.qtbot.wait(300)
    assert not page.live.model_preview.runner.running
    assert np.array_equal(page.live.preview.layer.data, before)
    page.live.bar.shown.click()
    painted.wait(lambda: training.views[-1] is not None)
    painted.wait(lambda: said(page) <= {1, 2})


@pytest.fixture
def pairs(painted, training):
    """The Train page while it learns from two images of different shapes."""
    page, viewer = painted.panel.train, painted.viewer
    image, strokes = two_classes((48, 80))
    other = viewer.add_image(image, name="other")
    viewer.add_labels(strokes, name="other strokes")
    viewer.layers.selection.active = viewer.layers["picture"]
    row = page.form.pairs.add()
    assert row.layers() == (other, viewer.layers["other strokes"])
    painted.click(page.footer.train)
    painted.wait(lambda: page.live.preview.layer is not None)
    yield page
    page.runner.stop()
    painted.idle()
    painted.wait(lambda: not page.live.model_preview.runner.running)


def select(painted, name):
    painted.viewer.layers.selection.active = painted.viewer.layers[name]


def shown_on(painted, name):
    return set(np.unique(painted.viewer.layers[f"{name} – live preview"].data).tolist())


def test_the_pair_that_is_selected_is_the_one_previewed(painted, pairs, training):
    assert training.views[-1].image_index == 0
    select(painted, "other strokes")
    painted.wait(lambda: training.views[-1].image_index == 1)
    assert training.views[-1].region.shape[0] == 48
    painted.wait(lambda: "other – live preview" in painted.viewer.layers)
    assert painted.viewer.layers["other – live preview"].data.shape == (48, 80)
    select(painted, "picture")
    painted.wait(lambda: training.views[-1].image_index == 0)


def test_an_earlier_moment_goes_along_to_another_pair(painted, pairs):
    pairs.progress.history.slider.setValue(0)
    painted.wait(lambda: shown_on(painted, "picture") <= {0, 1, 2})
    select(painted, "other")
    painted.wait(lambda: "other – live preview" in painted.viewer.layers)
    assert shown_on(painted, "other") <= {0, 1, 2}
    picture, _ = pairs.training.request.pairs[1]
    assert pairs.live.model_preview._data is picture
    painted.click(pairs.footer.stop)
    painted.idle()
    select(painted, "strokes")
    pairs.progress.history.slider.setValue(1)
    painted.wait(lambda: shown_on(painted, "picture") <= {0, 3, 4})
    previews = [x.name for x in painted.viewer.layers if x.metadata.get(RESULT)]
    assert previews == ["picture – live preview", "other – live preview"]


def test_it_is_said_which_part_of_the_view_is_shown(room, training):
    strokes = np.zeros((3000, 2000), np.uint8)
    strokes[10:20, 10:20], strokes[30:40, 30:40] = 1, 2
    room.open(np.zeros((3000, 2000), np.uint8), strokes)
    page = room.panel.train
    room.wait(lambda: len(room.form.strokes.painted.pixels) == 2)
    room.click(page.footer.train)
    room.wait(lambda: not page.live.bar.note.isHidden())
    assert "middle 768 × 768 pixels" in page.live.bar.note.text()
    room.viewer.scene.camera.zoom = 4.0
    room.wait(lambda: page.live.bar.note.isHidden())
    page.live.preview.enabled = False  # of so large an image no model need say anything
    room.click(page.footer.stop)
    room.idle()
    assert page.live.bar.note.text() == ""


@pytest.fixture
def predicting(painted, models):
    painted.panel.session.add("mine", models[0])
    painted.panel.show_page("predict")
    return painted.panel.predict


def test_a_result_can_be_refined_and_tells_how_it_was_made(painted, predicting, models):
    page = predicting
    assert page.refine_section.isHidden()
    assert page.provenance.isHidden()
    painted.click(page.footer.predict)
    assert page.refine_section.isHidden()
    painted.idle()
    assert not page.refine_section.isHidden()
    painted.click(page.provenance)
    (dialog,) = page.findChildren(ProvenanceDialog)
    assert dialog.isVisible()
    assert "picture – prediction" in dialog.windowTitle()
    assert models[0].digest in dialog.text
    dialog.close()


def test_it_tells_of_the_result_that_is_selected(painted, predicting):
    painted.click(predicting.footer.predict)
    painted.idle()
    first = painted.viewer.layers["picture – prediction"]
    first.name = "mine"
    painted.click(predicting.footer.predict)
    painted.idle()
    painted.viewer.layers.selection.active = first
    painted.click(predicting.provenance)
    (dialog,) = predicting.findChildren(ProvenanceDialog)
    assert "“mine”" in dialog.windowTitle()
    dialog.close()


def test_probabilities_that_are_too_many_are_not_kept(painted, predicting, monkeypatch, models):
    monkeypatch.setattr(results, "MOST_KEPT", 2 * 64 * 64 - 1)
    painted.click(predicting.footer.predict)
    painted.idle()
    assert predicting.refine_section.isHidden()
    assert not predicting.provenance.isHidden()
    (result,) = (
        layer for layer in painted.viewer.layers if "model" in layer.metadata.get(RESULT, {})
    )
    image = painted.viewer.layers["picture"].data
    assert np.array_equal(result.data, napari_unet.predict(models[0], image))
    monkeypatch.setattr(results, "MOST_KEPT", 2 * 64 * 64)
    painted.click(predicting.footer.predict)
    painted.idle()
    assert not predicting.refine_section.isHidden()
