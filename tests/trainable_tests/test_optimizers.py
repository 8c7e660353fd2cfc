"""The optimisers on one vector against torch's own, and LARS against a loop written from its formula."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from models.registry import build_model
from trainable.config import TrainConfig
from trainable.optimizers import make_optimizer
from trainable.training import Training
from trainable.weights import MasterWeights

MakeTraining = Callable[[TrainConfig], Training]
Weights = dict[str, Tensor]
DECAY = 0.05
HAS_MUON = hasattr(torch.optim, "Muon")
"""Ours needs no Muon of torch's, which is only compared with it here."""
RATES = (0.1, 0.02, 0.3)


def is_decayed(name: str, weight: Tensor, on: str) -> bool:
    is_bn = weight.dim() == 1 and not name.startswith("head")
    return on == "all" or not (is_bn or (on == "matrices" and weight.dim() == 1))


def groups(weights: Weights, on: str) -> list[dict[str, Any]]:
    return [
        {"params": [weight], "weight_decay": DECAY if is_decayed(name, weight, on) else 0.0}
        for name, weight in weights.items()
    ]


def theirs(config: TrainConfig, weights: Weights) -> list[Optimizer]:
    """Optimisers of torch for separate weights, where convolutions are matrices already."""
    on, momentum = str(config.weight_decay_on), config.momentum
    if config.optimizer == "sgd":
        return [SGD(groups(weights, on), lr=1.0, momentum=momentum, nesterov=config.nesterov)]
    others = weights
    found: list[Optimizer] = []
    if config.optimizer == "muon":
        others = {name: weight for name, weight in weights.items() if weight.dim() == 1}
        matrices = [weight for weight in weights.values() if weight.dim() > 1]
        found = [torch.optim.Muon(matrices, 1.0, DECAY, momentum, config.nesterov, adjust_lr_fn="match_rms_adamw")]
    beta1, beta2 = config.betas or ()
    return [*found, AdamW(groups(others, on), lr=1.0, betas=(beta1, beta2), eps=config.eps or 0.0)]


def lars_step(config: TrainConfig, weights: Weights, velocities: Weights, lr: float) -> None:
    """The published formula, one number after the other."""
    for name, w in weights.items():
        g, decay = w.grad, DECAY if is_decayed(name, w, str(config.weight_decay_on)) else 0.0
        assert g is not None
        w_norm, g_norm = float(w.pow(2).sum() ** 0.5), float(g.pow(2).sum() ** 0.5)
        local = w_norm / (1e-9 + g_norm + decay * w_norm) if w_norm >= 0.01 else 1.0
        velocities[name] = 0.9 * velocities[name] + lr * local * (g + decay * w)
        w.sub_(velocities[name])


@pytest.mark.parametrize("on", ["all", "no_bn", "matrices"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nesterov": False},
        {"momentum": 0.0},
        {"optimizer": "adamw"},
        {"optimizer": "adamw", "betas": (0.8, 0.99), "eps": 1e-3},
        {"optimizer": "muon"},
        {"optimizer": "muon", "nesterov": False},
        {"optimizer": "lars"},
    ],
    ids=str,
)
def test_steps_are_those_of_the_formula(changes: dict[str, Any], on: str) -> None:
    config = TrainConfig(weight_decay=DECAY, weight_decay_on=on, **changes)
    if config.optimizer == "muon" and not HAS_MUON:
        pytest.skip("this torch has no Muon to compare with")
    model = build_model("resnet_8", 3, torch.Generator().manual_seed(0))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    master = MasterWeights(model, torch.float32)
    ours, gradients = master.named(master.master.detach()), master.named(master.gradient)
    lr = torch.ones(())
    optimizer, _ = make_optimizer(config, master, lr)
    separate = {name: w.clone().flatten(1) if w.dim() > 1 else w.clone() for name, w in ours.items()}
    velocities = {name: torch.zeros_like(weight) for name, weight in separate.items()}
    references = [] if config.optimizer == "lars" else theirs(config, separate)
    draws = torch.Generator().manual_seed(1)
    for rate in RATES:
        lr.fill_(rate)
        for name, gradient in gradients.items():
            gradient.copy_(torch.randn(gradient.shape, generator=draws))
            separate[name].grad = gradient.flatten(1).clone() if gradient.dim() > 1 else gradient.clone()
        optimizer.step()
        for reference in references:
            for group in reference.param_groups:
                group["lr"] = rate
            reference.step()
        if not references:
            lars_step(config, separate, velocities, rate)
        tolerance = 0.02 * rate if config.optimizer == "muon" else 1e-5  # bf16 products
        for name, weight in ours.items():
            torch.testing.assert_close(
                weight.flatten(1) if weight.dim() > 1 else weight, separate[name], rtol=1e-4, atol=tolerance
            )


@pytest.mark.parametrize("num_threads", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"nesterov": False}, {"momentum": 0.0}], ids=str)
@pytest.mark.parametrize("on", ["all", "matrices"])
def test_fused_sgd_has_the_bits_of_the_plain_one(on: str, changes: dict[str, Any], num_threads: int) -> None:
    config = TrainConfig(weight_decay=DECAY, weight_decay_on=on, **changes)
    model = build_model("resnet_14", 3, torch.Generator().manual_seed(0))
    weights = MasterWeights(model, torch.float32)
    optimizer, _ = make_optimizer(config, weights, lr := torch.tensor(0.1))
    plain = nn.Parameter(weights.master.detach().clone())
    start = 0 if on == "all" else weights.ends[on]
    parts = [nn.Parameter(plain.detach()[:start]), nn.Parameter(plain.detach()[start:])]
    groups = [{"params": [part], "weight_decay": DECAY * (on == "all" or part is parts[0])} for part in parts]
    reference = SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.nesterov, foreach=False, fused=False)
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    for step in range(3):
        weights.gradient.copy_(torch.randn(len(plain), generator=torch.Generator().manual_seed(step)))
        parts[0].grad, parts[1].grad = weights.gradient[:start].clone(), weights.gradient[start:].clone()
        optimizer.step()
        reference.step()
    torch.set_num_threads(before)
    assert optimizer.param_groups[0]["fused"]
    assert torch.equal(weights.master, plain)


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw", "muon"])
def test_infinite_gradients_change_nothing(
    make_training: MakeTraining, tiny_config: TrainConfig, optimizer: str
) -> None:
    training = make_training(dataclasses.replace(tiny_config, precision="fp16", optimizer=optimizer, lr=0.001))
    learner, data = training.learner, training.data
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = [training._model_state() | training._momentum()]
    before = [{name: tensor.clone() for name, tensor in state.items()} for state in before]
    images = torch.randn(8, 3, *data.train.images.shape[1:3], generator=torch.Generator().manual_seed(0))
    learner.model.eval()  # its running statistics stay as well
    learner.step(images, data.train.labels[:8])
    after = training._model_state() | training._momentum()
    assert all(torch.equal(after[name], tensor) for name, tensor in before[0].items())


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gradient_is_clipped_to_its_norm(
    make_training: MakeTraining, tiny_config: TrainConfig, precision: str
) -> None:
    """The norm is that of the gradient itself, not of the one that fp16 scales."""
    found = {}
    for limit in (None, 1e-3, 1e6):
        training = make_training(dataclasses.replace(tiny_config, clip_grad_norm=limit, precision=precision))
        training.learner.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=precision == "fp16")
        learner, data = training.learner, training.data
        images = torch.randn(8, 3, *data.train.images.shape[1:3], generator=torch.Generator().manual_seed(0))
        learner.step(images, data.train.labels[:8])
        found[limit] = learner.weights.gradient.clone()
    whole = found[None]
    assert torch.equal(found[1e6], whole)
    torch.testing.assert_close(found[1e-3], whole * (1e-3 / whole.norm()), rtol=1e-3, atol=0)
