"""Models and losses of the user's own: exact, resumed bit for bit, and wrong ones told in one line."""

import dataclasses
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.plain_resnet_preact import PlainResNetPreact
from models.own_model import seeded
from models.user_code import UserCode, UserCodeError, provide
from tests.conftest import ROOT
from tests.trainable_tests.own_code_samples import LOSSES, MODELS
from tests.trainable_tests.test_training import content, figures, run
from trainable import noise_scale
from trainable.augmentation import normalize
from trainable.config import TrainConfig
from trainable.ledger.reading import read_trial
from trainable.records import Status
from trainable.session import TrialSession
from trainable.training import Training

MakeTraining = Callable[[TrainConfig], Training]
Own = Callable[..., TrainConfig]


@pytest.fixture
def own(tmp_path: Path, short_config: TrainConfig) -> Own:
    """`own("SmallCNN", epochs=2)`: a configuration with a model of MODELS, or of another file's text."""

    def make(name: str | None, text: str = MODELS, file: str = "my_net.py", **changes: Any) -> TrainConfig:  # noqa: ANN401
        (tmp_path / file).write_text(text)
        code = UserCode(f"{file}:{name}", (tmp_path / file).read_text())
        provide([code])
        fields: dict[str, Any] = {"model": code.reference, "model_fingerprint": code.fingerprint}
        if "loss" in changes:
            fields = {"loss_fingerprint": code.fingerprint}
        return dataclasses.replace(short_config, **fields, **changes)

    return make


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["SmallCNN", "Viewed", "Normed", "Odd", "built"])
def test_resumed_at_any_epoch_is_as_uninterrupted(
    own: Own, make_training: MakeTraining, name: str, precision: str
) -> None:
    config = own(name, epochs=2, precision=precision, weight_decay=0.1)
    whole = make_training(config)
    states = [whole.state()]
    records = []
    while not whole.finished:
        torch.rand(1)  # what others draw in the same process does not matter
        random.random()  # noqa: S311
        records.append(figures(whole.run_epoch(1).record))
        states.append(whole.state())
    assert records[0].train_loss != records[1].train_loss
    for epoch in range(2):
        resumed = make_training(config)
        resumed.load_state(states[epoch])
        assert run(resumed) == records[epoch:]
        assert content(resumed) == content(whole)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("SmallCNN", "eager"),
        ("built", "eager"),
        ("handed_on", "eager"),
        ("Normed", "eager autocast (Normed)"),
        ("Odd", "eager autocast (Odd)"),
        ("Hidden", "eager autocast (mul)"),
    ],
)
def test_execution_tells_which_layer_needs_autocast(
    own: Own, make_training: MakeTraining, name: str, told: str
) -> None:
    assert str(make_training(own(name, precision="bf16")).execution) == told
    assert str(make_training(own(name, precision="fp32")).execution) == "eager"


@pytest.mark.parametrize("name", ["SmallCNN", "Normed", "Odd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_is_that_of_plain_autocast(own: Own, make_training: MakeTraining, name: str, precision: str) -> None:
    config = own(name, precision=precision, weight_decay=0.0)
    training, plain = make_training(config), make_training(config).learner.model
    reference = make_training(dataclasses.replace(config, precision="fp32"))
    plain = reference.learner.model
    optimizer = torch.optim.SGD(
        [part for part in plain.parameters() if part.requires_grad], lr=0.05, momentum=0.9, nesterov=True
    )
    plain.train()
    training.learner.model.train()
    for step in range(3):
        images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        images = images.to(memory_format=torch.channels_last)
        labels = training.data.train.labels[:8]
        with seeded(step):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
                logits = plain(images.contiguous() if training.learner.nchw else images)
            loss = torch.nn.functional.cross_entropy(logits.float(), labels)
            torch.autograd.backward(loss)
            optimizer.step()
        with seeded(step):
            assert training.learner.step(images, labels)[0].item() == loss.item()
    values = training._model_state()
    for key, parameter in plain.named_parameters():
        assert torch.equal(values[key], parameter.detach()), key


def test_seeds_and_arguments_decide_the_initial_weights(own: Own, make_training: MakeTraining) -> None:
    def initial(**changes: Any) -> list[Any]:  # noqa: ANN401
        return content(make_training(own("Normed", **changes)))

    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    first = initial()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
    assert random.getstate() == before[2]
    torch.rand(1)
    assert initial() == first
    assert initial(seed=1) != first
    assert len(initial(model_args={"width": 4})) == len(first)
    assert initial(model_args={"width": 4}) != first


def test_frozen_weights_do_not_decay_and_unused_ones_have_no_gradient(own: Own, make_training: MakeTraining) -> None:
    training = make_training(own("Odd", weight_decay=0.1, epochs=1))
    before = {name: value.clone() for name, value in training._model_state().items()}
    training.run_epoch(1)
    after = training._model_state()
    assert torch.equal(after["frozen.weight"], before["frozen.weight"])
    assert 0.9 < float(after["unused"]) < 1.0  # only the weight decay moves it
    assert "tied.weight" not in after
    assert int(after["steps"]) == 2
    assert int(after["bn.num_batches_tracked"]) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "lars"},
        {"optimizer": "adamw", "weight_decay_on": "matrices"},
        {"optimizer": "muon"},
        {"ghost_batch_size": 4, "clip_grad_norm": 1.0},
        {"mixup_alpha": 0.4},
        {"precision": "fp16"},
        {"precision": "pure_fp16"},
    ],
    ids=str,
)
def test_every_option_of_a_step_works(own: Own, make_training: MakeTraining, changes: dict[str, Any]) -> None:
    for name in ("Normed",) if "pure_fp16" in changes.values() else ("Normed", "Odd"):  # Odd makes fp32 tensors
        record = make_training(own(name, lr=0.001, epochs=1, train_subset=8, **changes)).run_epoch(1).record
        assert record.train_loss is not None


@pytest.mark.parametrize("name", ["Normed", "Odd"])
def test_the_noise_scale_changes_nothing(
    own: Own, make_training: MakeTraining, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(noise_scale, "EVERY_STEPS", 2)
    config = own(name, epochs=2, precision="bf16")
    plain, measured = make_training(config), make_training(dataclasses.replace(config, noise_scale=True))
    for _ in range(2):
        losses = [training.run_epoch(1).record.train_loss for training in (plain, measured)]
        assert losses[0] == losses[1]
    assert measured.state() == plain.state()


HEAD = "import sys\nimport torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
INIT = f"{HEAD}    def __init__(self, num_classes):\n        super().__init__()\n"
FORWARD = f"{INIT}        self.fc = nn.Linear(3, num_classes)\n\n    def forward(self, x):\n"
SHARED = """from torch import nn


def Net(num_classes):
    net = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(3, 3), nn.Linear(3, 3))
    net[2].weight.data = net[3].weight.data
    return net
"""
BACKWARD = f"""class Grad(__import__('torch').autograd.Function):
    def forward(ctx, x):
        return x * 1
    def backward(ctx, gradient):
        raise ValueError('no')
{FORWARD}        return self.fc(Grad.apply(x.mean((2, 3)) + self.fc.bias))
"""
WRONG = [
    ("import no_such_package\n", r"my_net.py:1: ModuleNotFoundError: No module named 'no_such_package'"),
    ("Net = 3\n", "no class or function 'Net'"),
    (f"{HEAD}    def __init__(self):\n        raise KeyError('x')\n", r"^my_net.py:8: KeyError: 'x'$"),
    (f"{HEAD}    def __init__(self):\n        sys.exit(3)\n", r"^my_net.py:8: SystemExit: 3$"),
    ("def Net(num_classes):\n    return num_classes\n", r"^my_net.py:1: gives int, not a torch.nn.Module$"),
    (
        f"{HEAD}    def __init__(self, depth):\n        super().__init__()\n",
        "missing 1 required positional argument: 'depth'",
    ),
    (
        f"{HEAD}    def forward(self, x):\n        return x.mean((2, 3))\n",
        r"^my_net.py:7: the model has no parameter",
    ),
    (f"{FORWARD}        return self.fc(x)\n", r"^my_net.py:12: RuntimeError: mat1 and mat2"),
    (f"{FORWARD}        return x.mean((2, 3))[:, :2]\n", r"^my_net.py:11: a tensor \[2, 2\] .*3 classes: the logits"),
    (f"{FORWARD}        return self.fc(x.mean((2, 3))).long()\n", "must be a tensor of floats"),
    (f"{FORWARD}        return (self.fc(x.mean((2, 3))),)\n", r"^my_net.py:11: tuple for images"),
    (f"{FORWARD}        return self.fc(x.mean((2, 3))).detach()\n", "do not depend on a parameter"),
    (f"{FORWARD}        return self.fc.double()(x.mean((2, 3)).double())\n", "fc.weight is torch.float64"),
    (
        f"{FORWARD}        torch.empty(2**50)\n",
        r"^my_net.py:12: RuntimeError: .*out of memory: use a smaller batch_size",
    ),
    (
        f"{FORWARD}        if len(x) > 2: sys.exit()\n        return self.fc(x.mean((2, 3)))\n",
        r"^my_net.py:12: SystemExit$",
    ),
    (f"{FORWARD}        raise StopIteration\n", r"^my_net.py:12: StopIteration$"),
    (f"{FORWARD}        raise GeneratorExit\n", r"^my_net.py:12: GeneratorExit$"),
    (
        f"{FORWARD}        if len(x) > 2: raise KeyboardInterrupt('no')\n        return self.fc(x.mean((2, 3)))\n",
        r"^my_net.py:12: KeyboardInterrupt: no$",
    ),
    (SHARED, r"my_net.py:4: parameters 2.weight and 3.weight share memory"),
    (BACKWARD, r"^my_net.py:5: ValueError: no$"),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_model_is_one_line_and_a_failed_trial(
    own: Own, make_session: Callable[..., TrialSession], tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(UserCodeError, match=told) as raised:
        make_session(own("Net", text)).next_epoch()
    assert "\n" not in str(raised.value)
    files = read_trial(tmp_path / "trial")
    assert files.end is not None
    assert (files.end.status, files.end.error) == (Status.FAILED, str(raised.value))
    assert len(files.attempts) == 1


@pytest.mark.parametrize(("name", "expected"), [("SIGINT", KeyboardInterrupt), ("SIGTERM", SystemExit)])
def test_a_signal_is_no_failure_of_the_model(
    own: Own, make_training: MakeTraining, name: str, expected: type[BaseException]
) -> None:
    def sigterm_handler(*_: object) -> None:  # as Ray's workers have it
        sys.exit(1)

    interrupted = f"{FORWARD}        import signal\n        signal.raise_signal(signal.{name})\n"
    before = signal.signal(signal.SIGTERM, sigterm_handler)
    try:
        with pytest.raises(expected):
            make_training(own("Net", interrupted))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_a_training_leaves_in_global_variables_is_not_seen_by_the_next(
    own: Own, make_training: MakeTraining
) -> None:
    counting = (
        f"{FORWARD}        CALLS.append(0)\n        return self.fc(x.mean((2, 3))) * len(CALLS)\n\n\nCALLS = []\n"
    )
    config = own("Net", counting)
    assert run(make_training(config)) == run(make_training(config))


def test_an_unknown_argument_is_named(own: Own, make_training: MakeTraining) -> None:
    with pytest.raises(
        UserCodeError, match=r"^my_net.py:\d+: there is no argument 'widht': valid: num_classes, width$"
    ):
        make_training(own("SmallCNN", model_args={"widht": 4}))


def test_an_own_loss_that_is_the_cross_entropy_trains_the_same(
    own: Own, make_training: MakeTraining, short_config: TrainConfig
) -> None:
    config = dataclasses.replace(short_config, epochs=2, mixup_alpha=0.4)
    ours = own("plain", LOSSES, "my_loss.py", loss="my_loss.py:plain", epochs=2, mixup_alpha=0.4)
    assert run(make_training(ours)) == run(make_training(config))
    focal = own("Focal", LOSSES, "my_loss.py", loss="my_loss.py:Focal", epochs=2, mixup_alpha=0.4)
    assert run(make_training(focal)) != run(make_training(config))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("each", r"^my_loss.py:\d+: the loss must be a scalar \(a tensor of shape \[\]\), got a tensor \[8\]"),
        ("number", r"^my_loss.py:\d+: the loss must be a scalar .*, got float$"),
        ("detached", r"^my_loss.py:\d+: the loss does not depend on the logits$"),
        ("elsewhere", r"^my_loss.py:\d+: the loss is on meta, the logits are on cpu$"),
        ("broken", r"^my_loss.py:\d+: IndexError"),
        ("Trained", r"the loss has parameters, which would not be trained$"),
    ],
)
def test_a_wrong_loss_is_one_line(own: Own, make_training: MakeTraining, name: str, told: str) -> None:
    with pytest.raises(UserCodeError, match=told):
        make_training(own(name, LOSSES, "my_loss.py", loss=f"my_loss.py:{name}")).run_epoch(1)


def test_a_loss_that_is_no_number_is_divergence(own: Own, make_training: MakeTraining) -> None:
    config = own("infinite", LOSSES, "my_loss.py", loss="my_loss.py:infinite")
    assert make_training(config).run_epoch(1).diverged


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_plain_network_takes_our_weights_and_trains_as_ours(
    own: Own, make_training: MakeTraining, short_config: TrainConfig, precision: str
) -> None:
    text = (ROOT / "benchmarks" / "plain_resnet_preact.py").read_text()
    theirs = make_training(
        own("PlainResNetPreact", text, model_args={"depth": 8}, precision=precision, weight_decay_on="no_bn")
    )
    ours = make_training(dataclasses.replace(short_config, precision=precision, weight_decay_on="no_bn"))
    plain = PlainResNetPreact(3, depth=8)
    plain.load_state_dict(ours.weights())
    theirs.load_weights({name: plain.state_dict()[name] for name in theirs.weights()})
    assert str(theirs.execution) == str(ours.execution) == "eager"
    assert run(theirs) == run(ours)
    plain.load_state_dict(ours.weights())
    images = normalize(ours.data.test.images, ours.data.mean, ours.data.std)
    ours.learner.model.eval()
    with torch.no_grad():
        expected = ours.learner.logits(ours.learner.model, images)
        close = 0.05 * float(expected.abs().max()) if precision == "bf16" else 0.0
        torch.testing.assert_close(plain.eval()(images), expected, rtol=0.0, atol=close)
