"""All weights of a model in one vector, so that an optimiser step takes few kernels however many layers there are."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGNMENT = 64
"""Alignment of each weight in elements: 128 bytes or more, which suits GPU kernels."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Offset, shape and strides of a parameter in the vectors."""

    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, vector: Tensor) -> Tensor:
        return vector.as_strided(self.size, self.stride, self.offset)


class MasterWeights:
    """The fp32 weights of a model, and the rounded copy that it computes with (the weights themselves if `pure`).

    Convolutions and linear layers compute in `dtype`, batch normalisation in fp32. The optimiser works on fp32
    'master weights', which are rounded once per step (Micikevicius et al. 2018, 'Mixed Precision Training', section
    3.1). The results are those of `torch.autocast`, which casts every weight and every gradient by itself.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype, *, pure: bool = False) -> None:
        """Move the parameters of the model into the vectors, except for frozen ones (without `requires_grad`).

        From then on they must only be changed in place.
        """
        exact = {
            id(parameter)
            for layer in model.modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm)
            for parameter in layer.parameters()
        }
        named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}

        def kind(item: tuple[str, nn.Parameter]) -> tuple[bool, bool]:
            return id(item[1]) in exact, item[1].dim() < 2

        self.dtype = dtype
        self.parameters: list[nn.Parameter] = list(named.values())
        self._layouts: dict[str, _Layout] = {}
        size = num_rounded = num_matrices = 0
        for name, parameter in sorted(named.items(), key=kind):
            dense = torch.empty_like(parameter, device="meta")  # has no gaps, which the parameter may have
            self._layouts[name] = _Layout(size, tuple(parameter.shape), dense.stride())
            size += math.ceil(parameter.numel() / ALIGNMENT) * ALIGNMENT
            num_rounded = num_rounded if id(parameter) in exact else size
            num_matrices = num_matrices if parameter.dim() < 2 else size
        device = self.parameters[0].device
        kept = dtype if pure else torch.float32
        self.master = nn.Parameter(torch.zeros(size, dtype=kept, device=device))
        """The weights that the optimiser updates, fp32 [P]; their gradient is fp32 [P] as well."""
        self.gradient = self.master.grad = torch.zeros(size, dtype=kept, device=device)
        self.ends = {"all": size, "no_bn": num_rounded, "matrices": num_matrices}
        """Which first elements of the vector hold the parameters that a `weight_decay_on` names."""
        self._gradients = [self._layouts[name].view(self.gradient) for name in named]
        values = self.named(self.master.detach())
        for name, parameter in named.items():
            values[name].copy_(parameter.detach())
        self._rounded_master = self.master.detach()[:num_rounded]
        self._rounded = self._rounded_master.to(dtype)  # the same memory if dtype is fp32
        for name, parameter in named.items():
            parameter.data = values[name] if id(parameter) in exact else self._layouts[name].view(self._rounded)
        positions: dict[torch.dtype, list[int]] = {}
        for position, parameter in enumerate(self.parameters):
            positions.setdefault(parameter.dtype, []).append(position)
        self._positions_by_dtype = list(positions.values())

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """Return views of a vector [P] by parameter name, in the shapes of the parameters."""
        return {name: layout.view(vector) for name, layout in self._layouts.items()}

    def set_gradients(self, gradients: tuple[Tensor, ...]) -> None:
        """Copy the gradients of `parameters`, in that order, into the gradient of the master weights."""
        for own, others in self._grouped(gradients):
            torch._foreach_copy_(own, others)

    def add_gradients(self, gradients: tuple[Tensor, ...]) -> None:
        """Add the gradients of `parameters`, in that order, to the gradient of the master weights."""
        for own, others in self._grouped(gradients):
            torch._foreach_add_(own, others)

    def _grouped(self, gradients: tuple[Tensor, ...]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
        """Pair own gradients with others of one dtype: a list that mixes dtypes takes a kernel for each tensor."""
        for positions in self._positions_by_dtype:
            yield [self._gradients[i] for i in positions], [gradients[i] for i in positions]

    def gradient_norm(self) -> Tensor:
        """Return the L2 norm of the gradient over all parameters, on the device."""
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self._gradients)))
        return norm

    def round(self) -> None:
        """Round the master weights into the copy that the model computes with."""
        if self._rounded.dtype != self.master.dtype:
            self._rounded.copy_(self._rounded_master)
