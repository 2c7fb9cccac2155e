"""Where to compute, and with how many cores."""

from __future__ import annotations

import pytest
import torch

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
