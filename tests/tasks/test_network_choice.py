"""How large training patches are."""

from __future__ import annotations

import pytest

from napari_unet.errors import InputError
from napari_unet.network.build import build_network
from napari_unet.network.filters import FilterPath
from napari_unet.network.registry import preset
from napari_unet.network.unet_config import FEATURES, UNetConfig
from napari_unet.tasks.network_choice import (
    INPUT_VOXELS,
    choose_network,
    fitting_input_shape,
    output_shape_of,
)
from napari_unet.tasks.segmentation.active_learning import UncertaintyProbe
from napari_unet.tasks.segmentation.options import SegmentOptions

SAME = UNetConfig.sized("medium", 2, padding="same")


@pytest.mark.parametrize("name", ["fcdensenet103", "fcn8s", "semantic2d", "sinogram2019"])
def test_padded_networks_learn_from_whatever_passes(name):
    """However wide they see: FC-DenseNet103 sees more than 2,000 voxels."""
    config = preset(name)
    patch = fitting_input_shape(config, (1000, 3000))
    assert all(g.is_allowed(n) for g, n in zip(config.passing, patch, strict=True))
    voxels = patch[0] * patch[1]
    assert INPUT_VOXELS[2] / 2 < voxels <= INPUT_VOXELS[2]
    assert abs(patch[0] - patch[1]) <= config.passing[0].stride
    assert output_shape_of(config, patch) == patch


def test_no_patch_is_larger_than_the_image_needs():
    (step, _) = (axis.stride for axis in SAME.passing)
    assert fitting_input_shape(SAME, (step + 1, 400))[0] == 2 * step
    assert fitting_input_shape(SAME, (1, 1)) == (step, step)


def test_a_wished_patch_is_the_largest():
    assert fitting_input_shape(preset("fcn8s"), (500, 500), (100, 70)) == (96, 64)
    # Smaller than anything that passes: then the smallest.
    assert fitting_input_shape(preset("fcn8s"), (500, 500), (10, 70)) == (32, 64)
    with pytest.raises(InputError, match="one size per spatial axis"):
        fitting_input_shape(SAME, (500, 500), (64,))


def test_valid_networks_need_their_context():
    config = preset("ronneberger2015")
    patch = fitting_input_shape(config, (1000, 1000))
    assert all(n > g.context for g, n in zip(config.geometry, patch, strict=True))
    assert output_shape_of(config, patch) == config.output_for(patch)


@pytest.mark.parametrize("config", [SAME, preset("fcn8s"), preset("ronneberger2015")])
def test_windows_to_look_into_fit_any_patch(config):
    patch = fitting_input_shape(config, (64, 700))
    probe = UncertaintyProbe.of(config, patch, None)
    assert all(
        n % g.stride == 0 and n > 0
        for g, n in zip(config.geometry, probe.window_shape, strict=True)
    )
    assert probe.count >= 2


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
@pytest.mark.parametrize("ndim", [2, 3])
def test_however_many_channels_there_are_the_filters_see_each(channels, ndim):
    network = choose_network(SegmentOptions(steps=1, size="small"), ndim, (channels, 2), None)
    assert isinstance(network, UNetConfig)
    assert network.filters == UNetConfig.sized("small", ndim).filters
    assert FEATURES * len(network.filters) * channels == _filters(network).mix.in_channels


def _filters(network: UNetConfig) -> FilterPath:
    path = build_network(network).filters
    assert isinstance(path, FilterPath)
    return path
