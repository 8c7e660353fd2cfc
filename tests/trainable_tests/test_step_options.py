"""Ghost batches, label smoothing, mixup and cutout against the same written out."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.registry import build_model
from trainable.augmentation import cut_out
from trainable.config import TrainConfig
from trainable.precision import DTYPES
from trainable.randomness import EpochPlan, generator, plan_epoch
from trainable.records import EpochRecord
from trainable.training import Training

MakeTraining = Callable[[TrainConfig], Training]
GHOST, CUTOUT = 4, 3
EVERYTHING: dict[str, Any] = {
    "schedule": "linear",
    "warmup_epochs": 1.5,
    "weight_decay_on": "no_bn",
    "clip_grad_norm": 0.5,
    "label_smoothing": 0.1,
    "ghost_batch_size": 4,
    "cutout_size": CUTOUT,
    "mixup_alpha": 0.4,
}


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


def prepared_image(training: Training, plan: EpochPlan, position: int) -> Tensor:
    """Crop, mirror, normalise and cut the image at this position of the epoch, all by slices."""
    assert plan.centers is not None
    split, size = training.data.train, CUTOUT
    image = split.images[plan.order[position]]
    height, width, _ = image.shape
    padded = torch.zeros(height + 8, width + 8, 3, dtype=torch.uint8)
    padded[4:-4, 4:-4] = image
    top, left = plan.offsets[position].tolist()
    image = padded[top : top + height, left : left + width]
    image = image.flip(1) if plan.flips[position] else image
    seen = ((image.double() - training.data.mean) / training.data.std).permute(2, 0, 1)
    row, column = plan.centers[position].tolist()
    top, left = int(row * height) - size // 2, int(column * width) - size // 2
    seen[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = 0.0
    return seen


def test_an_epoch_is_a_loop_over_images(
    make_training: MakeTraining, short_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All options at once; the training is in fp64, where no ReLU depends on the last bits."""
    monkeypatch.setitem(DTYPES, "pure_fp16", torch.float64)
    config = dataclasses.replace(short_config, model="resnet_8", precision="pure_fp16", **EVERYTHING)
    training = make_training(config)
    labels, num_classes = training.data.train.labels, training.data.num_classes
    plan = plan_epoch(16, "crop_flip", config.seed, 0).with_cutout_and_mixup(config, 2, 0)
    assert plan.shares is not None
    model = build_model("resnet_8", num_classes, generator(config.seed, "initial weights")).double()
    model = with_ghost_norms(model).train()
    norms = [weight for layer in model.modules() if isinstance(layer, GhostNorm) for weight in layer.parameters()]
    others = [weight for weight in model.parameters() if all(weight is not norm for norm in norms)]
    groups = [{"params": others, "weight_decay": config.weight_decay}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, config.lr, momentum=config.momentum, nesterov=True)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.001, 1.0, total_iters=3)
    losses = []
    for step, share in enumerate(plan.shares.tolist()):
        places = range(8 * step, 8 * step + 8)
        seen = [prepared_image(training, plan, position) for position in places]
        hot = [nn.functional.one_hot(labels[plan.order[position]], num_classes).double() for position in places]
        blend, target = (
            torch.stack([share * kinds[index] + (1 - share) * kinds[index - 1] for index in range(8)])
            for kinds in (seen, hot)
        )
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(blend), target, label_smoothing=0.1)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        warm_up.step()
        losses.append(loss.item())
    assert training.run_epoch(1).record.train_loss == pytest.approx(sum(losses) / 2, rel=1e-5)
    found = training._model_state()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found[name], weight.data, rtol=1e-4, atol=1e-6)


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
    eps = 1e-4 if optimizer in ("adamw", "muon") else None
    config = dataclasses.replace(tiny_config, optimizer=optimizer, eps=eps, lr=0.001, weight_decay_on="no_bn")
    training = make_training(dataclasses.replace(config, precision="pure_fp16"))
    learner, data = training.learner, training.data
    images = torch.randn(8, 3, *data.train.images.shape[1:3], generator=torch.Generator().manual_seed(0))
    learner.model.train()
    learner.step(images, data.train.labels[:8])
    state = {**training._model_state(), **training._momentum()}
    assert {tensor.dtype for name, tensor in state.items() if "step" not in name} == {torch.float16}
    assert not learner.scaler.is_enabled()


def test_pure_fp16_is_a_model_and_an_optimiser_in_fp16(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    """Losses and gradients are equal bit for bit; weights differ in the last bit of fp16.

    Torch's kernels round twice at the end of a tensor that fills no whole register, and once elsewhere. The ends of
    short tensors are not those of the one long vector. So each step begins with our weights and our momentum.
    """
    training = make_training(dataclasses.replace(tiny_config, precision="pure_fp16", model="resnet_8"))
    learner, data = training.learner, training.data
    model = build_model("resnet_8", data.num_classes, generator(0, "initial weights"))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.half().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    learner.model.train()
    ours = learner.weights.named(learner.weights.master.detach())
    gradients, momentum = learner.weights.named(learner.weights.gradient), training._momentum()
    for step in range(2):
        images = torch.randn(8, 3, *data.train.images.shape[1:3], generator=torch.Generator().manual_seed(step))
        labels = data.train.labels[8 * step :][:8]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images.half()).float(), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        assert learner.step(images, labels)[0].item() == loss.item()
        for name, weight in model.named_parameters():
            assert weight.grad is not None
            assert torch.equal(gradients[name], weight.grad), name
            torch.testing.assert_close(weight.data, ours[name], rtol=2**-9, atol=2**-14)
            weight.data.copy_(ours[name])
            optimizer.state[weight]["momentum_buffer"].copy_(momentum[name])


def timeless(record: EpochRecord) -> EpochRecord:
    return dataclasses.replace(record, train_seconds=0.0, eval_seconds=0.0, images_per_second=0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "lars", "precision": "bf16"},
        {"optimizer": "adamw", "precision": "pure_fp16", "eps": 1e-4, "train_subset": 8},
        {"optimizer": "muon"},
    ],
    ids=str,
)
def test_everything_at_once_resumes_bit_for_bit(
    make_training: MakeTraining, short_config: TrainConfig, changes: dict[str, Any]
) -> None:
    """Two generations of a population, killed after the first epoch of the second one."""
    values: dict[str, Any] = {"lr": 0.001, "optimizer": "sgd", "epochs": 2} | EVERYTHING | changes
    config = dataclasses.replace(short_config, **values)
    parent = make_training(config)
    parent.run_epoch(1)
    inherited = parent.state()
    child = dataclasses.replace(config, seed=1, parent=config.trial_key)
    whole, again = make_training(child), make_training(child)
    records, states = [], []
    for training in (whole, again):
        training.begin_from(inherited)
        assert all(torch.equal(found, kept) for found, kept in zip(pieces(training), pieces(parent), strict=True))
    while not whole.finished:
        records.append(timeless(whole.run_epoch(1).record))
        states.append(whole.state())
    assert all(tensor.isfinite().all() for tensor in pieces(whole))
    again.run_epoch(1)
    assert again.state() == states[0]
    resumed = make_training(child)
    resumed.load_state(states[0])
    for record, state in zip(records[1:], states[1:], strict=True):
        assert timeless(resumed.run_epoch(1).record) == record
        assert resumed.state() == state


def pieces(training: Training) -> list[Tensor]:
    return [*training._model_state().values(), *training._momentum().values()]


@pytest.mark.parametrize(("theirs", "ours"), [("all", "no_bn"), ("matrices", "all")])
def test_moments_and_their_step_are_inherited_whatever_is_decayed(
    make_training: MakeTraining, short_config: TrainConfig, theirs: str, ours: str
) -> None:
    config = dataclasses.replace(short_config, optimizer="adamw", lr=0.001)
    parent = make_training(dataclasses.replace(config, weight_decay_on=theirs))
    parent.run_epoch(1)
    child = make_training(dataclasses.replace(config, weight_decay_on=ours))
    child.begin_from(parent.state())
    kept = parent._momentum()
    for name, tensor in child._momentum().items():
        assert torch.equal(tensor, kept["step0" if name == "step1" else name]), name
    assert kept["step0"] == 2


@pytest.mark.parametrize("changes", EVERYTHING.items(), ids=str)
def test_every_option_matters(
    make_training: MakeTraining, short_config: TrainConfig, changes: tuple[str, Any]
) -> None:
    """An option changes the weights in the first epoch."""
    name, value = changes
    config = dataclasses.replace(short_config, weight_decay=0.1)
    trainings = [make_training(given) for given in (config, dataclasses.replace(config, **{name: value}))]
    for training in trainings:
        training.run_epoch(1)
    plain, changed = (training.learner.weights.master for training in trainings)
    assert not torch.equal(plain, changed)
