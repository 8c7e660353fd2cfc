"""The epoch's random plan."""

import pytest
import torch

from trainable.randomness import PADDING, EpochPlan, generator, plan_epoch


def same(one: EpochPlan, other: EpochPlan) -> bool:
    return (
        torch.equal(one.order, other.order)
        and torch.equal(one.offsets, other.offsets)
        and torch.equal(one.flips, other.flips)
    )


def test_order_is_a_permutation() -> None:
    order = plan_epoch(1000, "crop_flip", 0, 0).order
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert not torch.equal(order, torch.arange(1000))


def test_plan_depends_on_seed_and_epoch_alone() -> None:
    torch.manual_seed(1)
    first = plan_epoch(200, "crop_flip", 7, 3)
    torch.manual_seed(2)
    plan_epoch(200, "crop_flip", 7, 2)
    assert same(first, plan_epoch(200, "crop_flip", 7, 3))


def test_plan_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    plan_epoch(200, "crop_flip", 7, 3)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("seed", "epoch"), [(7, 4), (8, 3), (73, 3), (7, 33), (2**63 - 1, 3)])
def test_another_seed_or_epoch_gives_another_plan(seed: int, epoch: int) -> None:
    one, other = plan_epoch(200, "crop_flip", 7, 3), plan_epoch(200, "crop_flip", seed, epoch)
    assert not torch.equal(one.order, other.order)
    assert not torch.equal(one.offsets, other.offsets)
    assert not torch.equal(one.flips, other.flips)


def test_augmentation_does_not_change_the_order() -> None:
    orders = [plan_epoch(200, augmentation, 0, 0).order for augmentation in ("none", "crop", "crop_flip")]
    assert torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[2])


def test_offsets_cover_the_whole_range_evenly() -> None:
    offsets = plan_epoch(20_000, "crop_flip", 0, 0).offsets
    for axis in range(2):
        counts = torch.bincount(offsets[:, axis])
        assert len(counts) == 2 * PADDING + 1
        assert counts.min() > 0.9 * 20_000 / 9
        assert counts.max() < 1.1 * 20_000 / 9


def test_about_half_of_the_images_are_flipped() -> None:
    share = plan_epoch(20_000, "crop_flip", 0, 0).flips.float().mean().item()
    assert share == pytest.approx(0.5, abs=0.02)


def test_crop_flips_nothing_and_none_moves_nothing() -> None:
    crop, none = plan_epoch(500, "crop", 0, 0), plan_epoch(500, "none", 0, 0)
    assert not crop.flips.any()
    assert len(set(crop.offsets.flatten().tolist())) == 9
    assert not none.flips.any()
    assert (none.offsets == PADDING).all()


def test_generators_of_different_purposes_differ() -> None:
    numbers = {
        torch.rand(1, generator=generator(seed, purpose)).item() for seed in (0, 1) for purpose in ("a", "b", "0/a")
    }
    assert len(numbers) == 6


def test_generator_is_pinned() -> None:
    """Weights and plans of all stored results hang on it."""
    drawn = torch.randint(0, 1000, (4,), generator=generator(0, "initial weights")).tolist()
    assert drawn == [666, 316, 711, 659]
