"""The training step against the rule written out, and the evaluation."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from trainable import engine
from trainable.augmentation import normalize
from trainable.config import TrainConfig
from trainable.engine import Learner, evaluate, train_epoch
from trainable.splits import Split
from trainable.training import Training

MakeTraining = Callable[[TrainConfig], Training]


def gradients_of(learner: Learner) -> list[torch.Tensor]:
    """Views of the last step's gradients, in the order of the model's parameters."""
    master = learner.weights.master
    assert master.grad is not None
    named = learner.weights.named(master.grad)
    return [named[name] for name, _ in learner.model.named_parameters()]


@pytest.mark.parametrize(("nesterov", "weight_decay"), [(True, 0.01), (False, 0.01), (True, 0.0)])
def test_steps_are_sgd_with_momentum_and_weight_decay_on_everything(
    make_training: MakeTraining, tiny_config: TrainConfig, nesterov: bool, weight_decay: float
) -> None:
    training = make_training(dataclasses.replace(tiny_config, nesterov=nesterov, weight_decay=weight_decay))
    learner, data = training.learner, training.data
    parameters = list(learner.model.parameters())
    gradients = gradients_of(learner)
    velocities = [torch.zeros_like(parameter) for parameter in parameters]
    for lr in (0.1, 0.02, 0.3):
        before = [parameter.detach().clone() for parameter in parameters]
        images = normalize(data.train.images[:8], data.mean, data.std)
        learner.lr.fill_(lr)
        learner.step(images, data.train.labels[:8])
        for parameter, old, velocity, raw in zip(parameters, before, velocities, gradients, strict=True):
            gradient = raw + weight_decay * old
            velocity.mul_(0.9).add_(gradient)
            change = gradient + 0.9 * velocity if nesterov else velocity
            torch.testing.assert_close(parameter.detach(), old - lr * change, rtol=1e-5, atol=1e-6)


def test_fp16_gradients_are_unscaled(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    norms = {}
    for precision in ("fp16", "fp32"):
        training = make_training(dataclasses.replace(tiny_config, precision=precision))
        learner, data = training.learner, training.data
        images = normalize(data.train.images[:4], data.mean, data.std)
        if learner.scaler.is_enabled():
            learner.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)  # the first steps at 65536 overflow
        loss, _ = learner.step(images, data.train.labels[:4])
        norms[precision] = (learner.weights.gradient_norm().item(), loss.item())
        assert learner.scaler.is_enabled() == (precision == "fp16")
    assert norms["fp16"] == pytest.approx(norms["fp32"], rel=0.1)


def test_gradient_norm_is_over_all_parameters(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = make_training(tiny_config)
    learner, data = training.learner, training.data
    learner.step(normalize(data.train.images[:8], data.mean, data.std), data.train.labels[:8])
    flat = torch.cat([gradient.flatten() for gradient in gradients_of(learner)])
    assert learner.weights.gradient_norm().item() == pytest.approx(flat.norm().item(), rel=1e-5)


def test_training_metrics_are_means_over_the_images(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = make_training(tiny_config)
    data, seen = training.data, []
    batches = [(data.train.images[:8], data.train.labels[:8]), (data.train.images[8:12], data.train.labels[8:12])]
    metrics = train_epoch(training.learner, data, batches, [1e-12, 1e-12])
    fresh = make_training(tiny_config).learner
    for images, labels in batches:
        fresh.model.train()
        fresh.lr.fill_(1e-12)
        loss, correct = fresh.step(normalize(images, data.mean, data.std), labels)
        seen.append((loss.item(), int(correct), len(labels)))
    assert metrics.num_images == 12
    assert metrics.loss == pytest.approx((seen[0][0] * 8 + seen[1][0] * 4) / 12, rel=1e-6)
    assert metrics.error_percent == pytest.approx(100 * (12 - seen[0][1] - seen[1][1]) / 12)


def test_an_epoch_without_batches_is_refused(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = make_training(tiny_config)
    with pytest.raises(ValueError, match="at least one batch"):
        train_epoch(training.learner, training.data, [], [])


def trained(make_training: MakeTraining, config: TrainConfig) -> Training:
    training = make_training(config)
    training.run_epoch(1)
    return training


def test_evaluation_does_not_depend_on_position_or_batches(
    make_training: MakeTraining, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = trained(make_training, tiny_config)
    split = training.data.train
    whole = evaluate(training.learner, training.data, split)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(engine, "EVAL_BATCH_SIZE", 7)
    parts = evaluate(training.learner, training.data, Split(split.images[order], split.labels[order]))
    assert torch.equal(parts.correct, whole.correct[order])
    assert parts.loss == pytest.approx(whole.loss, rel=1e-4)
    assert parts.error_percent == whole.error_percent


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_parts_of_an_evaluation_batch_change_no_bit(
    make_training: MakeTraining, tiny_config: TrainConfig, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    training = trained(make_training, dataclasses.replace(tiny_config, precision=precision))
    split = training.data.train
    whole = evaluate(training.learner, training.data, split)
    monkeypatch.setattr(engine, "CPU_EVAL_PART", 7)
    assert len(split) % 7
    parts = evaluate(training.learner, training.data, split)
    assert torch.equal(parts.correct, whole.correct)
    assert parts.loss == whole.loss


def test_evaluation_counts_what_the_model_gets_right(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = trained(make_training, tiny_config)
    data, model = training.data, training.learner.model.eval()
    with torch.no_grad():
        logits = model(normalize(data.test.images, data.mean, data.std))
    right = logits.argmax(dim=1) == data.test.labels
    metrics = evaluate(training.learner, data, data.test)
    assert torch.equal(metrics.correct, right)
    assert metrics.error_percent == pytest.approx(100 - 100 * right.float().mean().item())
    losses = logits.logsumexp(dim=1) - logits[torch.arange(len(right)), data.test.labels]
    assert metrics.loss == pytest.approx(losses.mean().item(), rel=1e-4)


def test_evaluation_changes_nothing(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    training = trained(make_training, tiny_config)
    before = {name: value.clone() for name, value in training.learner.model.state_dict().items()}
    evaluate(training.learner, training.data, training.data.test)
    after = training.learner.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
