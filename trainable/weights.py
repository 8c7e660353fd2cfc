"""Weights in one vector: an optimiser step is a handful of kernels, however many layers there are."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNMENT = 64
"""Each weight begins at a multiple of this many elements: 128 bytes or more, as GPU kernels like it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a parameter lies in the vectors, with its shape and memory layout."""

    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, vector: Tensor) -> Tensor:
        return vector.as_strided(self.size, self.stride, self.offset)


class MasterWeights:
    """The weights of a model in fp32, and the rounded copy that it computes with.

    Convolutions and linear layers compute in `dtype`, batch norm keeps fp32; the optimiser works on fp32
    'master weights' and rounds once a step (Micikevicius et al. 2018, 'Mixed Precision Training', section
    3.1). The figures are those of `torch.autocast`, which casts every weight and every gradient by itself.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        """Move the parameters of `model` into vectors, where they stay: change them in place only.

        Args:
            dtype: of the convolutions and linear layers.
        """
        exact = {
            id(parameter)
            for layer in model.modules()
            if isinstance(layer, nn.BatchNorm2d)
            for parameter in layer.parameters()
        }
        named = dict(model.named_parameters())
        self.dtype = dtype
        self.parameters: list[nn.Parameter] = list(named.values())
        self._places: dict[str, _Place] = {}
        size = num_rounded = 0
        for name, parameter in sorted(named.items(), key=lambda item: id(item[1]) in exact):
            self._places[name] = _Place(size, tuple(parameter.shape), parameter.stride())
            size += math.ceil(parameter.numel() / ALIGNMENT) * ALIGNMENT
            num_rounded = num_rounded if id(parameter) in exact else size
        device = self.parameters[0].device
        self.master = nn.Parameter(torch.zeros(size, device=device))
        """fp32 [P], what the optimiser steps; its gradient is fp32 [P], too."""
        self.master.grad = torch.zeros(size, device=device)
        self._gradients = [self._places[name].view(self.master.grad) for name in named]
        values = self.named(self.master.detach())
        for name, parameter in named.items():
            values[name].copy_(parameter.detach())
        self._rounded_master = self.master.detach()[:num_rounded]
        self._rounded = self._rounded_master.to(dtype)  # the same memory where dtype is fp32
        for name, parameter in named.items():
            parameter.data = values[name] if id(parameter) in exact else self._places[name].view(self._rounded)

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Views of a vector [P] under the parameters' names, in their shapes."""
        return {name: place.view(vector) for name, place in self._places.items()}

    def set_gradients(self, gradients: tuple[Tensor, ...]) -> None:
        """Gather the gradients of `parameters`, in that order, into the master's."""
        torch._foreach_copy_(self._gradients, gradients)

    def gradient_norm(self) -> Tensor:
        """L2 norm over the gradients of all parameters, on the device."""
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self._gradients)))
        return norm

    def round(self) -> None:
        """Bring what the model computes with up to date with the master weights."""
        if self._rounded.dtype != torch.float32:
            self._rounded.copy_(self._rounded_master)
