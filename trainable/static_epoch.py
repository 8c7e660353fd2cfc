"""Training steps and evaluation batches on fixed memory, so that CUDA graphs can record them once and replay them.

Outside of the model a step is about 40 tiny kernels, most of which select, augment and normalise its images. A graph
therefore holds several steps, whose images go through these kernels together, as a chunk.
"""

import functools
import math
import operator
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainable.augmentation import crop_and_flip, cut_out, normalize
from trainable.engine import EVAL_BATCH_SIZE, Learner, OnStep, RunningSums, TrainMetrics
from trainable.heartbeat import PULSE
from trainable.randomness import EpochPlan, plan_epoch
from trainable.splits import TrialData

WARM_UPS = 2
"""Number of calls of each part before a recording, in which libraries choose their algorithms and workspaces."""
STEPS_PER_GRAPH = 8
"""Largest number of steps in a graph: 7 of 8 chunks are saved, and the start still takes few steps."""
CHUNK_BYTES = 48 * 2**20
"""Largest size of the normalised images of a chunk, unless a batch is larger: 4,096 images of CIFAR."""
WEIGHTS_PER_GRAPH = 1000
"""Largest number of parameter tensors, times passes, in a graph of several steps: about 5 kernels for each."""
ALIGNMENT = 64
"""Each batch of a chunk begins at a multiple of so many bytes, since cuDNN chooses kernels by the alignment."""

Part = Callable[[], None]
"""Work that always reads and writes the same memory."""
Recorder = Callable[[Sequence[Part], Callable[[], None]], Sequence[Part]]
"""Maps (parts, restore) to functions that replay the parts."""


class StaticEpoch:
    """An epoch as replays: of several steps as often as possible, then of single steps.

    The plan and the learning rates of the epoch are copied to the device before it, and the losses are read back
    after it; in between the host only launches replays. The results are those of `engine.train_epoch`.
    """

    def __init__(
        self, learner: Learner, data: TrialData, batch_size: int, *, augmented: bool, record: Recorder
    ) -> None:
        """Record the steps and the evaluation of a batch.

        Args:
            record: makes work replayable (see `record_graphs`).

        Raises:
            RuntimeError: the work cannot be recorded; the learner is unchanged.
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
        self._losses = torch.zeros(self._num_steps, device=device)
        self._correct = torch.zeros(self._num_steps, dtype=torch.int64, device=device)
        image_shape = data.train.images.shape[1:]
        self._images = torch.zeros((EVAL_BATCH_SIZE, *image_shape), dtype=torch.uint8, device=device)
        self._logits = torch.zeros(EVAL_BATCH_SIZE, data.num_classes, device=device)
        self._group = min(self._num_steps, _steps_per_graph(learner, batch_size, math.prod(image_shape)))
        kept = [tensor.clone() for tensor in self._changing()]
        scaler_state = learner.scaler.state_dict()

        def restore() -> None:
            for tensor, value in zip(self._changing(), kept, strict=True):
                tensor.copy_(value)
            learner.weights.round()
            learner.scaler.load_state_dict(scaler_state)

        counts = sorted({self._group, 1}, reverse=True)  # what needs most memory first: the others use it again
        parts: list[Part] = [*(functools.partial(self._train, count) for count in counts), self._evaluate]
        try:
            *replays, self._replay_evaluation = record(parts, restore)
        finally:
            restore()
        self._replays = dict(zip(counts, replays, strict=True))

    @torch.no_grad()
    def run(self, plan: EpochPlan, lrs: Sequence[float], on_step: OnStep | None = None) -> TrainMetrics:
        """Train an epoch, whose plan may be on any device; `on_step` is called when steps are launched."""
        for mine, theirs in zip((*self._plan.parts(), self._lrs), (*plan.parts(), torch.tensor(lrs)), strict=True):
            if mine is not None and theirs is not None:
                mine.copy_(theirs)
        self._position.zero_()
        num_done = 0
        while num_done < self._num_steps:
            count = self._group if num_done + self._group <= self._num_steps else 1
            self._replays[count]()
            num_done += count
            PULSE.beat()
            if on_step is not None:
                on_step(num_done)
        losses = (self._losses * self._batch_size).tolist()
        loss = torch.tensor(functools.reduce(operator.add, losses, 0.0), dtype=torch.float64)  # in the order of steps
        sums = RunningSums(loss, self._correct.sum())
        return sums.metrics(self._learner, self._num_steps * self._batch_size)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of images uint8 [EVAL_BATCH_SIZE, H, W, C]; the next call overwrites them."""
        self._images.copy_(images)
        self._replay_evaluation()
        return self._logits

    def _changing(self) -> list[Tensor]:
        """Return the tensors that a step changes and a later one reads, except for scaler and rounded weights."""
        learner = self._learner
        return [learner.weights.master.detach(), *learner.buffers.values(), *learner.model.buffers(), self._position]

    @torch.enable_grad()
    def _train(self, num_steps: int) -> None:
        learner, size = self._learner, self._batch_size
        learner.model.train()
        steps = self._position + torch.arange(num_steps, device=learner.device)
        inputs, labels = self._chunk(num_steps)
        lrs = self._lrs[steps]
        shares = [None] * num_steps if self._plan.shares is None else self._plan.shares[steps]
        losses, correct = [], []
        for step, share in enumerate(shares):
            batch = slice(step * size, (step + 1) * size)
            learner.lr.copy_(lrs[step])
            found = learner.step(inputs[batch], labels[batch], share)
            losses.append(found[0])
            correct.append(found[1])
        self._losses.index_copy_(0, steps, torch.stack(losses))
        self._correct.index_copy_(0, steps, torch.stack(correct))
        self._position += num_steps

    def _chunk(self, num_steps: int) -> tuple[Tensor, Tensor]:
        """Return the normalised images and the labels of the next steps."""
        data, plan, size = self._data, self._plan, self._batch_size
        picked = self._position * size + torch.arange(num_steps * size, device=self._learner.device)
        images, labels = data.train.take(plan.order[picked])
        if self._augmented:
            images = crop_and_flip(images, plan.offsets[picked], plan.flips[picked])
        centers = None if plan.centers is None else plan.centers[picked]
        inputs = cut_out(normalize(images, data.mean, data.std), centers, self._learner.config.cutout_size)
        return inputs, labels

    @torch.no_grad()
    def _evaluate(self) -> None:
        learner = self._learner
        learner.model.eval()
        inputs = normalize(self._images, self._data.mean, self._data.std)
        self._logits.copy_(learner.logits(learner.model, inputs))


def images_per_graph(batch_size: int, image_values: int) -> int:
    """Return the number of images of a graph's steps: several batches as far as memory allows, but at least one."""
    batch_bytes = torch.float32.itemsize * batch_size * image_values
    if batch_bytes % ALIGNMENT:
        return batch_size
    return batch_size * max(1, min(STEPS_PER_GRAPH, CHUNK_BYTES // batch_bytes))


def _steps_per_graph(learner: Learner, batch_size: int, image_values: int) -> int:
    """Return the number of steps of a graph: one where the model has so many kernels that others do not matter."""
    num_passes = batch_size // (learner.config.ghost_batch_size or batch_size)
    by_kernels = WEIGHTS_PER_GRAPH // (num_passes * len(learner.weights.parameters))
    return max(1, min(by_kernels, images_per_graph(batch_size, image_values) // batch_size))


def record_graphs(parts: Sequence[Part], restore: Callable[[], None]) -> list[Part]:
    """Record each part as a CUDA graph, after a few calls that `restore` undoes.

    The graphs are captured on the stream of those calls, where cuBLAS has its workspace already. On torch's own
    stream all graphs would share a workspace, which is freed with the first of them (pytorch/pytorch#193402). A
    training that has a stream of its own uses it: torch's new streams are those of a small pool. All others use the
    same one, since cuBLAS keeps a workspace of 32 MiB for each stream. The parts share one memory pool: they are
    never replayed at the same time, and none reads what another has left there.

    Source: pytorch.org/docs, 'CUDA semantics', sections 'Whole-network capture' and 'Graph memory management'.

    Raises:
        RuntimeError: a part cannot be recorded.
    """
    current = torch.cuda.current_stream()
    stream = _capture_stream() if current == torch.cuda.default_stream() else current
    stream.wait_stream(current)
    replays: list[Part] = []
    try:
        with torch.cuda.stream(stream):  # leaves it also where a capture fails, which torch does not
            for part in [*parts] * WARM_UPS:
                part()
                restore()
            pool = torch.cuda.graph_pool_handle()
            for part in parts:
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=pool, stream=stream):
                    part()
                replays.append(graph.replay)
    except BaseException:
        _capture_stream.cache_clear()  # a capture that failed may still be going on there
        raise
    finally:
        current.wait_stream(stream)
    return replays


@functools.cache
def _capture_stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def static_epoch_or_none(
    learner: Learner, data: TrialData, batch_size: int, *, augmented: bool, record: Recorder = record_graphs
) -> StaticEpoch | None:
    """Return the static epoch, or None with a warning if the steps of this model cannot be recorded here.

    Raises:
        torch.OutOfMemoryError: the device has too little memory.
    """
    try:
        return StaticEpoch(learner, data, batch_size, augmented=augmented, record=record)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        cause: BaseException | None = error
        while cause is not None:  # the end of a capture fails as well, and hides what made the capture fail
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            cause = cause.__context__
        reason = str(error).partition("\n")[0]
        warnings.warn(f"training without a CUDA graph: {reason}", RuntimeWarning, stacklevel=2)
        return None
