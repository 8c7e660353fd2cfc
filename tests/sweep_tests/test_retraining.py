"""`verify SWEEP --retrain K` trains recorded trials again, and tells other bits from another execution."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

import tune_main
from models import user_code
from models.user_code import UserCode, provide
from results.store.local_store import LocalStore
from results.store.search_log import EndEvent, Event, ProposalEvent, ReportEvent, SearchEvent, SearchLog
from tests.refusals import refused
from tests.results_tests.result_samples import make_end, make_epoch, make_manifest, write_trial
from tests.results_tests.searched_stores import SETTINGS
from trainable import provenance
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.device import prepare_device
from trainable.ledger.checksums import sealed, unsealed
from trainable.ledger.files import ATTEMPTS, EPOCHS, RESULT, WEIGHTS
from trainable.ledger.safetensors import StoredTensor, parse_weights, weights_content
from trainable.records import Status
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare

CPU = torch.device("cpu")
SWEEP = "mine"
BASE = TrainConfig(
    epochs=2, model="resnet_preact_8", train_subset=64, test_subset=50, batch_size=16, lr=0.1, precision="fp32"
)
OWN_MODEL = """\
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(3, num_classes)

    def forward(self, x):
        return self.head(self.dropout(x.mean((2, 3))))
"""
CODE = UserCode("net.py:Net", OWN_MODEL)


def train(store: LocalStore, config: TrainConfig, *, interrupted: bool = False) -> None:
    """Train a trial as a run does; an interrupted one is resumed from a checkpoint by a second session."""
    run = RunInfo("run", num_threads=1, code=provenance.code_identity(), keep_weights=True)
    for is_last in (False, True) if interrupted else (True,):
        session = TrialSession(
            config, prepare(load_digits(), config, CPU), store.ledgers / config.trial_key, CPU, run
        )
        progress = session.next_epoch()
        while is_last and not progress.ended:
            progress = session.next_epoch()
        session.save_checkpoint()
        session.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    """A store with a trial that was interrupted, one of a user's own model, and one that diverged."""
    prepare_device(1, use_gpu=False)
    provide([CODE])
    store, data = LocalStore(tmp_path_factory.mktemp("retrained") / "store"), load_digits()
    fields = {"model": CODE.reference, "model_fingerprint": CODE.fingerprint}
    own = TrainConfig.from_dict(BASE.to_dict() | fields).for_dataset(*data.identity)
    configs = [BASE.for_dataset(*data.identity), own, dataclasses.replace(own, lr=1e30)]
    for number, config in enumerate(configs):
        train(store, config, interrupted=number == 0)
    store.write_manifest(dataclasses.replace(make_manifest(configs, SWEEP), sources=[CODE]))
    return store


@pytest.fixture
def store(made: LocalStore, tmp_path: Path) -> LocalStore:
    """A store of the test's own."""
    provide([CODE])
    shutil.copytree(made.path, tmp_path / "store")
    return LocalStore(tmp_path / "store")


def answer(store: LocalStore, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    status = tune_main.main(["verify", SWEEP, "--store", str(store.path), "--retrain", "9", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    return status, out.splitlines()


def rewrite(path: Path, number: int, **changes: object) -> None:
    """Change a line of records, with a checksum that fits."""
    lines, key = path.read_bytes().splitlines(keepends=True), path.parent.name
    owner = key if path.name in (EPOCHS, ATTEMPTS, RESULT) else ""
    lines[number] = sealed(unsealed(lines[number], owner) | changes, owner)
    path.write_bytes(b"".join(lines))


def test_equal_bits_and_nothing_written(
    store: LocalStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.files()
    monkeypatch.setattr(user_code, "_provided", {})
    status, lines = answer(store, capsys)
    assert status == 0, lines
    assert lines[1].startswith("training 3 of 3 finished trials again, which took ")
    resumed, own, diverged = store.manifest(SWEEP).keys
    ends = {line[:16]: line[18:].rpartition(", in ")[0] for line in lines[2:]}
    assert ends[resumed] == ends[own] == "2 epochs and the weights bit for bit equal"
    assert ends[diverged].endswith(" bit for bit equal")
    assert store.files() == before
    status = tune_main.main(["verify", SWEEP, "--store", str(store.path), "--retrain", "1", "--seed", "2"])
    drawn = capsys.readouterr().out.splitlines()[2][:16]
    assert drawn in store.manifest(SWEEP).keys
    tune_main.main(["verify", SWEEP, "--store", str(store.path), "--retrain", "1", "--seed", "2"])
    assert capsys.readouterr().out.splitlines()[2][:16] == drawn


def test_other_bits_are_damage_unless_the_execution_is_another(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    resumed, own, diverged = (store.trial_folder(key) for key in store.manifest(SWEEP).keys)
    bits = unsealed((own / RESULT).read_bytes(), own.name)["test_correct_bits"]
    loss = json.loads((resumed / EPOCHS).read_bytes().splitlines()[1])["test_loss"]
    rewrite(resumed / EPOCHS, 1, test_loss=9.5)
    rewrite(own / RESULT, 0, test_correct_bits=f"{int(bits, 16) ^ (1 << 40):0{len(bits)}x}")
    status, lines = answer(store, capsys)
    text = "\n".join(lines)
    assert status == 1
    what = f"{resumed / EPOCHS} does not hold what training gives, epoch 2, test_loss: holds 9.5, trained {loss!r}: "
    assert f"{what}the same execution gives the same bits: `" in text
    assert f"retry {resumed.name} --store {store.path}` has it trained again" in text
    assert f"{own / RESULT} does not hold what training gives, test_correct_bits: " in text
    rewrite(resumed / ATTEMPTS, 1, device="an abacus", versions={**provenance.versions(), "torch": "0.1"})
    rewrite(own / RESULT, 0, test_correct_bits=bits)
    content = parse_weights((own / WEIGHTS).read_bytes(), own.name)
    changed = {**content.tensors, "head.bias": StoredTensor("F32", (10,), bytes(40))}
    (own / WEIGHTS).write_bytes(weights_content(dataclasses.replace(content, tensors=changed), own.name))
    rewrite(diverged / ATTEMPTS, 0, code="c0de/0123456789ab")
    status, lines = answer(store, capsys)
    text = "\n".join(lines)
    assert f"{own / WEIGHTS} does not hold what training gives, tensor head.bias: " in text
    now = provenance.processor_name()
    other = (
        f"other execution (device an abacus then, {now} now; torch 0.1 then, {torch.__version__.partition('+')[0]}"
    )
    assert f"{resumed.name}: not equal, by {other}" in text
    assert "first in epoch 2, test_loss: holds 9.5, " in text
    assert "bit for bit equal, even by other execution (training code 0123456789ab then, " in text
    (own / WEIGHTS).unlink()
    assert answer(store, capsys)[0] == 0


def test_a_stopped_trial_is_trained_up_to_its_stop(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    config, name = store.manifest(SWEEP).trials[1].config, "hunt"
    events: list[Event] = [
        SearchEvent(SETTINGS),
        ProposalEvent(0, {"base_lr": 0.1, "batch_size": 16}, config, {"base_lr": 0.1}),
        ReportEvent(0, 1, (19.0,), True),
        EndEvent(0, Status.STOPPED, (19.0,)),
    ]
    SearchLog(store.search_log(name)).append(events)
    manifest = dataclasses.replace(make_manifest([], name, is_search=True), sources=[CODE])
    store.write_manifest(manifest)
    assert tune_main.main(["verify", name, "--store", str(store.path), "--retrain", "1"]) == 0
    assert f"{config.trial_key}: 1 epoch bit for bit equal, in " in capsys.readouterr().out


def test_what_cannot_be_trained_again_is_said(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = store.manifest(SWEEP)
    child = dataclasses.replace(manifest.trials[0].config, parent="0" * 16)
    write_trial(store, child, [make_epoch(1, 9.0), make_epoch(2, 8.0)], make_end(Status.COMPLETE, 2))
    trials = make_manifest([child]).trials
    store.write_manifest(dataclasses.replace(manifest, trials=trials))
    status, lines = answer(store, capsys)
    assert (status, lines[1:]) == (
        0,
        [
            "1 trial begins with the state of another one: not drawn",
            f"{SWEEP} has no finished trial that can be trained again",
        ],
    )
    gone = tmp_path / "gone"
    store.write_manifest(dataclasses.replace(manifest, data=str(gone)))
    command = ["verify", SWEEP, "--store", str(store.path)]
    assert tune_main.main([*command, "--retrain", "1"]) == 2
    assert f"the images of 'digits' are no longer in {gone}: give their folder, --data" in capsys.readouterr().err
    assert "only with --retrain" in refused([*command, "--seed", "2"], capsys)
    assert "needs the name of the sweep" in refused(["verify", "--retrain", "2"], capsys)
