"""The result of a denoiser, wiener_filter once more together with the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter

import napari_unet.inference.output_transforms as wiener
from napari_unet.geometry.unet_shape import AxisGeometry
from napari_unet.inference.output_transforms import (
    SIDE,
    filter_margins,
    wiener_filter,
    with_filter_margin,
)


def scene(*shape):
    """Return a smooth picture with an edge, and noise of variance 1."""
    random = np.random.default_rng(0)
    clean = gaussian_filter(random.normal(size=shape), [0] * (len(shape) - 2) + [3, 3]) * 20
    clean[..., shape[-1] // 2 :] += 6
    return clean, random.normal(size=shape)


def by_hand(pilot, noisy, variance):
    """The same, window by window."""
    total, weights = np.zeros(pilot.shape), np.zeros(pilot.shape)
    row = np.hanning(SIDE + 2)[1:-1]
    window = np.outer(row, row)
    for y in range(pilot.shape[0] - SIDE + 1):
        for x in range(pilot.shape[1] - SIDE + 1):
            part = np.s_[y : y + SIDE, x : x + SIDE]
            power = dctn(pilot[part], norm="ortho") ** 2
            gain = power / (power + variance)
            gain[0, 0] = 1
            weight = window / (gain**2).sum()
            total[part] += weight * idctn(gain * dctn(noisy[part], norm="ortho"), norm="ortho")
            weights[part] += weight
    return total / weights


def test_it_is_the_wiener_filter_of_overlapping_windows():
    clean, noise = scene(26, 32)
    pilot = gaussian_filter(clean, 1)
    found = wiener_filter(*(torch.from_numpy(a)[None] for a in (pilot, clean + noise)), [0.7])
    np.testing.assert_allclose(found[0].numpy(), by_hand(pilot, clean + noise, 0.7), atol=1e-6)


def test_each_channel_has_its_noise_and_each_plane_is_filtered_by_itself():
    clean, noise = scene(2, 3, 24, 24)
    pilot, noisy = (torch.from_numpy(a).float() for a in (clean, clean + noise))
    found = wiener_filter(pilot, noisy, [0.5, 2.0])
    for c, variance in enumerate((0.5, 2.0)):
        for z in range(3):
            alone = wiener_filter(pilot[c, z][None], noisy[c, z][None], [variance])
            torch.testing.assert_close(found[c, z], alone[0])


def test_without_noise_the_pixels_come_back_and_a_pilot_gets_better():
    clean, noise = scene(96, 96)
    pilot = gaussian_filter(clean, 2.5)
    images = [torch.from_numpy(a)[None] for a in (pilot, clean + noise)]
    same = wiener_filter(images[1], images[1], [1e-12])
    inner = np.s_[0, 8:-8, 8:-8]
    torch.testing.assert_close(same[inner], images[1][inner], atol=1e-4, rtol=0)
    found = wiener_filter(*images, [1.0]).numpy()

    def error(image):
        return np.mean((image - clean)[8:-8, 8:-8] ** 2)

    assert error(found[0]) < 0.6 * min(error(pilot), error(clean + noise))


@pytest.mark.parametrize("stride", [1, 2, 3, 8, 16])
def test_poolings_fall_on_the_same_pixels_in_every_tile(stride):
    geometry = (AxisGeometry(1, 0, 4), *[AxisGeometry(stride, 2, 3 * stride)] * 2)
    across, *within = filter_margins(geometry)
    assert across == 0
    for margin in within:
        assert margin >= SIDE
        assert margin % stride == 0
    wide = with_filter_margin(geometry, [1.0])
    assert [w.context - g.context for w, g in zip(wide, geometry, strict=True)] == [
        0,
        *(2 * m for m in within),
    ]
    assert with_filter_margin(geometry, ()) == geometry


def test_strips_of_windows_leave_no_trace(monkeypatch):
    image, noise = (torch.from_numpy(a).float() for a in scene(2, 61, 75))
    whole = wiener_filter(image, image + noise, [1.0, 0.4])
    monkeypatch.setattr(wiener, "MAX_WINDOWS", 1000)
    torch.testing.assert_close(wiener_filter(image, image + noise, [1.0, 0.4]), whole)
