"""Weights in one vector give the figures of torch.autocast, and stay where they are."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from models.registry import build_model
from trainable.augmentation import normalize
from trainable.config import TrainConfig
from trainable.randomness import generator
from trainable.training import Training
from trainable.weights import ALIGNMENT, MasterWeights

MakeTraining = Callable[[TrainConfig], Training]


@pytest.mark.parametrize("model_name", ["resnet_8", "resnet_preact_8"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_training_is_bit_for_bit_that_of_autocast(
    make_training: MakeTraining, tiny_config: TrainConfig, model_name: str, dtype: torch.dtype
) -> None:
    precision = "bf16" if dtype == torch.bfloat16 else "fp32"
    training = make_training(dataclasses.replace(tiny_config, model=model_name, precision=precision))
    data, learner = training.data, training.learner
    model = build_model(model_name, data.num_classes, generator(0, "initial weights"))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    learner.model.train()
    for step in range(4):
        images = normalize(data.train.images[8 * step :][:8], data.mean, data.std)
        labels = data.train.labels[8 * step :][:8]
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = functional.cross_entropy(model(images), labels)
        torch.autograd.backward(loss)
        optimizer.step()
        assert learner.step(images, labels)[0].item() == loss.item()
    masters = learner.weights.named(learner.weights.master.detach())
    for name, parameter in model.named_parameters():
        assert torch.equal(masters[name], parameter.detach())


def test_batch_norm_keeps_fp32_and_the_rest_is_rounded() -> None:
    model = build_model("resnet_8", 3, torch.Generator())
    weights = MasterWeights(model, torch.bfloat16)
    masters = weights.named(weights.master.detach())
    for name, parameter in model.named_parameters():
        exact = "bn" in name or name in ("stem.1.weight", "stem.1.bias") or ".shortcut.1." in name
        assert parameter.dtype == (torch.float32 if exact else torch.bfloat16)
        torch.testing.assert_close(parameter.detach(), masters[name].to(parameter.dtype), rtol=0, atol=0)
    with torch.no_grad():
        weights.master.add_(1.0)
    weights.round()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), masters[name].to(parameter.dtype), rtol=0, atol=0)


def test_weights_are_apart_and_aligned() -> None:
    model = build_model("resnet_preact_8", 3, torch.Generator())
    weights = MasterWeights(model, torch.float32)
    views = weights.named(torch.arange(len(weights.master)))
    taken = torch.cat([view.flatten() for view in views.values()])
    assert len(set(taken.tolist())) == len(taken)
    assert all(view.storage_offset() % ALIGNMENT == 0 for view in views.values())


def test_names_are_those_of_the_model_in_any_precision(make_training: MakeTraining, tiny_config: TrainConfig) -> None:
    states = [
        make_training(dataclasses.replace(tiny_config, precision=precision))._model_state()
        for precision in ("bf16", "fp32")
    ]
    plain = build_model(tiny_config.model, 3, torch.Generator())
    for state in states:
        assert state.keys() == {name for name in plain.state_dict() if "num_batches_tracked" not in name}
        assert {tensor.dtype for tensor in state.values()} == {torch.float32}
        plain.load_state_dict(state)


@pytest.mark.parametrize(("precision", "num_lists"), [("bf16", 2), ("fp32", 1)])
def test_gradients_are_copied_in_one_list_for_each_dtype(
    make_training: MakeTraining,
    tiny_config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    num_lists: int,
) -> None:
    """A GPU copies a list in few kernels if all sources share a dtype, else in one kernel for each tensor."""
    weights = make_training(dataclasses.replace(tiny_config, precision=precision)).learner.weights
    gradients = tuple(torch.randn_like(parameter) for parameter in weights.parameters)
    lists: list[set[torch.dtype]] = []
    for name in ("_foreach_copy_", "_foreach_add_"):
        call = getattr(torch, name)

        def noted(own: list[torch.Tensor], others: list[torch.Tensor], call: Callable[..., None] = call) -> None:
            lists.append({tensor.dtype for tensor in others})
            call(own, others)

        monkeypatch.setattr(torch, name, noted)
    weights.set_gradients(gradients)
    weights.add_gradients(gradients)
    assert [len(dtypes) for dtypes in lists] == [1] * 2 * num_lists
    for own, gradient in zip(weights._gradients, gradients, strict=True):
        assert torch.equal(own, 2 * gradient.float())
