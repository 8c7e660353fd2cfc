"""The trainings whose losses are held, and the command that records them anew.

`PYTHONPATH=. python tests/trainable_tests/golden_trainings.py` writes golden_losses.json. Record them only when
the meaning of training changes (and RECIPE_VERSION with it), never to make a test pass. With `--fused` it writes only
the losses with the fused kernel, which may also be recorded anew when the kernel sums in another order.
"""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import torch

from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.contract import ImageData
from trainable.device import builds_fused_kernel, prepare_device
from trainable.execution import DEFAULT_EXECUTION, Execution
from trainable.splits import prepare
from trainable.training import Training

FILE = Path(__file__).with_name("golden_losses.json")
BASE = TrainConfig(
    model="resnet_preact_8",
    epochs=3,
    batch_size=32,
    lr=0.1,
    precision="fp32",
    train_subset=320,
    test_subset=355,
)
TRAININGS = {
    "preact_8, crops and flips, Nesterov, cosine": BASE,
    "resnet_8, held-out part, plain momentum, multistep": dataclasses.replace(
        BASE, model="resnet_8", nesterov=False, schedule="multistep", holdout=0.2, seed=1, epochs=4
    ),
    "preact_14, batch 8, no augmentation, constant": dataclasses.replace(
        BASE, model="resnet_preact_14", augmentation="none", schedule="constant", batch_size=8, lr=0.025
    ),
    "preact_8, batch 160, weight decay 0": dataclasses.replace(
        BASE, batch_size=160, lr=0.4, weight_decay=0.0, augmentation="crop"
    ),
}
FUSED = {
    "preact_8, fp32": BASE,
    "resnet_8, bf16": dataclasses.replace(BASE, model="resnet_8", precision="bf16", seed=1),
}
"""The trainings with the fused kernel."""


def kind_of_device() -> str:
    """What the last bits of a figure depend on, beside the code: libraries and instruction set."""
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {provenance.processor_name()}"


def losses_of(config: TrainConfig, data: ImageData, execution: Execution = DEFAULT_EXECUTION) -> list[list[str]]:
    """Training loss, test loss and gradient norm of each epoch as exact hex; last the hash of all weights."""
    cpu = torch.device("cpu")
    bound = config.for_dataset(data.name, data.fingerprint, len(data.train_labels), len(data.test_labels))
    training = Training(bound, prepare(data, bound, cpu), cpu, execution)
    assert training.execution.fused == execution.fused
    lines = []
    while not training.finished:
        record = training.run_epoch(1).record
        lines.append([float.hex(x or 0.0) for x in (record.train_loss, record.test_loss, record.gradient_norm)])
    return [*lines, [hash_of_weights(training)]]


def hash_of_weights(training: Training) -> str:
    digest = hashlib.sha256()
    for parameter in training.learner.model.parameters():
        digest.update(parameter.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    from trainable.data.digits import load_digits

    prepare_device(1, use_gpu=False)
    data = load_digits()
    if "--fused" in sys.argv:
        assert builds_fused_kernel(print), "no fused kernel on this machine"
        fused = {name: losses_of(config, data, Execution(fused=True)) for name, config in FUSED.items()}
        content = json.loads(FILE.read_text()) | {"fused_device": kind_of_device(), "fused": fused}
    else:
        plain = {name: losses_of(config, data) for name, config in TRAININGS.items()}
        content = json.loads(FILE.read_text()) | {"device": kind_of_device(), "losses": plain}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
