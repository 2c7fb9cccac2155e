"""Where to compute, and with how many cores."""

from __future__ import annotations

import pytest
import torch

from napari_unet import device
from napari_unet.device import choose_device, describe_device, is_out_of_memory, using_threads
from napari_unet.errors import InputError


@pytest.fixture
def has(monkeypatch):
    def has(cuda=False, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_fastest_there_is(has, cuda, mps, expected):
    has(cuda, mps)
    assert choose_device().type == expected
    assert choose_device("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_refused_with_those_that_are(has):
    has(mps=True)
    with pytest.raises(InputError, match=r"no device 'cuda'.*expected mps or cpu.*\"auto\""):
        choose_device("cuda")
    with pytest.raises(InputError, match="no device 'gpu'"):
        choose_device("gpu")


def test_devices_have_names_for_people():
    assert describe_device(torch.device("cpu")) == "CPU"
    assert describe_device(torch.device("mps")) == "Apple GPU"


def test_threads_are_borrowed():
    before = torch.get_num_threads()
    with using_threads(2) as outer:
        assert outer == torch.get_num_threads() == 2
        with using_threads(None) as inner:
            assert inner == torch.get_num_threads() == 2
        with using_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_threads_are_given_back_after_a_failure():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), using_threads(before + 1):
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == before


def test_what_this_torch_says_when_memory_runs_out_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("error", [RuntimeError("size mismatch"), ValueError("out of memory")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


def test_cores_that_others_compute_on_are_left_to_them(monkeypatch):
    """Others take 0, 0.2, 0.6 and 2.5 of 4 cores, for 10 s each, and in the end all of them."""
    times = iter([(0, 0), (10, 0), (20, 2), (30, 8), (40, 33), (50, 83)])
    monkeypatch.setattr(device, "count_cores", lambda: 4)
    monkeypatch.setattr(device.FreeCores, "_times", staticmethod(lambda: next(times)))
    now = iter(range(10, 60, 10))
    monkeypatch.setattr(device.time, "monotonic", lambda: next(now))
    free = device.FreeCores()
    assert [free.measure() for _ in range(5)] == [4, 4, 3, 1, 1]


def test_it_is_looked_seldom_who_computes():
    free = device.FreeCores()
    assert free.measure() == free.cores  # all, until something was measured
    free._before = (0.0, 0.0)
    assert 1 <= free.measure() <= free.cores == device.count_cores()
    before = free._before
    free.measure()
    assert free._before is before


def test_cores_are_counted_everywhere(monkeypatch):
    monkeypatch.delattr(device.os, "sched_getaffinity", raising=False)
    for cores, counted in ((1, 1), (8, 8), (None, 1)):
        monkeypatch.setattr(device.os, "cpu_count", lambda n=cores: n)
        assert device.count_cores() == counted
