"""The training step on fixed memory, so that a CUDA graph can record it once and replay it."""

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainable.augmentation import crop_and_flip, cut_out, normalize
from trainable.engine import Learner, OnStep, RunningSums, TrainMetrics
from trainable.heartbeat import PULSE
from trainable.randomness import EpochPlan, plan_epoch
from trainable.splits import TrialData

WARM_UP_STEPS = 3
"""Number of steps before a recording, in which libraries choose their algorithms and workspaces."""

Recorder = Callable[[Callable[[], None], Callable[[], None]], Callable[[], None]]
"""Maps (step, restore) to a function that replays the step."""


class StaticEpoch:
    """An epoch as replays of one step: select images, augment, forward, backward, optimise, sum the metrics.

    The plan and the learning rates of the epoch are copied to the device before it, and the sums are read back after
    it; in between the host only launches the step. The results are those of `engine.train_epoch`.
    """

    def __init__(
        self, learner: Learner, data: TrialData, batch_size: int, *, augmented: bool, record: Recorder
    ) -> None:
        """Record the step.

        Args:
            record: makes a step replayable (see `record_graph`).

        Raises:
            RuntimeError: the step cannot be recorded; the learner is unchanged.
        """
        self._learner = learner
        self._data = data
        self._batch_size = batch_size
        self._augmented = augmented
        device = learner.device
        self._num_steps = len(data.train) // batch_size
        plan = plan_epoch(len(data.train), "none", 0, 0)
        self._plan = plan.with_cutout_and_mixup(learner.config, self._num_steps, 0).to(device)
        self._lrs = torch.zeros(self._num_steps, device=device)
        self._position = torch.zeros(1, dtype=torch.int64, device=device)
        self._members = torch.arange(batch_size, device=device)
        self._sums = RunningSums.zeros(device)
        learner.model.train()
        kept = [tensor.clone() for tensor in self._changing()]
        scaler_state = learner.scaler.state_dict()

        def restore() -> None:
            for tensor, value in zip(self._changing(), kept, strict=True):
                tensor.copy_(value)
            learner.weights.round()
            learner.scaler.load_state_dict(scaler_state)

        try:
            self._replay = record(self._step, restore)
        finally:
            restore()

    @torch.no_grad()
    def run(self, plan: EpochPlan, lrs: Sequence[float], on_step: OnStep | None = None) -> TrainMetrics:
        """Train an epoch, whose plan may be on any device; `on_step` is called when a step is launched."""
        self._learner.model.train()
        for mine, theirs in zip((*self._plan.parts(), self._lrs), (*plan.parts(), torch.tensor(lrs)), strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs)
        for start in (self._position, self._sums.loss, self._sums.correct):
            start.zero_()
        for step in range(self._num_steps):
            self._replay()
            PULSE.beat()
            if on_step is not None:
                on_step(step + 1)
        return self._sums.metrics(self._learner, self._num_steps * self._batch_size)

    def _changing(self) -> list[Tensor]:
        """Return the tensors that a step changes, except for the scaler and the rounded weights."""
        learner = self._learner
        master, remembered = learner.weights.master.detach(), learner.buffers.values()
        return [master, *remembered, *learner.model.buffers(), self._position, self._sums.loss, self._sums.correct]

    @torch.enable_grad()
    def _step(self) -> None:
        learner, data, plan = self._learner, self._data, self._plan
        picked = self._position * self._batch_size + self._members
        images, labels = data.train.take(self._plan.order[picked])
        if self._augmented:
            images = crop_and_flip(images, self._plan.offsets[picked], self._plan.flips[picked])
        learner.lr.copy_(self._lrs.index_select(0, self._position).squeeze(0))
        centers = None if plan.centers is None else plan.centers[picked]
        inputs = cut_out(normalize(images, data.mean, data.std), centers, learner.config.cutout_size)
        share = None if plan.shares is None else plan.shares.index_select(0, self._position).squeeze(0)
        loss, correct = learner.step(inputs, labels, share)
        self._sums.add(loss, correct, self._batch_size)
        self._position += 1


def record_graph(step: Callable[[], None], restore: Callable[[], None]) -> Callable[[], None]:
    """Record `step` as a CUDA graph, after a few steps that `restore` undoes.

    The graph is captured on the stream of those steps, where cuBLAS has its workspace already. On torch's own stream
    all graphs would share a workspace, which is freed with the first of them (pytorch/pytorch#193402).

    Source: pytorch.org/docs, 'CUDA semantics', section 'Whole-network capture'.

    Raises:
        RuntimeError: the step cannot be recorded.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step()
            restore()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step()
    return graph.replay


def static_epoch_or_none(
    learner: Learner, data: TrialData, batch_size: int, *, augmented: bool, record: Recorder = record_graph
) -> StaticEpoch | None:
    """Return the static epoch, or None with a warning if the step of this model cannot be recorded here.

    Raises:
        torch.OutOfMemoryError: the device has too little memory.
    """
    try:
        return StaticEpoch(learner, data, batch_size, augmented=augmented, record=record)
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None:  # the end of a capture fails as well, and hides what made the capture fail
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            cause = cause.__context__
        reason = str(error).partition("\n")[0]
        warnings.warn(f"training without a CUDA graph: {reason}", RuntimeWarning, stacklevel=2)
        return None
