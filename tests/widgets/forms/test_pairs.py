"""Several pairs, a model to start from, and strokes that are still to come, in the panel's form."""

from __future__ import annotations

import pickle  # noqa: TID251 - what goes into another process is pickled
import threading
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_unet.control import Control
from napari_unet.data.normalisation import Normalisation
from napari_unet.errors import InputError
from napari_unet.geometry.region import Region
from napari_unet.model import ClassInfo, TrainedModel, weights_of
from napari_unet.network.build import build_network
from napari_unet.network.unet_config import UNetConfig
from napari_unet.training.events import Finished, Preparing, Resolved, Started, Warned
from napari_unet.widgets.models import FILE, FRESH, Session
from napari_unet.widgets.train.segmentation_form import GIVEN, TrainForm
from napari_unet.workers.process import InProcessWorker
from tests.widgets.conftest import PATIENCE, two_classes

TINY = UNetConfig(encoder=((4,),), bottom=(4,), decoder=((4,),), stem=(2, 2), up="nearest")
QUICK = {
    "open_ended": False,
    "steps": 2,
    "seconds": None,
    "size": "medium",
    "batch_size": 2,
    "patch": (40, 40),
}


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def form(viewer, qtbot):
    form = TrainForm(viewer)
    qtbot.addWidget(form)
    yield form
    form.release()


def add_pair(viewer, shape=(64, 64), name="a", **arguments):
    image, strokes = two_classes(shape)
    return (
        viewer.add_image(image, name=name, **arguments),
        viewer.add_labels(strokes, name=f"{name} strokes"),
    )


def small_model() -> TrainedModel:
    config = TINY.model_copy(update={"out_channels": 2})
    return TrainedModel(
        config=config,
        weights=weights_of(build_network(config)),
        normalisation=Normalisation("mean_sd", (1.0,), (2.0,)),
        classes=(ClassInfo(5, "five"), ClassInfo(1, "one")),
    )


def quick(request, **options):
    network = {"network": TINY if request.start is None else None}
    set_to = request.options.model_copy(update={**QUICK, **network, **options})
    return replace(request, options=set_to)


def test_the_table_is_folded_and_empty_at_first(form, viewer):
    add_pair(viewer)
    assert form.pairs_section.content.isHidden()
    assert form.pairs_section.button.text() == "▸ More images with strokes"
    assert len(form.request().pairs) == 1


def test_a_new_row_takes_layers_that_are_free(form, viewer):
    first, second = add_pair(viewer), add_pair(viewer, (48, 80), "b")
    form.image.set_layer(first[0])
    form.labels.set_layer(first[1])
    form.pairs.button.click()
    assert form.layers() == [first, second]
    assert form.pairs_section.button.text() == "▸ More images with strokes (1)"
    picture, labels = form.request().pairs[1]
    assert picture.name == "b"
    assert np.array_equal(labels, second[1].data)
    form.pairs.rows[0].remove.click()
    assert len(form.request().pairs) == 1
    assert form.pairs_section.button.text() == "▸ More images with strokes"


def test_a_pair_follows_its_layers(form, viewer, qtbot):
    first = add_pair(viewer)
    second = add_pair(viewer, (48, 80), "b")
    form.image.set_layer(first[0])
    form.labels.set_layer(first[1])
    row = form.pairs.add()
    with qtbot.waitSignal(form.valueChanged):
        viewer.layers.remove(second[1])
    assert row.other.layer() is not second[1]


def test_what_is_lacking_or_doubled_is_said(form, viewer):
    first = add_pair(viewer)
    form.pairs.add()
    with pytest.raises(InputError, match="in more than one pair"):
        form.request()
    viewer.layers.remove(first[1])
    lone = viewer.add_labels(np.ones((64, 64), np.uint8), name="lone")
    form.pairs.rows[0].other.setCurrentIndex(-1)
    form.labels.set_layer(lone)
    with pytest.raises(InputError, match="Pair 2 has no Labels layer"):
        form.request()


def test_colours_and_greys_are_not_mixed(form, viewer):
    first = add_pair(viewer)
    form.image.set_layer(first[0])
    form.labels.set_layer(first[1])
    viewer.add_image(np.zeros((64, 64, 3), np.uint8), rgb=True, name="colours")
    viewer.add_labels(np.zeros((64, 64), np.uint8), name="on colours")
    row = form.pairs.add()
    assert row.layers() == (viewer.layers["colours"], viewer.layers["on colours"])
    with pytest.raises(InputError, match="Pair 2 has other channels than pair 1"):
        form.request()


def test_all_pairs_are_opened_and_learned_from(form, viewer):
    first, second = add_pair(viewer), add_pair(viewer, (48, 80), "b")
    form.image.set_layer(first[0])
    form.labels.set_layer(first[1])
    form.pairs.add()
    request, opened = quick(form.request()), []
    events = list(request.events(InProcessWorker(), Control(), opened.extend))
    assert [store.shape for store in opened] == [(64, 64), (48, 80)]
    assert events[-1].model.training["painted"] == {
        f"class {v}": sum(int((layer.data == v).sum()) for layer in (first[1], second[1]))
        for v in (1, 2)
    }


def test_a_request_can_be_sent_elsewhere(form, viewer):
    add_pair(viewer)
    request = form.request()
    job = request.job()
    assert job.ndim == 2
    assert job.labels.values() == {1: 288, 2: 288}
    assert job.labels.shape == (64, 64)
    assert pickle.loads(pickle.dumps(job.options)) == job.options == request.options


def test_it_waits_for_the_strokes_and_begins_by_itself(form, viewer):
    image, _ = two_classes()
    viewer.add_image(image)
    viewer.add_labels(np.zeros((64, 64), np.uint8))
    request, opened = quick(form.request()), []
    events = request.events(InProcessWorker(), Control(), opened.extend)
    waiting = next(e for e in events if not isinstance(e, Preparing))
    assert isinstance(waiting, Warned)
    assert "one stroke of each of two labels" in waiting.message
    for value, column in ((1, 6), (2, 52)):
        stroke = (Region((8, column), (56, column + 6)), np.full((48, 6), value))
        threading.Timer(0.1 * value, opened[0].write, stroke).start()
    assert isinstance(
        next(e for e in events if not isinstance(e, Warned | Resolved | Preparing)), Started
    )
    assert isinstance(list(events)[-1], Finished)


def test_stopped_while_it_waits_it_ends_without_a_model(form, viewer):
    image, _ = two_classes()
    viewer.add_image(image)
    viewer.add_labels(np.zeros((64, 64), np.uint8))
    control = Control()
    events = quick(form.request()).events(InProcessWorker(), control)
    waiting = next(e for e in events if not isinstance(e, Preparing))
    assert isinstance(waiting, Warned)
    control.stop()
    assert list(events) == [Resolved(waiting.message)]


def test_a_model_brings_its_network_along(form, viewer):
    add_pair(viewer)
    session = Session.of(viewer)
    named = session.add("mine", small_model())
    assert [form.start.itemText(i) for i in range(form.start.count())] == [FRESH, named.name, FILE]
    assert form.start.value() is None
    editors = (form.net_size, form.ndim)
    assert all(editor.isEnabled() for editor in editors)
    form.start.setCurrentIndex(1)
    assert form.start.value() is named.model
    assert not any(editor.isEnabled() for editor in editors)
    assert {editor.toolTip() for editor in editors} == {GIVEN}
    request = form.request()
    assert (request.start, request.ndim) == (named.model, 2)
    assert request.classes[:2] == (5, 1)
    assert request.plan().network.encoder == TINY.encoder
    events = list(quick(request).events(InProcessWorker(), Control()))
    assert events[-1].model.training["continued_from"] == named.model.digest
    assert [c.value for c in events[-1].model.classes] == [5, 1, 2]
    form.start.setCurrentIndex(0)
    assert all(editor.isEnabled() for editor in editors)
    assert GIVEN not in {editor.toolTip() for editor in editors}
    assert form.request().start is None


def test_a_custom_network_cannot_be_set_beside_a_model(form, viewer):
    form.net_size.setValue("custom")
    assert form.network.isEnabled()
    form.start.setValue(Session.of(viewer).add("mine", small_model()))
    assert not form.network.isEnabled()
    assert not form.ndim.isEnabled()


def test_another_model_is_offered_and_the_choice_stays(form, viewer):
    session = Session.of(viewer)
    first = session.add("first", small_model())
    form.start.setValue(first)
    session.add("second", small_model())
    assert form.start.value() is first.model
    assert form.start.count() == 4


def test_a_model_is_started_from_a_file(form, viewer, qtbot, tmp_path, monkeypatch):
    path, model = tmp_path / "kept.safetensors", small_model()
    model.save(path)
    answers = iter([("", ""), (str(path), "")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: next(answers))
    form.start.setCurrentIndex(form.start.count() - 1)
    assert form.start.value() is None
    assert form.start.currentText() == FRESH
    with qtbot.waitSignal(form.start.valueChanged, timeout=PATIENCE):
        form.start.setCurrentIndex(form.start.count() - 1)
    assert form.start.value().digest == model.digest
    assert form.start.currentText() == "kept"


def test_a_file_that_is_no_model_is_told(form, qtbot, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"nothing")
    with qtbot.waitSignal(form.failed, timeout=PATIENCE) as told:
        form.start.open_file(str(path))
    assert "damaged" in str(told.args[0])
    assert form.start.value() is None


def test_the_session_can_be_given(viewer, qtbot):
    session = Session()
    session.add("elsewhere", small_model())
    form = TrainForm(viewer, session)
    qtbot.addWidget(form)
    assert form.start.count() == 3
    form.release()
