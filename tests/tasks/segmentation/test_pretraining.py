"""Learning the image before the strokes."""

from __future__ import annotations

import numpy as np
import torch

import napari_unet
from napari_unet.control import Control
from napari_unet.tasks.segmentation.data import open_all_annotated
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.pretraining import (
    BUDGET_SHARE,
    SECONDS,
    _options,
    pretrain,
    remaining_options,
)
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.training.events import Decision, Finished, Preparing, Started

OPTIONS = {"steps": 20, "size": "small", "batch_size": 2, "threads": 1, "image_first": True}


def painted():
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    image[:, 48:] += 3
    labels = np.zeros((96, 96), np.uint8)
    labels[20:70, 10:20], labels[20:70, 70:80] = 1, 2
    return image, labels


def learner(**more):
    image, labels = painted()
    options = SegmentOptions(**{**OPTIONS, **more})
    return SegmentationTask.of(open_all_annotated([image], [labels], 2, options), options), options


def test_all_but_the_head_is_taken_over():
    segmentation, options = learner()
    before = {k: v.clone() for k, v in segmentation.network.state_dict().items()}
    told = list(pretrain(segmentation, options, Control()))
    assert isinstance(told[0], Decision)
    progress = [event.progress for event in told[1:]]
    assert progress == sorted(set(progress))
    assert progress[-1] == 1
    after = segmentation.network.state_dict()
    same = {k for k in before if torch.equal(before[k], after[k])}
    apart = {k for k in before if k.startswith(("head.", "filters."))}
    assert apart <= same
    learned = {k for k in before if k.endswith("weight") and before[k].ndim > 1} - apart
    assert learned
    assert not learned & same


def test_the_budget_is_shared():
    segmentation, options = learner()
    assert _options(segmentation, options).steps == round(20 * BUDGET_SHARE)
    assert remaining_options(options).steps == 20 - round(20 * BUDGET_SHARE)
    segmentation, options = learner(open_ended=True, steps=None)
    assert _options(segmentation, options).seconds == SECONDS
    segmentation, options = learner(steps=None, seconds=60)
    assert _options(segmentation, options).seconds + remaining_options(options).seconds == 60


def test_a_stop_is_heard_while_the_image_is_learned():
    control = Control()
    events = []
    for event in napari_unet.train(*painted(), control=control, **OPTIONS):
        events.append(event)
        control.stop()
    kinds = [type(e) for e in events if not isinstance(e, Preparing)]
    assert kinds[:2] == [Decision, Started]
    assert isinstance(events[-1], Finished)
    assert events[-1].step == 0


def test_it_is_repeatable_and_makes_a_difference():
    first, again, plain = (
        napari_unet.fit(*painted(), **{**OPTIONS, "image_first": on}) for on in (True, True, False)
    )
    assert first.digest == again.digest != plain.digest
    assert first.training["options"]["image_first"]
