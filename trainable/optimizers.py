"""The optimisers, on all weights in one vector; every step can be recorded as a CUDA graph."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from trainable.config import TrainConfig
from trainable.weights import MasterWeights

MOMENTUM = "momentum_buffer"
"""Name of SGD's buffer."""
STEP_COUNTS = ("step0", "step1")
"""Names of AdamW's counts of steps, one for each weight decay; they are equal."""
LARS_SMALL_NORM = 0.01
"""Tensors whose norm is below this have the local rate 1."""
MUON_STEPS = 5
MUON_COEFFICIENTS = (3.4445, -4.775, 2.0315)
MUON_EPS = 1e-7


def make_optimizer(config: TrainConfig, weights: MasterWeights, lr: Tensor) -> tuple[Optimizer, dict[str, Tensor]]:
    """Return the optimiser of a configuration, and what it remembers between steps, which begins with zeros.

    Args:
        lr: the learning rate, fp32 [] on the device; it is read at every step.
    """
    if config.optimizer == "adamw":
        return _adamw(config, weights, lr, 0)
    if config.optimizer == "lars":
        lars = Lars(config, weights, lr)
        return lars, lars.buffers
    if config.optimizer == "muon":
        muon = Muon(config, weights, lr)
        return muon, muon.buffers
    momentum = torch.zeros_like(weights.master)
    parts = list(_parts(config, weights))
    optimizer = SGD(
        [{"params": [part], "weight_decay": decay} for part, _, decay in parts],
        lr=lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        foreach=False,
        fused=lr.is_cuda or weights.master.dtype == torch.float32,  # one pass over memory; a GPU reads lr itself
    )
    if not config.momentum:
        return optimizer, {}
    for part, place, _ in parts:
        optimizer.state[part][MOMENTUM] = momentum[place]
    return optimizer, {MOMENTUM: momentum}


def _parts(
    config: TrainConfig, weights: MasterWeights, start: int = 0
) -> Iterator[tuple[nn.Parameter, slice, float]]:
    """Yield the parts of the vector from `start` on that have one weight decay: parameter, position and decay."""
    size, end = len(weights.master), weights.ends[config.weight_decay_on or "all"]
    for place, decay in ((slice(start, end), config.weight_decay), (slice(max(start, end), size), 0.0)):
        if place == slice(0, size):
            yield weights.master, place, decay
        elif place.start < place.stop:
            part = nn.Parameter(weights.master.detach()[place])
            part.grad = weights.gradient[place]
            yield part, place, decay


def _adamw(
    config: TrainConfig, weights: MasterWeights, lr: Tensor, start: int
) -> tuple[Optimizer, dict[str, Tensor]]:
    """Return AdamW for the vector from `start` on, and its state."""
    moments = {name: torch.zeros_like(weights.master) for name in ("exp_avg", "exp_avg_sq")}
    parts = list(_parts(config, weights, start))
    beta1, beta2 = config.betas or ()
    optimizer = AdamW(
        [{"params": [part], "weight_decay": decay} for part, _, decay in parts],
        lr=lr,
        betas=(beta1, beta2),
        eps=config.eps or 0.0,
        foreach=False,
        fused=lr.is_cuda,
        capturable=lr.is_cuda,
    )
    steps: dict[str, Tensor] = {}
    for name, (part, place, _) in zip(STEP_COUNTS, parts, strict=False):
        step = torch.zeros((), device=lr.device)
        optimizer.state[part] = {"step": step, **{key: vector[place] for key, vector in moments.items()}}
        steps[name] = step
    return optimizer, moments | steps


class _LayerwiseOptimizer(Optimizer):
    """An optimiser that treats each parameter in the vector as a whole."""

    _step_supports_amp_scaling = True  # GradScaler then leaves it to `step` to drop infinite gradients

    def __init__(self, config: TrainConfig, weights: MasterWeights, lr: Tensor) -> None:
        super().__init__([weights.master], {"lr": lr})
        self.config, self.lr = config, lr
        self.master, self.gradient = weights.master.detach(), weights.gradient
        self.velocity = torch.zeros_like(self.master)
        self.buffers = {f"{config.optimizer}_momentum": self.velocity}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do one step, without waiting for the device."""
        infinite: Tensor | None = getattr(self, "found_inf", None)  # set by GradScaler
        if infinite is None:
            self._update()
            return
        changed = [self.master, *self.buffers.values()]
        before = [tensor.clone() for tensor in changed]
        self._update()
        for tensor, old in zip(changed, before, strict=True):
            tensor.copy_(torch.where(infinite > 0, old, tensor))

    def _update(self) -> None:
        raise NotImplementedError


class Lars(_LayerwiseOptimizer):
    """LARS as in the published sequel: no trust coefficient, no Nesterov, biases and batch norms like all others.

    The local rate of a parameter w with gradient g is norm(w) / (eps + norm(g) + weight_decay * norm(w)), and 1 where
    norm(w) < 0.01. Source: You et al. 2017, 'Large Batch Training of Convolutional Networks', eq. 6.
    """

    def __init__(self, config: TrainConfig, weights: MasterWeights, lr: Tensor) -> None:
        super().__init__(config, weights, lr)
        self._weights = list(weights.named(self.master).values())
        self._gradients = list(weights.named(self.gradient).values())
        self._owner = torch.zeros_like(self.master, dtype=torch.int64)
        for number, places in enumerate(weights.named(self._owner).values()):
            places.fill_(number)
        self._decay = torch.full(
            (len(self._weights),), config.weight_decay, dtype=self.master.dtype, device=lr.device
        )
        for number, weight in enumerate(self._weights):
            if weight.storage_offset() >= weights.ends[config.weight_decay_on or "all"]:
                self._decay[number] = 0.0

    def _update(self) -> None:
        norms = torch.stack(torch._foreach_norm(self._weights, dtype=torch.float32))  # fp16 would make eps 0
        gradient_norms = torch.stack(torch._foreach_norm(self._gradients, dtype=torch.float32))
        local = norms / ((self.config.eps or 0.0) + gradient_norms + self._decay * norms)
        rates = (self.lr * torch.where(norms < LARS_SMALL_NORM, 1.0, local)).to(self.master.dtype)
        decayed = self.gradient + self._decay[self._owner] * self.master
        self.velocity.mul_(self.config.momentum).addcmul_(rates[self._owner], decayed)
        self.master.sub_(self.velocity)


class Muon(_LayerwiseOptimizer):
    """Muon for matrices and convolutions (one row for each output channel), AdamW for all other parameters.

    An update has the root mean square of AdamW's, so that both parts share one learning rate (`match_rms_adamw` of
    torch.optim.Muon, which takes neither convolutions nor a learning rate on the device).
    """

    def __init__(self, config: TrainConfig, weights: MasterWeights, lr: Tensor) -> None:
        super().__init__(config, weights, lr)
        self._weights = weights
        self._others, remembered = _adamw(config, weights, lr, weights.ends["matrices"])
        self.buffers |= remembered

    def _update(self) -> None:
        config, end = self.config, self._weights.ends["matrices"]
        self.velocity[:end].lerp_(self.gradient[:end], 1 - config.momentum)
        updates = self.gradient.lerp(self.velocity, config.momentum) if config.nesterov else self.velocity.clone()
        alike: dict[torch.Size, list[Tensor]] = {}
        for update in self._weights.named(updates).values():
            if update.dim() > 1:
                alike.setdefault(update.shape, []).append(update)
        for same in alike.values():  # one sequence of kernels for all of a shape
            rows = torch.stack([update.flatten(1) for update in same])
            found = _orthogonalized(rows) * (0.2 * math.sqrt(max(rows.shape[1:])))
            for update, result in zip(same, found, strict=True):
                update.copy_(result.view(update.shape))
        self.master[:end].mul_(1 - self.lr * config.weight_decay).sub_(self.lr * updates[:end])
        self._others.step()


def _orthogonalized(matrices: Tensor) -> Tensor:
    """Return U V^T, roughly, for matrices U S V^T [N, R, C]: torch.optim.Muon's Newton-Schulz iteration, in bf16."""
    a, b, c = MUON_COEFFICIENTS
    x = matrices.bfloat16()
    is_tall = x.shape[1] > x.shape[2]
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=MUON_EPS)
    for _ in range(MUON_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
