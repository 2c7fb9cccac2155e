"""Random networks, as shapes along one axis and as whole configurations."""

from __future__ import annotations

from hypothesis import strategies as st

from napari_unet.geometry.unet_shape import AxisGeometry, LevelShape, UNetShape
from napari_unet.network.unet_config import UNetConfig

FACTORS = st.sampled_from((1, 2, 2, 2, 3, 4))
CROPS = st.sampled_from((0, 2, 4, 6, 8))


@st.composite
def unet_shapes(draw):
    linear = draw(st.booleans())
    levels = draw(st.lists(st.tuples(CROPS, CROPS, FACTORS), max_size=3))
    return UNetShape(
        tuple(LevelShape(*level, linear) for level in levels),
        draw(CROPS),
        draw(st.sampled_from((0, 2, 4))),
        draw(st.sampled_from((1, 1, 2, 3))),
        draw(st.sampled_from((1, 1, 2, 3))),
    )


@st.composite
def geometries(draw):
    """Axes of networks, and others that no network of ours has but that obey the algebra."""
    if draw(st.booleans()):
        shape = draw(unet_shapes())
        return shape.same() if draw(st.booleans()) else shape.valid()
    grow = draw(st.integers(0, 30))
    shrink = draw(st.integers(0, 30).filter(lambda n: (n + grow) % 2 == 0))
    return AxisGeometry(draw(st.integers(1, 17)), grow, shrink)


def _per_axis(values, ndim):
    return st.tuples(*[st.sampled_from(values)] * ndim)


@st.composite
def configs(draw, ndim=None, max_depth=3, **fixed):
    """Networks of few channels; `fixed` sets fields."""
    ndim = ndim or draw(st.sampled_from((2, 3)))
    depth = draw(st.integers(0, min(max_depth, 4 - ndim + max_depth // 2)))
    block = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)
    blocks = st.lists(block, min_size=depth, max_size=depth).map(tuple)
    fields = {
        "ndim": ndim,
        "in_channels": draw(st.integers(1, 2)),
        "out_channels": draw(st.integers(1, 3)),
        "encoder": draw(blocks),
        "bottom": draw(block),
        "decoder": draw(blocks),
        "poolings": tuple(draw(_per_axis((1, 2, 2, 3), ndim)) for _ in range(depth)),
        "kernels": tuple(draw(_per_axis((1, 3, 3, 5), ndim)) for _ in range(depth + 1)),
        "head_kernel": draw(_per_axis((1, 1, 3), ndim)),
        "stem": draw(st.just((1,) * ndim) | _per_axis((1, 2), ndim)),
        "padding": draw(st.sampled_from(("valid", "same"))),
        "norm": draw(st.sampled_from(("batch", "none"))),
        "activation": draw(st.sampled_from(("relu", "leaky_relu", "elu", "gelu", "silu"))),
        "up": draw(st.sampled_from(("transposed", "nearest", "linear"))),
        "residual": draw(st.booleans()),
        "input_skip": draw(st.booleans()),
        "bottom_multiple": draw(st.sampled_from((1, 1, 2))),
    } | fixed
    if fields["input_skip"]:
        fields["out_channels"] = fields["in_channels"]
    return UNetConfig(**(draw(_newer(fields)) | fields))


@st.composite
def _newer(draw, fields):
    """Options that go with some of the others only."""
    same = fields["padding"] == "same"
    options = {
        "down": draw(st.sampled_from(("max", "average", *["strided"] * same))),
        "slope": draw(st.sampled_from((0.01, 0.2))),
        "biases": draw(st.sampled_from((True, True, False))),
    }
    if same and fields["up"] == "transposed" and draw(st.booleans()):
        # Odd kernels go with every factor, even ones with even factors.
        factors = [
            max((f[a] for f in fields["poolings"]), default=1) for a in range(fields["ndim"])
        ]
        twos = bool(fields["poolings"]) and all(n == 2 for f in fields["poolings"] for n in f)
        options["up_kernel"] = tuple(
            draw(st.sampled_from((3, 4) if twos else (n + 1 - n % 2, 5))) for n in factors
        )
    return options


@st.composite
def filtered_configs(draw, **fixed):
    """Networks with one or two scales of filters that just fit, or fit easily."""
    config = draw(
        configs(**fixed, biases=True).filter(lambda c: any(g.context >= 6 for g in c.geometry))
    )
    most = [(g.context // 2 - 1) / 3 for g in config.geometry]
    # 3 sigma and a half are rounded down: by as much a sigma may be larger.
    axis = [st.sampled_from([0.0, 0.6, m + 0.1] if m > 0.6 else [0.0]) for m in most]
    scale = st.tuples(*axis).filter(lambda s: any(s) and config.can_filter(s))
    filters = draw(st.lists(scale, min_size=1, max_size=2).map(tuple))
    return UNetConfig(**{**config.model_dump(), "filters": filters})
