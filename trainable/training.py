"""The training of one configuration, epoch by epoch; it is reproducible bit for bit on one kind of device."""

import contextlib
import dataclasses
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from models import fused
from models.own_model import Traits, as_loss, attributes, guarded, seeded, set_attributes, traits
from models.registry import build_model
from models.user_code import forget_executed, is_reference
from trainable.augmentation import training_batches
from trainable.config import TrainConfig
from trainable.device import kernel_folder
from trainable.engine import EvalMetrics, Learner, OnStep, evaluate, train_epoch
from trainable.execution import DEFAULT_EXECUTION, Execution
from trainable.noise_scale import NoiseScale
from trainable.optimizers import MOMENTUM, STEP_COUNTS, make_optimizer
from trainable.precision import Precision, resolve_precision
from trainable.randomness import generator, plan_epoch
from trainable.records import EpochRecord
from trainable.schedule import lr_at_step
from trainable.splits import Split, TrialData
from trainable.static_epoch import StaticEpoch, static_epoch_or_none
from trainable.weights import MasterWeights


@dataclass(frozen=True, slots=True)
class EpochOutcome:
    """The result of one epoch."""

    record: EpochRecord
    diverged: bool
    """Whether a loss was not finite, which ends the training."""
    test_correct_bits: str | None
    """See TrialEnd; None if the epoch diverged before the evaluation."""


ANOTHER_SHAPE = (
    "a population cannot change the shape of the model, but the parent's weights have other names or shapes: "
    "leave parameters that change them out of the space"
)


class Training:
    """The model, the optimiser and the position of one training.

    All randomness is a function of the seed and the epoch. So `state` needs no generators, and a training that is
    restored at any epoch continues bit for bit. That holds for a user's model as well if its forward pass changes
    nothing but parameters, buffers, and numbers and texts that are attributes of its modules, and if all that it
    draws is from the global generators of torch, numpy and Python.
    """

    def __init__(
        self, config: TrainConfig, data: TrialData, device: torch.device, execution: Execution = DEFAULT_EXECUTION
    ) -> None:
        """Build the model with its initial weights.

        Raises:
            UserError: the device does not support the precision.
            UserCodeError: the user's model or loss cannot be used.
        """
        self.config = config
        self.data = data
        self.execution = execution.on(device.type)
        """How the steps run: without a CUDA graph if none could be recorded."""
        self.epochs_done = 0
        self.steps_per_epoch = len(data.train) // config.batch_size
        self.precision = resolve_precision(config.precision, device)
        self._references = tuple(name for name in (config.model, config.loss or "") if is_reference(name))
        if self._references:
            forget_executed()
        with guarded(*self._references) if self._references else contextlib.nullcontext():
            model, how = _make_model(config, data)
            is_mixed = self.precision.dtype != torch.float32 and not self.precision.is_pure
            self.execution = dataclasses.replace(
                self.execution,
                graph=self.execution.graph and not self._references,  # what their code does may not be recordable
                autocast=how.autocast if is_mixed else None,
                fused=self._switches_on_fused(model),
            )
            self.learner = _make_learner(config, model, how.memory_format, (device, self.precision, self.execution))
        self._static: StaticEpoch | None = None
        if self.execution.graph:
            self._static = static_epoch_or_none(self.learner, data, config.batch_size, augmented=self._augmented)
            self.execution = dataclasses.replace(self.execution, graph=self._static is not None)

    def _switches_on_fused(self, model: nn.Module) -> bool:
        """Let the model use the fused kernel if this training can; return whether it does."""
        is_plain = bool(self._references) or self.config.ghost_batch_size is not None
        fits = self.execution.fused and not is_plain and self.precision.dtype in fused.DTYPES
        return fits and fused.switch_on(model, kernel_folder())

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epochs_done >= self.config.epochs

    def run_epoch(self, attempt: int, on_step: OnStep | None = None) -> EpochOutcome:
        """Train and evaluate the next epoch.

        Raises:
            ValueError: all epochs are done.
            UserCodeError: the user's model or loss raised something.
        """
        if self.finished:
            raise ValueError(f"all {self.config.epochs} epochs are done")
        if not self._references:
            return self._run_epoch(attempt, on_step)
        with seeded(generator(self.config.seed, f"model {self.epochs_done}").initial_seed(), self.learner.device):
            return self._run_epoch(attempt, on_step)

    def _run_epoch(self, attempt: int, on_step: OnStep | None) -> EpochOutcome:
        config, data, learner = self.config, self.data, self.learner
        self.precision.apply()
        total_steps = config.epochs * self.steps_per_epoch
        first_step = self.epochs_done * self.steps_per_epoch
        started = time.perf_counter()
        plan = plan_epoch(len(data.train), config.augmentation, config.seed, self.epochs_done)
        plan = plan.with_cutout_and_mixup(config, self.steps_per_epoch, self.epochs_done)
        lrs = [lr_at_step(config, first_step + step, total_steps) for step in range(self.steps_per_epoch)]
        noise = NoiseScale(learner, first_step) if config.noise_scale and self._static is None else None
        if self._static is not None:
            trained = self._static.run(plan, lrs, on_step)
        else:
            plan = plan.to(learner.device)
            batches = training_batches(data.train, plan, config.batch_size, augmented=self._augmented)
            before_step = None if noise is None else noise.before_step
            trained = train_epoch(learner, data, batches, lrs, on_step, plan, before_step)
        train_seconds = time.perf_counter() - started
        self.epochs_done += 1
        diverged = not math.isfinite(trained.loss)
        holdout: EvalMetrics | None = None
        test: EvalMetrics | None = None
        started = time.perf_counter()
        if not diverged:
            holdout = self.evaluate(data.holdout) if data.holdout else None
            test = self.evaluate(data.test)
            diverged = not all(math.isfinite(metrics.loss) for metrics in (holdout, test) if metrics is not None)
        record = EpochRecord(
            epoch=self.epochs_done,
            step=self.epochs_done * self.steps_per_epoch,
            lr=lrs[-1],
            train_loss=_finite(trained.loss),
            train_error_percent=trained.error_percent,
            holdout_loss=_finite(holdout.loss) if holdout else None,
            holdout_error_percent=holdout.error_percent if holdout else None,
            test_loss=_finite(test.loss) if test else None,
            test_error_percent=test.error_percent if test else None,
            train_seconds=train_seconds,
            eval_seconds=time.perf_counter() - started,
            images_per_second=trained.num_images / train_seconds,
            gradient_norm=_finite(trained.gradient_norm),
            attempt=attempt,
            **({} if noise is None else noise.columns()),
        )
        return EpochOutcome(record, diverged, _bits(test) if test else None)

    def evaluate(self, split: Split) -> EvalMetrics:
        """Measure the loss and the error on a split, as after an epoch.

        Raises:
            UserCodeError: the user's model raised something.
        """
        return evaluate(self.learner, self.data, split, None if self._static is None else self._static.logits)

    @property
    def _augmented(self) -> bool:
        return self.config.augmentation != "none"

    def state(self) -> bytes:
        """Return weights, momentum and position; they can be loaded with `weights_only=True` (no pickled code)."""
        buffer = io.BytesIO()
        state = {
            "epochs_done": self.epochs_done,
            "model": self._model_state(),
            "momentum": self._momentum(),
            "scaler": self.learner.scaler.state_dict(),
        }
        if self._references:
            state["attributes"] = attributes(self.learner.model)
        torch.save(state, buffer)
        return buffer.getvalue()

    def weights(self) -> dict[str, torch.Tensor]:
        """Return views of the model's state dict, with the fp32 weights in place of those that it computes with."""
        exact, model = self._model_state(), self.learner.model
        names = {id(parameter): name for name, parameter in model.named_parameters()}  # a shared one has only one
        state = model.state_dict(keep_vars=True)
        return {
            name: exact.get(names.get(id(value), name), value.detach())
            for name, value in state.items()
            if isinstance(value, torch.Tensor)
        }

    def load_weights(self, weights: dict[str, torch.Tensor]) -> None:
        """Load what `weights` returned, but neither momentum nor position.

        Raises:
            RuntimeError, KeyError: these are no weights of this model.
        """
        _copy_into(self.weights(), weights)
        self.learner.weights.round()

    def load_state(self, content: bytes) -> None:
        """Load what `state` returned.

        Raises:
            pickle.UnpicklingError, RuntimeError, KeyError: the content is not a state of this configuration.
        """
        state = self._read(content)
        _copy_into(self._model_state(), state["model"])
        _copy_into(self._momentum(), state["momentum"])
        self.learner.weights.round()
        self.learner.scaler.load_state_dict(state["scaler"])
        set_attributes(self.learner.model, state.get("attributes", {}))
        self.epochs_done = state["epochs_done"]

    def begin_from(self, content: bytes) -> None:
        """Load the weights and the momentum from another training's `state`, but not its position.

        If only one of the two trainings has a momentum (of this optimiser), or scales its gradients, that part
        starts as new.

        Raises:
            pickle.UnpicklingError, RuntimeError, KeyError: the content is not a state of this model.
        """
        state, momentum = self._read(content), self._momentum()
        if _shapes(self._model_state()) != _shapes(state["model"]):
            raise RuntimeError(ANOTHER_SHAPE)
        _copy_into(self._model_state(), state["model"])
        loaded = state["momentum"]
        if momentum.keys() - STEP_COUNTS == loaded.keys() - STEP_COUNTS:
            _copy_into(momentum, {name: loaded.get(name, loaded.get(STEP_COUNTS[0])) for name in momentum})
        self.learner.weights.round()
        set_attributes(self.learner.model, state.get("attributes", {}))
        if state["scaler"]:
            self.learner.scaler.load_state_dict(state["scaler"])

    def _read(self, content: bytes) -> dict[str, Any]:
        """Return the tensors and numbers of a state; pickled code is refused."""
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location=self.learner.device, weights_only=True)
        return state

    def _model_state(self) -> dict[str, torch.Tensor]:
        """Return views of the fp32 weights, of frozen parameters and of all buffers."""
        weights, model = self.learner.weights, self.learner.model
        frozen = {name: part.detach() for name, part in model.named_parameters() if not part.requires_grad}
        return weights.named(weights.master.detach()) | frozen | dict(model.named_buffers())

    def _momentum(self) -> dict[str, torch.Tensor]:
        """Return views of what the optimiser remembers; for SGD the momentum, which may be none."""
        found: dict[str, torch.Tensor] = {}
        for buffer, tensor in self.learner.buffers.items():
            prefix = "" if buffer == MOMENTUM else f"{buffer}."
            parts = self.learner.weights.named(tensor) if tensor.dim() else {}
            found |= {prefix + name: part for name, part in parts.items()} or {buffer: tensor}
        return found


def _make_model(config: TrainConfig, data: TrialData) -> tuple[nn.Module, Traits]:
    """Return the model with its initial weights, on the CPU, and how it can be trained."""
    height, width = data.train.images.shape[1:3]
    size = height if height == width else (height, width)
    model = build_model(
        config.model,
        data.num_classes,
        generator(config.seed, "initial weights"),
        image_size=size,
        arguments=config.model_arguments(),
        fingerprint=config.model_fingerprint,
    )
    if is_reference(config.model):
        return model, traits(model, config.model, data.num_classes, size)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.num_batches_tracked = None  # only `momentum=None` reads it, and it costs a kernel per layer
    return model, Traits()


def _make_learner(
    config: TrainConfig,
    model: nn.Module,
    memory_format: torch.memory_format,
    how: tuple[torch.device, Precision, Execution],
) -> Learner:
    device, precision, execution = how
    precision.apply()
    model.to(memory_format=memory_format)  # type: ignore[call-overload] # torch's stub lacks it
    model.to(device)
    if precision.is_pure:
        model.to(precision.dtype)
    dtype = precision.dtype if execution.autocast is None else torch.float32
    weights = MasterWeights(model, dtype, pure=precision.is_pure)
    lr = torch.full((), config.lr, device=device)
    optimizer, buffers = make_optimizer(config, weights, lr)
    return Learner(
        model,
        _compiled(model) if execution.compile else model,
        weights,
        optimizer,
        buffers,
        torch.amp.GradScaler(device.type, enabled=precision.needs_scaler),
        lr,
        config,
        None if config.loss is None else as_loss(config.loss, config.loss_fingerprint, device),
        None if execution.autocast is None else precision.dtype,
        nchw=memory_format == torch.contiguous_format,
        references=tuple(name for name in (config.model, config.loss or "") if is_reference(name)),
    )


def _compiled(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile the model; too many recompilations raise an error, where torch would go on without compiled code.

    What was compiled for earlier trainings of this process is forgotten, since it counts towards torch's limit.
    """
    torch.compiler.reset()
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(model, dynamic=False)
    return compiled


def _copy_into(own: dict[str, torch.Tensor], loaded: dict[str, torch.Tensor]) -> None:
    """Copy tensors by name; refuse those of another model."""
    if _shapes(own) != _shapes({name: loaded[name] for name in own if name in loaded}):
        raise RuntimeError("the state belongs to another model")
    for name, tensor in own.items():
        tensor.copy_(loaded[name])


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bits(metrics: EvalMetrics) -> str:
    import numpy as np

    return np.packbits(metrics.correct.numpy()).tobytes().hex()
