"""Ghost batches, label smoothing, mixup and cutout against the same written out."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.registry import build_model
from trainable.augmentation import cut_out
from trainable.config import TrainConfig
from trainable.precision import DTYPES
from trainable.randomness import EpochPlan, generator, plan_epoch
from trainable.training import Training

MakeTraining = Callable[[TrainConfig], Training]
GHOST = 4


class GhostNorm(nn.Module):
    """Batch normalisation of each chunk of the batch by its own mean and variance, in this order."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        ones, zeros = torch.ones(channels).double(), torch.zeros(channels).double()
        self.weight, self.bias = nn.Parameter(ones), nn.Parameter(zeros)
        self.mean, self.var = zeros.clone(), ones.clone()

    def forward(self, x: Tensor) -> Tensor:
        done = []
        for start in range(0, len(x), GHOST):
            chunk = x[start : start + GHOST]
            mean = chunk.mean(dim=(0, 2, 3), keepdim=True)
            var = ((chunk - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
            count = chunk.numel() / chunk.shape[1]
            self.mean = 0.9 * self.mean + 0.1 * mean.detach().flatten()
            self.var = 0.9 * self.var + 0.1 * var.detach().flatten() * count / (count - 1)
            normal = (chunk - mean) / (var + 1e-5).sqrt()
            done.append(self.weight[:, None, None] * normal + self.bias[:, None, None])
        return torch.cat(done)


def with_ghost_norms(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, GhostNorm(child.num_features) if isinstance(child, nn.BatchNorm2d) else child)
        with_ghost_norms(child)
    return module


@pytest.mark.parametrize("share", [None, 0.7])
@pytest.mark.parametrize("smoothing", [None, 0.2])
def test_a_step_is_the_formula(
    make_training: MakeTraining,
    tiny_config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
    smoothing: float | None,
    share: float | None,
) -> None:
    """The training is in fp64, where no ReLU depends on the last bits."""
    monkeypatch.setitem(DTYPES, "pure_fp16", torch.float64)
    config = dataclasses.replace(
        tiny_config,
        batch_size=12,
        ghost_batch_size=GHOST,
        label_smoothing=smoothing,
        model="resnet_8",
        precision="pure_fp16",
    )
    training = make_training(config)
    learner, data = training.learner, training.data
    size = data.train.images.shape[1]
    images = torch.randn(12, 3, size, size, generator=torch.Generator().manual_seed(0)).double()
    labels = data.train.labels[:12]
    model = build_model("resnet_8", data.num_classes, generator(0, "initial weights")).double()
    model = with_ghost_norms(model).train()
    target = nn.functional.one_hot(labels, data.num_classes).double()
    if share is not None:
        before = [(row - 1) % 12 for row in range(12)]
        images_seen = share * images + (1 - share) * images[before]
        target = share * target + (1 - share) * target[before]
    else:
        images_seen = images
    target = (1 - (smoothing or 0)) * target + (smoothing or 0) / data.num_classes
    logits = model(images_seen)
    loss = -(target * (logits - logits.exp().sum(dim=1, keepdim=True).log())).sum(dim=1).mean()
    expected = torch.autograd.grad(loss, list(model.parameters()))
    learner.model.train()
    ours, correct = learner.step(images, labels, None if share is None else torch.tensor(share, dtype=torch.float64))
    assert ours.item() == pytest.approx(loss.item(), rel=1e-5)
    assert int(correct) == int((logits.argmax(dim=1) == labels).sum())
    found = learner.weights.named(learner.weights.gradient)
    for (name, _), gradient in zip(model.named_parameters(), expected, strict=True):
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
    norms = [layer for layer in learner.model.modules() if isinstance(layer, nn.BatchNorm2d)]
    theirs = [layer for layer in model.modules() if isinstance(layer, GhostNorm)]
    for norm, other in zip(norms, theirs, strict=True):
        torch.testing.assert_close(norm.running_mean, other.mean)
        torch.testing.assert_close(norm.running_var, other.var)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
def test_cutout_clears_a_square_around_its_centre(size: int) -> None:
    images = torch.ones(5, 3, 8, 6)
    centers = torch.tensor([[0.0, 0.0], [0.99, 0.99], [0.5, 0.5], [0.3, 0.9], [0.7, 0.2]])
    expected = images.clone()
    for image, (row, column) in zip(expected, centers.tolist(), strict=True):
        top, left = int(row * 8) - size // 2, int(column * 6) - size // 2
        image[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = 0.0
    assert torch.equal(cut_out(images, centers, size), expected)
    assert cut_out(images, None, size) is images


def test_squares_and_shares_are_functions_of_seed_and_epoch() -> None:
    def drawn(epoch: int, **changes: float) -> EpochPlan:
        config = TrainConfig.from_dict({"cutout_size": 4, "mixup_alpha": 0.4, **changes})
        return plan_epoch(6, "crop_flip", config.seed, epoch).with_cutout_and_mixup(config, 2000, epoch)

    def extras(plan: EpochPlan) -> list[list[float]]:
        assert plan.centers is not None
        assert plan.shares is not None
        return [plan.centers.flatten().tolist(), plan.shares.tolist()]

    assert extras(drawn(3)) == extras(drawn(3))
    for other in (extras(drawn(4)), extras(drawn(3, seed=1))):
        assert all(one != its for one, its in zip(extras(drawn(3)), other, strict=True))
    assert torch.equal(drawn(3).order, plan_epoch(6, "crop_flip", 0, 3).order)
    shares = torch.tensor(extras(drawn(3))[1])
    assert 0.5 <= shares.min() <= shares.max() <= 1.0
    second_moment = ((shares - 0.5) ** 2).mean().item()  # variance of Beta(a, a): 1 / (4 (2a + 1))
    assert second_moment == pytest.approx(1 / (4 * 1.8), rel=0.05)
    assert torch.tensor(extras(drawn(3, mixup_alpha=1e-4))[1]).isfinite().all()


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw", "muon"])
def test_pure_fp16_keeps_everything_in_fp16(
    make_training: MakeTraining, tiny_config: TrainConfig, optimizer: str
) -> None:
    training = make_training(
        dataclasses.replace(
            tiny_config, precision="pure_fp16", optimizer=optimizer, lr=0.001, weight_decay_on="no_bn"
        )
    )
    learner, data = training.learner, training.data
    images = torch.randn(8, 3, *data.train.images.shape[1:3], generator=torch.Generator().manual_seed(0))
    learner.model.train()
    learner.step(images, data.train.labels[:8])
    state = {**training._model_state(), **training._momentum()}
    assert {tensor.dtype for name, tensor in state.items() if "step" not in name} == {torch.float16}
    assert not learner.scaler.is_enabled()


def test_pure_fp16_is_a_model_and_an_optimiser_in_fp16(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = make_training(dataclasses.replace(tiny_config, precision="pure_fp16", model="resnet_8"))
    learner, data = training.learner, training.data
    model = build_model("resnet_8", data.num_classes, generator(0, "initial weights")).half().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    learner.model.train()
    for step in range(3):
        images = torch.randn(8, 3, *data.train.images.shape[1:3], generator=torch.Generator().manual_seed(step))
        labels = data.train.labels[8 * step :][:8]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images.half()).float(), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        assert learner.step(images, labels)[0].item() == pytest.approx(loss.item(), rel=1e-2)
