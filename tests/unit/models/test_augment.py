"""Augmentation changes what it is told to, each image in its own way, all from one generator."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptfl.models.augment import augment
from gptfl.spec.pretraining import AugmentationSpec

EVERYTHING = AugmentationSpec(
    shift=0.1, rotate=15, scale=0.2, shear=0.2, contrast=0.3, noise=0.1, flip=0.5
)


def changed(images: torch.Tensor, spec: AugmentationSpec, seed: int = 0) -> torch.Tensor:
    return augment(images, spec, torch.Generator().manual_seed(seed))


def dot(row: int, column: int, height: int = 9, width: int = 9) -> torch.Tensor:
    image = torch.zeros(1, 1, height, width)
    image[0, 0, row, column] = 1
    return image


def centre(image: torch.Tensor) -> tuple[float, float]:
    """Row and column of the middle of the light."""
    weights = image[0, 0] / image.sum()
    rows, columns = torch.arange(image.shape[2]), torch.arange(image.shape[3])
    return float(weights.sum(1) @ rows.float()), float(weights.sum(0) @ columns.float())


def test_nothing_asked_for_is_nothing_done_and_nothing_drawn() -> None:
    images, generator = torch.rand(3, 1, 8, 8), torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert augment(images, AugmentationSpec(), generator) is images
    assert torch.equal(generator.get_state(), before)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 12),
    width=st.integers(4, 12),
)
def test_images_stay_images_and_the_seed_decides(
    seed: int, channels: int, height: int, width: int
) -> None:
    images = torch.rand(4, channels, height, width)
    original = images.clone()
    first = changed(images, EVERYTHING, seed)
    assert torch.equal(first, changed(images, EVERYTHING, seed))
    assert first.shape == images.shape
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(images, original)


@pytest.mark.parametrize(
    "spec",
    [
        {"shift": 0.2}, {"rotate": 30}, {"scale": 0.4}, {"shear": 0.5}, {"contrast": 0.5},
        {"noise": 0.2},
    ],
)  # fmt: skip
def test_each_image_is_changed_in_its_own_way(spec: dict[str, float]) -> None:
    pair = torch.rand(1, 1, 8, 8).repeat(2, 1, 1, 1)
    first, second = changed(pair, AugmentationSpec.model_validate(spec))
    assert not torch.equal(first, pair[0])
    assert not torch.equal(first, second)


def test_a_shift_goes_no_farther_than_its_part_of_the_side() -> None:
    places = [centre(changed(dot(4, 4), AugmentationSpec(shift=0.2), seed)) for seed in range(50)]
    far = max(abs(place - 4) for both in places for place in both)
    assert 1.0 < far <= 0.2 * 9 + 1e-4


def test_a_turn_keeps_the_distance_from_the_middle_whatever_the_shape() -> None:
    for height, width in ((15, 15), (15, 31), (31, 15)):
        middle = ((height - 1) / 2, (width - 1) / 2)
        image = dot(int(middle[0]) - 5, int(middle[1]), height, width)
        for seed in range(5):
            row, column = centre(changed(image, AugmentationSpec(rotate=180), seed))
            distance = ((row - middle[0]) ** 2 + (column - middle[1]) ** 2) ** 0.5
            assert distance == pytest.approx(5, abs=0.3)


def test_a_flip_mirrors_left_and_right() -> None:
    image = torch.rand(1, 1, 4, 5)
    assert torch.equal(changed(image, AugmentationSpec(flip=1.0)), image.flip(-1))


def test_contrast_leaves_the_mean_and_stretches_by_up_to_its_part() -> None:
    image = torch.rand(1, 1, 8, 8) * 0.2 + 0.4
    turned = [changed(image, AugmentationSpec(contrast=0.5), seed) for seed in range(50)]
    ratios = [float(one.std() / image.std()) for one in turned]
    assert all(torch.allclose(one.mean(), image.mean(), atol=1e-6) for one in turned)
    assert 0.5 <= min(ratios) < 0.6
    assert 1.4 < max(ratios) <= 1.5001


def test_noise_has_the_standard_deviation_asked_for() -> None:
    grey = torch.full((1, 1, 100, 100), 0.5)
    assert float(changed(grey, AugmentationSpec(noise=0.1)).std()) == pytest.approx(0.1, rel=0.05)
