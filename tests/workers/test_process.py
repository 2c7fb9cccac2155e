"""Another process behind the same iterator: nothing is lost on the way, nothing is left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from threading import Thread

import dask.array as da
import numpy as np
import pytest

from napari_unet import fit, predict
from napari_unet.control import Control, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.errors import InputError, OutOfMemoryError, TrainingError
from napari_unet.geometry.region import Region
from napari_unet.inference.request import PredictionFinished, Request
from napari_unet.tasks.options import parse_options
from napari_unet.training.events import ClassesGrew, Finished, Stepped
from napari_unet.workers import process as worker
from napari_unet.workers.jobs import PredictJob, PreviewJob, TrainJob
from napari_unet.workers.messages import Readable, Writable
from napari_unet.workers.process import InProcessWorker, SubprocessWorker
from tests.workers.worker_jobs import Copy, Deaf, Environment, Fail, Say, Values, Watch, gone

OPTIONS = {"size": "small", "batch_size": 2, "steps": 4, "device": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def apart():
    apart = SubprocessWorker()
    yield apart
    apart.close()


def picture():
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    image[:, 48:] += 3
    labels = np.zeros((96, 96), np.uint8)
    labels[20:70, 10:20], labels[20:70, 70:80] = 1, 2
    return image, labels


def store_of(labels):
    store = AnnotationStore(labels.shape, labels.ndim)
    store.write(Region.whole(labels.shape), labels)
    return store


def job_of(image, labels, options, task="segment"):
    return TrainJob(task, image, labels, parse_options(task, options))


def test_a_training_and_a_prediction_there_are_those_here(apart):
    image, labels = picture()
    *_, finished = apart.run(job_of(Readable(image), store_of(labels), OPTIONS), Control())
    assert isinstance(finished, Finished)
    assert finished.model.digest == fit(image, labels, **OPTIONS).digest
    out = np.zeros((96, 96), np.uint8)
    job = PredictJob(finished.model, Readable(image), Request(threads=1), Writable(out))
    *_, done = apart.run(job, Control())
    assert isinstance(done, PredictionFinished)
    assert done.result is out
    np.testing.assert_array_equal(out, predict(finished.model, image, threads=1))
    assert out.any()


def test_a_mask_goes_there_for_training_and_preview(apart):
    image, mask = np.random.default_rng(0).normal(9, 1, (40, 40)), np.zeros((40, 40), np.uint8)
    mask[10:20, 10:20] = 1
    options = {"steps": 2, "size": "small", "threads": 1, "batch_size": 2}
    *_, finished = apart.run(job_of(Readable(image), Readable(mask), options, "inpaint"), Control())
    assert isinstance(finished, Finished)
    assert finished.model.digest == fit(image, mask, task="inpaint", **options).digest
    view = Viewport((), Region((5, 5), (15, 15)))
    job = PreviewJob(finished.model, Readable(image), Request(threads=1), view, Readable(mask))
    (shown,) = apart.run(job, Control())
    np.testing.assert_allclose(shown.image[0, :5], image[5:10, 5:15])
    assert not np.isclose(shown.image[0, 5:, 5:], image[10:15, 10:15]).all()


def test_several_images_and_nothing_beside_them():
    images = tuple(Readable(np.random.default_rng(k).normal(9, 1, (40, 40))) for k in range(2))
    options = {"method": "blind_spot", "steps": 1, "size": "small"}
    *_, finished = InProcessWorker().run(job_of(images, None, options, "denoise"), Control())
    assert finished.model.task == "denoise"


def test_strokes_enter_the_training_that_runs_there(apart):
    image, labels = picture()
    store, control, grown = store_of(labels), Control(), None
    options = {**OPTIONS, "steps": None, "open_ended": True}
    for event in apart.run(job_of(Readable(image), store, options), control):
        if isinstance(event, Stepped) and event.step == 2:
            store.write(Region((80, 0), (84, 40)), np.full((4, 40), 7))
        if isinstance(event, ClassesGrew):
            grown = event
            control.stop()
    assert grown.counts == (500, 500, 160)
    assert event.reason == "stopped"
    assert [c.value for c in event.model.classes] == [1, 2, 7]


def test_it_is_another_process_and_the_next_job_finds_it_warm(apart):
    (first,), (second,) = (list(apart.run(Say(), Control())) for _ in range(2))
    assert first == second != os.getpid()


@pytest.mark.parametrize("chunked", [False, True])
def test_pictures_and_results_stay_where_they_are(apart, chunked):
    array = np.random.default_rng(1).integers(0, 200, (20, 300, 40)).astype(">u2")
    out = np.zeros(array.shape, np.uint16)
    data = da.from_array(array, chunks=(7, 100, 40)) if chunked else array
    *_, result = apart.run(Copy(Readable(data), Writable(out)), Control())
    assert result is out
    np.testing.assert_array_equal(out, array + 1)


def test_what_is_asked_here_is_heard_there(apart):
    control, store, heard = Control(), AnnotationStore((90, 200), 2), []
    view = Viewport((3,), Region((0, 1), (2, 4)))
    for event in apart.run(Watch(store), control):
        heard.append(event)
        match len(heard):
            case 1:
                store.write(Region((3, 3), (5, 70)), np.ones((2, 67), int))
            case 2:
                control.pause()
            case 3:
                control.look(view)
            case 4:
                control.ask("suggest")
            case 5:
                control.resume()
            case 6:
                store.write(Region((0, 0), (90, 200)), np.zeros((90, 200), int))
            case 7:
                control.stop()
    assert heard == [
        ({}, False, None),
        ({1: 134}, False, None),
        ({1: 134}, True, None),
        ({1: 134}, True, view),
        "suggest",
        ({1: 134}, False, view),
        ({}, False, view),
        "stopped",
    ]


def test_a_store_of_finished_masks_arrives_whole(apart):
    labels = np.random.default_rng(2).integers(0, 400, (130, 70))
    store = AnnotationStore(labels.shape, 2, zero_is_class=True)
    store.write(Region.whole(labels.shape), labels)
    (there,) = apart.run(Values(store), Control())
    np.testing.assert_array_equal(there, labels)


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("input", InputError, r"^The image is odd \(got 5, expected 4\)\. Even it out\."),
        ("memory", OutOfMemoryError, r"^Too large \(got 1 TB\)\."),
        ("runtime", RuntimeError, "mat1 and mat2"),
        ("unportable", OSError, "Unportable: cannot travel"),
    ],
)
def test_errors_arrive_as_they_were_raised(apart, how, kind, text):
    events = apart.run(Fail(how), Control())
    assert next(events) == "begun"
    with pytest.raises(kind, match=text) as raised:
        next(events)
    assert "jobs.py" in str(raised.value) + "".join(getattr(raised.value, "__notes__", []))


def test_an_error_in_reading_the_picture_is_raised(apart):
    def broken(block):
        raise OSError("the disk is gone")

    data = da.zeros((4, 8, 8), chunks=(1, 8, 8), dtype=np.uint8).map_blocks(broken, dtype=np.uint8)
    with pytest.raises(
        InputError, match=r"“cells” could not be read \(OSError: the disk is gone\)"
    ):
        list(apart.run(Copy(Readable(data, "cells"), Writable(np.zeros(data.shape))), Control()))


def test_a_process_that_dies_is_told_of_and_the_next_job_gets_a_fresh_one(apart):
    with pytest.raises(TrainingError, match="ended unexpectedly"):
        list(apart.run(Fail("die"), Control()))
    assert len(list(apart.run(Say(), Control()))) == 1


def test_one_that_does_not_stop_is_ended_by_force(apart, monkeypatch):
    monkeypatch.setattr(worker, "STOP_TIMEOUT", 0.3)
    control = Control()
    events = apart.run(Deaf(), control)
    pid = next(events)
    control.stop()
    with pytest.raises(TrainingError, match="ended by force"):
        next(events)
    assert gone(pid)


def test_threads_there_wait_without_computing_unless_the_user_wants_otherwise(monkeypatch):
    asked = Environment("OMP_WAIT_POLICY")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    chosen = SubprocessWorker()
    try:
        assert list(chosen.run(asked, Control())) == ["active"]
    finally:
        chosen.close()
    monkeypatch.delenv("OMP_WAIT_POLICY")
    usual = SubprocessWorker()
    try:
        assert list(usual.run(asked, Control())) == ["passive"]
    finally:
        usual.close()


def test_nothing_is_left_running():
    apart = SubprocessWorker()
    apart.warm_up()
    (pid,) = apart.run(Say(), Control())
    apart.close()
    assert gone(pid)


def test_a_used_process_makes_way_for_a_fresh_one(monkeypatch):
    monkeypatch.setattr(worker, "RENEW_AFTER", 0.2)
    apart = SubprocessWorker()
    try:
        (first,) = apart.run(Say(), Control())
        assert gone(first)
        (second,) = apart.run(Say(), Control())
        assert second != first
    finally:
        apart.close()


def test_stopped_before_the_process_is_there_it_ends_at_once():
    apart, control = SubprocessWorker(), Control()
    control.stop()
    began = time.monotonic()
    assert list(apart.run(Deaf(), control)) == []
    assert time.monotonic() - began < 20  # the job would take a thousand
    apart.close()


def test_the_child_ends_with_its_parent():
    code = (
        "from napari_unet.control import Control\n"
        "from napari_unet.workers.process import SubprocessWorker\n"
        "from tests.workers.worker_jobs import Deaf\n"
        "print(next(SubprocessWorker().run(Deaf(), Control())), flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    parent.communicate()
    assert gone(child)


def test_here_is_the_same_without_a_process():
    image, labels = picture()
    *_, finished = InProcessWorker().run(
        job_of(Readable(image), store_of(labels), OPTIONS), Control()
    )
    assert finished.model.digest == fit(image, labels, **OPTIONS).digest


def test_two_jobs_run_at_the_same_time(apart):
    control = Control()
    watching = apart.run(Watch(AnnotationStore((9, 9), 2)), control)
    next(watching)
    other = []
    thread = Thread(target=lambda: other.extend(apart.run(Say(("hello",)), Control())))
    thread.start()
    thread.join(60)
    assert other[1:] == ["hello"]
    control.stop()
    assert list(watching) == ["stopped"]
