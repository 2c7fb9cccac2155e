"""What follows a viewer, and stops following it."""

from __future__ import annotations

import gc
import weakref

import pytest
from napari.utils.events import EventEmitter

from napari_unet.widgets.qt.subscriptions import Subscriptions


class Listener:
    def __init__(self):
        self.heard = []
        self.subscriptions = Subscriptions()

    def hear(self, event):
        self.heard.append(event.type)


@pytest.fixture
def emitters():
    return [EventEmitter(type_name=name) for name in ("data", "paint")]


def test_one_callback_hears_of_all_and_then_of_none(emitters):
    listener = Listener()
    listener.subscriptions.connect(listener.hear, *emitters)
    for emitter in emitters:
        emitter()
    listener.subscriptions.release()
    listener.subscriptions.release()
    for emitter in emitters:
        emitter()
    assert listener.heard == ["data", "paint"]


def test_callbacks_of_others_stay(emitters):
    mine, other = Listener(), Listener()
    emitters[0].connect(other.hear)
    mine.subscriptions.connect(mine.hear, emitters[0])
    mine.subscriptions.release()
    emitters[0]()
    assert (mine.heard, other.heard) == ([], ["data"])


def test_it_keeps_nothing_alive_and_a_gone_callback_disconnects_no_other(emitters):
    listener, other, subscriptions = Listener(), Listener(), Subscriptions()
    emitters[0].connect(other.hear)
    subscriptions.connect(listener.hear, emitters[0])
    gone = weakref.ref(listener)
    del listener
    gc.collect()
    assert gone() is None
    subscriptions.release()
    emitters[0]()
    assert other.heard == ["data"]


def test_a_function_is_kept_until_it_is_disconnected(emitters):
    heard, subscriptions = [], Subscriptions()
    subscriptions.connect(lambda event: heard.append(event.type), emitters[1])
    gc.collect()
    emitters[1]()
    subscriptions.release()
    emitters[1]()
    assert heard == ["paint"]


@pytest.mark.parametrize("removed", [False, True])
def test_a_list_of_callbacks_is_as_it_was(removed):
    listener, callbacks = Listener(), [print]
    listener.subscriptions.append(listener.hear, callbacks)
    assert callbacks == [print, listener.hear]
    if removed:
        callbacks.pop()
    listener.subscriptions.release()
    assert callbacks == [print]
