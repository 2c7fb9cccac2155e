"""Where the next strokes would help most: on textures of which some are painted."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch

from napari_unet.control import Control, Viewport
from napari_unet.data.annotations import AnnotationStore
from napari_unet.geometry.region import Region
from napari_unet.network.unet_config import UNetConfig
from napari_unet.tasks.segmentation.active_learning import (
    UncertaintyProbe,
    features_of,
    nearest_distances,
    novelty,
)
from napari_unet.tasks.segmentation.options import SegmentOptions
from napari_unet.tasks.segmentation.task import SegmentationTask
from napari_unet.tasks.windows import WindowGrid, choose_windows
from napari_unet.training.events import Suggested
from napari_unet.training.options import TrainingOptions
from napari_unet.training.trainer import train_network
from tests.tasks.segmentation.annotated import open_annotated

FLAT = UNetConfig(encoder=((8,),), bottom=(8,), decoder=((8,),), stem=(2, 2), up="nearest")
SOLID = UNetConfig(
    ndim=3, encoder=((8,),), bottom=(8,), decoder=((8,),), stem=(1, 2, 2), up="nearest"
)
CPU = torch.device("cpu")
SIDE = 240


def textures(shape: tuple[int, ...]) -> np.ndarray:
    """Three textures side by side: smooth and dark, smooth and bright, and coarse noise."""
    rng, third = np.random.default_rng(0), shape[-1] // 3
    image = rng.normal(size=shape) * 0.3
    image[..., third : 2 * third] += 3
    image[..., 2 * third :] += 1.5 + 3 * rng.normal(size=(*shape[:-1], shape[-1] - 2 * third))
    return image


def paint(store: AnnotationStore, shape: tuple[int, ...]) -> None:
    """A stroke down the middle of the first two textures, in the middle plane."""
    loops = tuple(n // 2 for n in shape[:-2])
    for value, column in ((1, shape[-1] // 6), (2, shape[-1] // 2)):
        where = Region((*loops, 40, column), (*(i + 1 for i in loops), shape[-2] - 40, column + 4))
        store.write(where, np.full(where.shape, value))


def learner(images, stores, ndim=2, **options) -> SegmentationTask:
    network = FLAT if ndim == 2 else SOLID
    patch = (8, 48, 48)[-ndim:]
    parsed = SegmentOptions.parse({"network": network, "patch": patch, "seed": 0, **options})
    pairs = [open_annotated(i, s, ndim, parsed) for i, s in zip(images, stores, strict=True)]
    return SegmentationTask.of(pairs, parsed)


def trained(learning: SegmentationTask, steps: int = 40):
    options = TrainingOptions(steps=steps, batch_size=2, threads=1)
    list(train_network(learning, options))
    return learning.network.eval()


def painted(shape: tuple[int, ...], spatial: int = 2):
    image, store = textures(shape), AnnotationStore(shape, spatial)
    paint(store, shape)
    return image, store


@pytest.fixture(scope="module")
def flat():
    image, store = painted((SIDE, SIDE))
    learning = learner([image], [store])
    return learning, trained(learning), store


def fresh(flat) -> tuple[SegmentationTask, torch.nn.Module, AnnotationStore]:
    """The same learner and weights, as if nothing had been asked yet."""
    learning, network, store = flat
    again = learner([learning.annotated[0].view.source.read(Region.whole((SIDE, SIDE)))], [store])
    again._frequencies = learning._frequencies
    return again, network, store


def test_the_texture_that_was_not_painted_comes_first(flat):
    learning, network, _ = fresh(flat)
    found = learning.suggest(network, CPU)
    assert found.image_index == found.pair == 0
    assert len(found.places) == 5
    assert all(x >= 2 * SIDE // 3 - 8 for _, x in found.places[:2])
    assert sum(x >= 2 * SIDE // 3 - 8 for _, x in found.places) >= 4


def test_once_it_is_painted_the_places_are_elsewhere(flat):
    image, store = painted((SIDE, SIDE))
    for y, x in product(range(10, SIDE, 40), range(2 * SIDE // 3, SIDE - 5, 12)):
        store.write(Region((y, x), (y + 8, x + 4)), np.full((8, 4), 3))
    learning = learner([image], [store])
    found = learning.suggest(trained(learning, 10), CPU)
    assert found.places
    assert all(x < 2 * SIDE // 3 for _, x in found.places)


def test_no_place_is_near_paint_nor_near_another_nor_named_before(flat):
    learning, network, store = fresh(flat)
    answers = [learning.suggest(network, CPU).places for _ in range(4)]
    every = [np.array(place) for places in answers for place in places]
    assert len(every) > 12
    stroke = SIDE // 20
    for a, b in combinations(every, 2):
        assert np.linalg.norm(a - b) > 2 * stroke
    strokes = np.argwhere(store.read(Region.whole(store.shape)))
    assert nearest_distances(np.array(every, float), strokes.astype(float)).min() > stroke


def test_when_all_is_named_it_begins_again():
    image, store = painted((90, 90))
    learning = learner([image], [store])
    network = learning.network.eval()
    answers = [learning.suggest(network, CPU).places for _ in range(10)]
    assert all(answers)
    every = [place for places in answers for place in places]
    assert len(set(every)) < len(every)


def test_what_is_painted_in_between_is_left_alone(flat):
    learning, network, _ = fresh(flat)
    first = learning.suggest(network, CPU).places
    learning, network, _ = fresh(flat)
    image, store = painted((SIDE, SIDE))
    again = learner([image], [store])
    again._frequencies = learning._frequencies
    for y, x in first:  # after the sampler has looked
        store.write(Region((y, x), (y + 1, x + 1)), np.full((1, 1), 1))
    assert not set(first) & set(again.suggest(network, CPU).places)


def test_the_same_state_gives_the_same_answer(flat):
    answers = [fresh(flat)[0].suggest(flat[1], CPU) for _ in range(2)]
    assert answers[0] == answers[1]


def test_in_a_stack_it_goes_to_other_planes_too():
    shape = (9, 150, 150)
    image, store = painted(shape)
    learning = learner([image], [store])
    network = trained(learning, 20)
    places = [p for _ in range(3) for p in learning.suggest(network, CPU).places]
    assert all(len(p) == 3 for p in places)
    assert len({p[0] for p in places}) > 2
    assert all(0 <= i < n for p in places for i, n in zip(p, shape, strict=True))


def test_in_a_volume():
    shape = (24, 120, 120)
    image, store = painted(shape, 3)
    learning = learner([image], [store], 3, spacing=(2.0, 1.0, 1.0))
    found = learning.suggest(trained(learning, 20), CPU)
    assert all(0 <= i < n for p in found.places for i, n in zip(p, shape, strict=True))
    assert found.places[0][2] >= 2 * shape[2] // 3 - 8
    strokes = np.argwhere(store.read(Region.whole(shape))) * [2, 1, 1]
    assert nearest_distances(np.array(found.places) * [2.0, 1, 1], strokes.astype(float)).min() > 8


def test_of_several_pairs_the_one_with_the_novel_part_is_suggested():
    plain = textures((150, 150))
    plain[:, 100:] = plain[:, :50]
    stores = [AnnotationStore((150, 150), 2), AnnotationStore((180, 180), 2)]
    for store in stores:
        paint(store, store.shape)
    images = [plain, textures((180, 180))]
    learning = learner(images, stores, intensities="comparable")
    found = learning.suggest(trained(learning, 20), CPU)
    assert found.image_index == 1
    assert found.places[0][1] >= 112
    assert len(found.unsure) == len(found.places)
    assert found.unsure[0] is None  # it is new


def test_it_says_between_which_classes_the_network_is_unsure():
    image, store = painted((120, 120))
    image[:, 80:] = image[:, :40]  # nothing is new
    learning = learner([image], [store])
    even = torch.tensor([0.49, 0.51])[:, None, None].expand(2, 48, 48)
    found = learning._suggester.suggest(UncertaintyProbe((48, 48), 4, lambda view: even))
    assert found.places
    assert set(found.unsure) == {(2, 1)}


def test_finished_masks_leave_nothing_to_paint():
    mask = np.zeros((80, 80), np.uint8)
    mask[20:40] = 1
    learning = learner([textures((80, 80))], [mask], zero="background")
    assert learning.suggest(learning.network.eval(), CPU) == Suggested(0, ())


def test_where_all_is_erased_there_is_no_answer(flat):
    learning, network, _ = fresh(flat)
    image, store = painted((SIDE, SIDE))
    learning = learner([image], [store])
    store.write(Region.whole(store.shape), np.zeros(store.shape, int))
    learning.sync_annotations()
    assert learning.suggest(network, CPU).places == ()


def test_a_small_image_will_do():
    image, store = textures((40, 40)), AnnotationStore((40, 40), 2)
    for value, column in ((1, 4), (2, 20)):
        store.write(Region((10, column), (30, column + 2)), np.full((20, 2), value))
    learning = learner([image], [store])
    for y, x in learning.suggest(learning.network.eval(), CPU).places:
        assert 0 <= y < 40
        assert 0 <= x < 40


def test_a_training_answers(flat):
    image, store = painted((SIDE, SIDE))
    control = Control()
    control.ask("suggest")
    events = list(train_network(learner([image], [store]), TrainingOptions(steps=2), control))
    (answer,) = (e for e in events if isinstance(e, Suggested))
    assert answer.places


def test_a_thin_line_of_doubt_is_no_place_for_a_stroke(flat):
    """Between two painted classes every network wavers: that alone must not win."""
    image, store = painted((SIDE, SIDE))
    image[:, 160:] = image[:, :80]
    learning = learner([image], [store])

    def wavering(network, view):
        """Half unsure in a corner, and utterly so on a line 2 pixels wide."""
        y, x = np.ogrid[view.region.slices]
        second = np.where((abs(x - 100) <= 1) & (y == y), 0.5, 0.0)
        second = np.where((x < 60) & (y < 30), 0.25, second)
        return torch.from_numpy(np.stack([1 - second, second]))

    learning._probabilities = wavering
    y, x = learning.suggest(learning.network.eval(), CPU).places[0]
    assert x < 64
    assert y < 34


def test_windows_are_unlike_and_some_lie_in_view():
    learning = learner(*([x] for x in painted((SIDE, SIDE))))
    view = learning.annotated[0].view
    grids = [WindowGrid(0, view, (32, 32)), WindowGrid(1, view, (32, 32))]
    looked = Viewport((), Region((100, 150), (130, 190)), 1)
    windows = choose_windows(grids, 12, looked, np.random.default_rng(0))
    assert len(set(windows)) == 12
    assert windows[0] == Viewport((), Region((96, 160), (128, 192)), 1)
    assert {w.image_index for w in windows} == {0, 1}
    every = choose_windows(grids, 1000, None, np.random.default_rng(0))
    assert len(every) == 2 * 8 * 8
    covered = np.zeros((256, 256), int)
    for window in every:
        covered[window.region.slices] += 1
    assert (covered == 2).all()


def test_features_tell_brightness_contrast_and_steepness_apart():
    rng = np.random.default_rng(0)
    flat, noise = np.zeros((1, 16, 16), np.float32), rng.normal(size=(1, 16, 16))
    smooth = np.sin(np.arange(16) / 4)[None, None] * np.ones((1, 16, 1)) * 1.5
    dark, bright, rough, soft = (
        features_of(x.astype(np.float32), (16, 16)).ravel() for x in (flat, flat + 2, noise, smooth)
    )
    assert bright[0] - dark[0] == pytest.approx(2)
    assert dark[1:].tolist() == bright[1:].tolist()
    assert rough[1] > dark[1] + 1
    assert rough[2] > soft[2] + 0.5


def test_unlike_goes_from_0_to_1():
    known, patches = np.array([[0.0], [1.0], [2.0], [3.0]]), np.arange(4)
    odd = novelty(np.array([[1.0], [3.5], [5.0], [100.0]]), known, patches)
    assert odd[0] == 0
    assert odd[1] < odd[2] < odd[3]
    assert odd[2] == pytest.approx(0.5)
    assert odd[3] > 0.99
