"""What the networks compute, against an independent computation from their state dict."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.registry import build_model

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def random_model(name: str) -> nn.Module:
    """A model in evaluation mode whose batch norms are anything but the identity."""
    generator = torch.Generator().manual_seed(2)
    model = build_model(name, 5, generator).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(layer.bias, -0.5, 0.5, generator=generator)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.uniform_(layer.running_mean, -0.5, 0.5, generator=generator)
            nn.init.uniform_(layer.running_var, 0.5, 1.5, generator=generator)
    return model


def norm(state: State, name: str, x: Tensor) -> Tensor:
    scale = state[f"{name}.weight"] / (state[f"{name}.running_var"] + 1e-5).sqrt()
    shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale
    return x * scale[:, None, None] + shift[:, None, None]


def conv(state: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    return functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)


def head(state: State, x: Tensor) -> Tensor:
    pooled = functional.adaptive_avg_pool2d(x, 1).flatten(1)
    return pooled @ state["head.weight"].T + state["head.bias"]


def preact_logits(state: State, x: Tensor, blocks_a_stage: int) -> Tensor:
    x = conv(state, "stem", x)
    for index in range(3 * blocks_a_stage):
        block, first = f"blocks.{index}", index % blocks_a_stage == 0
        stride = 2 if first and index else 1
        activated = norm(state, f"{block}.bn1", x).clamp(min=0)
        shortcut = activated if first else x
        if f"{block}.shortcut.weight" in state:
            shortcut = conv(state, f"{block}.shortcut", shortcut, stride)
        y = norm(state, f"{block}.bn2", conv(state, f"{block}.conv1", activated, stride)).clamp(min=0)
        x = shortcut + conv(state, f"{block}.conv2", y)
    return head(state, norm(state, "bn", x).clamp(min=0))


def postact_logits(state: State, x: Tensor, blocks_a_stage: int) -> Tensor:
    x = norm(state, "stem.1", conv(state, "stem.0", x)).clamp(min=0)
    for index in range(3 * blocks_a_stage):
        block = f"blocks.{index}"
        stride = 2 if index and index % blocks_a_stage == 0 else 1
        shortcut = x
        if f"{block}.shortcut.0.weight" in state:
            shortcut = norm(state, f"{block}.shortcut.1", conv(state, f"{block}.shortcut.0", x, stride))
        y = norm(state, f"{block}.bn1", conv(state, f"{block}.conv1", x, stride)).clamp(min=0)
        x = (shortcut + norm(state, f"{block}.bn2", conv(state, f"{block}.conv2", y))).clamp(min=0)
    return head(state, x)


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_preact_network_takes_the_first_shortcut_of_a_stage_after_activation(depth: int, images: Tensor) -> None:
    model = random_model(f"resnet_preact_{depth}")
    expected = preact_logits(model.state_dict(), images, (depth - 2) // 6)
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_postact_network_is_as_published(depth: int, images: Tensor) -> None:
    model = random_model(f"resnet_{depth}")
    expected = postact_logits(model.state_dict(), images, (depth - 2) // 6)
    torch.testing.assert_close(model(images), expected, rtol=1e-3, atol=1e-3)


def shortcuts(name: str) -> list[nn.Module]:
    return [model for key, model in random_model(name).named_modules() if key.endswith(".shortcut")]


def test_preact_shortcut_is_a_bare_convolution_only_where_channels_change() -> None:
    convolutions = [shortcut for shortcut in shortcuts("resnet_preact_14") if isinstance(shortcut, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(16, 32), (32, 64)]
    assert all(layer.kernel_size == (1, 1) and layer.stride == (2, 2) for layer in convolutions)


def test_postact_shortcut_has_a_batch_norm_only_where_channels_change() -> None:
    projections = [list(shortcut.children()) for shortcut in shortcuts("resnet_14") if list(shortcut.children())]
    assert [[type(layer) for layer in projection] for projection in projections] == [[nn.Conv2d, nn.BatchNorm2d]] * 2


@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (64, 48), (33, 31), (4, 4)])
def test_any_image_size_gives_logits(family: str, height: int, width: int) -> None:
    model = build_model(f"{family}_8", 7, torch.Generator().manual_seed(0)).eval()
    assert model(torch.zeros(2, 3, height, width)).shape == (2, 7)


@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
def test_stages_halve_the_resolution_and_double_the_channels(family: str) -> None:
    model = build_model(f"{family}_14", 10, torch.Generator().manual_seed(0)).eval()
    shapes: list[tuple[int, ...]] = []
    for block in model.get_submodule("blocks").children():
        block.get_submodule("conv2").register_forward_hook(lambda _, __, y: shapes.append(tuple(y.shape[1:])))
    model(torch.zeros(1, 3, 32, 32))
    assert shapes == [(16, 32, 32)] * 2 + [(32, 16, 16)] * 2 + [(64, 8, 8)] * 2


@pytest.mark.parametrize("family", ["resnet", "resnet_preact"])
def test_every_parameter_gets_a_gradient(family: str, images: Tensor) -> None:
    model = build_model(f"{family}_8", 10, torch.Generator().manual_seed(0))
    torch.autograd.backward(model(images).square().sum())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
