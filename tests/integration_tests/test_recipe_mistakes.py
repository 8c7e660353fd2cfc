"""Mistakes with own models, losses, data and weights: the exact line, status 2, and no code of the user's is run.

Those with single training fields are in test_user_mistakes.py.
"""

import os
import re
from pathlib import Path

import pytest

from batchscape import InputError, load, run
from results.store.local_store import LocalStore
from tests.refusals import refused
from tests.results_tests.result_samples import make_attempt, make_config, make_end, make_epoch, make_manifest
from tests.trainable_tests.encoded_images import FolderSource, rows, write_parquet
from trainable.ledger.remote_ledger import open_ledger
from trainable.ledger.safetensors import StoredTensor, StoredWeights
from trainable.records import Status

NET = """\
import no_such_package
open("executed", "w").close()

class SmallCNN(no_such_package.Module):
    def __init__(self, num_classes, width=16):
        super().__init__()
"""
LOSS = """\
class Focal:
    def __init__(self, gamma):
        self.gamma = gamma

def focal(logits, labels):
    return logits.sum()
"""
TRAINED, UNTRAINED = make_config(dataset="digits"), make_config(dataset="digits", lr=0.2)
KEY = TRAINED.trial_key


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with own code, own data, and a store with one trained trial and its weights, which are damaged."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "my_net.py").write_text(NET)
    (folder / "my_loss.py").write_text(LOSS)
    (folder / "typo.py").write_text("class Net(torch.nn.Module)\n    pass\n")
    (folder / "nothing.py").write_text("x = 3\n")
    (folder / "binary.py").write_bytes(b"x = 1\n\xff\xfe\x00")
    (folder / "nets").mkdir()
    os.mkfifo(folder / "pipe.py")
    images = FolderSource()
    for name in ("no_test", "empty_class", "broken", "gif", "other_names", "photos"):
        images.write(folder / name, rows([0, 1] * 20), rows([0, 1]))
    (folder / "no_test" / "test").rename(folder / "no_test" / "testing")
    (folder / "empty_class" / "train" / "class 2").mkdir()
    (folder / "broken" / "train" / "class 1" / "7.png").write_bytes(b"")
    (folder / "gif" / "train" / "class 0" / "x.gif").write_bytes(b"GIF89a")
    (folder / "other_names" / "test" / "class 0").rename(folder / "other_names" / "test" / "Class 0")
    images.write(folder / "one_class", rows([0] * 5), rows([0], seed=1))
    for split in ("train", "test"):
        write_parquet(folder / "fine" / f"{split}-0.parquet", rows([0, 1]), fine_label=[0, 1], coarse_label=[0, 0])
        write_parquet(folder / "no_rows" / f"{split}-0.parquet", [])
    store = LocalStore(folder / "runs")
    store.write_manifest(make_manifest([TRAINED, UNTRAINED], "mine"))
    store.write_manifest(make_manifest([UNTRAINED], "untrained"))
    with open_ledger(store.ledgers / KEY, TRAINED.to_dict()) as ledger:
        ledger.begin(make_attempt())
        ledger.append(make_epoch(1, 5.0))
        ledger.save_weights(StoredWeights({"bias": StoredTensor("F32", (2,), bytes(8))}, {}))
        ledger.finish(make_end(Status.COMPLETE, 1))
    weights = store.trial_folder(KEY) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    return folder


BUILT_IN = "model: resnet_8"
OWN = "model: my_net.py:SmallCNN"
SEARCH = "search: {algorithm: random, num_trials: 2}\nparameters: {%s}\n"
IN_SPACES = {
    "optimizer: Adam": "optimizer: optimizer 'Adam' is unknown: did you mean 'adamw'?",
    "optimizer: adamw, betas: [0.9, 0.99, 0.999]": "betas: betas must be two numbers, got [0.9, 0.99, 0.999]",
    "eps: 1e-8": "eps: eps belongs to optimizer lars, adamw or muon, not sgd",
    "warmup_epochs: 1, warmup_start_factor: 2": (
        "warmup_start_factor: warmup_start_factor must be between 0 and 1, got 2"
    ),
    "optimizer: [sgd, lars]": "optimizer: optimizer must be a word, got ['sgd', 'lars']",
    "label: fine_label": (
        "label: unknown key 'label': choose the labels on the command line, with --label beside --data"
    ),
    "model: my_nett.py:SmallCNN": "model: there is no file my_nett.py: did you mean 'my_net.py'?",
    "model: my_net.py:SmalCNN": ("model: my_net.py has no class or function 'SmalCNN': did you mean 'SmallCNN'?"),
    "model: my_net.py::SmallCNN": (
        "model: model 'my_net.py::SmallCNN': write FILE.py:CLASS, for example my_net.py:SmallCNN"
    ),
    "model: my_net.py": "model: model 'my_net.py' names a file: write my_net.py:CLASS, where it defines SmallCNN",
    "model: typo.py:Net": "model: typo.py:1: is not valid Python: expected ':'",
    "model: nothing.py:Net": "model: nothing.py has no class or function 'Net': it defines none",
    "model: binary.py:Net": "model: binary.py:2: is not text in UTF-8",
    "model: pipe.py:Net": "model: pipe.py is not a regular file",
    "model: nets:Net": "model: nets is a folder: name a file in it, FILE.py:NAME",
    "model: no_such_package:Net": (
        "model: no module 'no_such_package' can be imported: install it, or name a file, FILE.py:NAME"
    ),
    f"{OWN}, model_args: {{widht: 8}}": (
        "model_args.widht: SmallCNN (my_net.py:4) takes no argument 'widht': did you mean 'width'?"
    ),
    f"{OWN}, model_args: {{num_classes: 8}}": (
        "model_args.num_classes: model_args.num_classes is given by the program: leave it out"
    ),
    f"{BUILT_IN}, model_args: {{width: 8}}": (
        "model_args: model_args belong to a model of your own, not to 'resnet_8'"
    ),
    "loss: my_loss.py:focl": "loss: my_loss.py has no class or function 'focl': did you mean 'focal'?",
    "loss: my_loss.py:Focal": "loss: Focal (my_loss.py:1) is called without arguments: give 'gamma' a default",
    "loss: my_loss.py:focal, label_smoothing: 0.1": (
        "label_smoothing: label_smoothing belongs to the cross entropy: leave it out with a `loss`"
    ),
}
"""Values of `defaults` -> the key and the message."""
COMMANDS = {
    "plan my.yaml --set model_args.width=8": "--set: model_args belong to a model of your own, not to 'resnet_8'",
    "plan my.yaml --set keep_weights=all": (
        "--set: keep_weights is a key of the space, not a training field: change it in my.yaml"
    ),
    "plan my.yaml --set ghost_batch_size=3": ("--set: batch_size 128 must be a multiple of ghost_batch_size 3"),
    "run my.yaml --optimizer lars": (
        "no option --optimizer: a training field is given as --set optimizer=VALUE "
        "(see `python tune_main.py run --help`)"
    ),
    "run lars --scale smok": "--scale smok: no such scale in the space 'lars': did you mean 'smoke'?",
    "table published sequal": "no published table 'sequal': did you mean 'sequel'?",
    "run my.yaml --data s3://bucket/images": (
        "argument --data: s3://bucket/images is a URI: give a folder of this machine "
        "(see `python tune_main.py run --help`)"
    ),
    "run my.yaml --data no_test": "FOLDER/no_test holds no test/ or val/: rename testing/ to test/",
    "run my.yaml --data empty_class": (
        "FOLDER/empty_class/train/class 2 holds no images: add some, or remove the folder"
    ),
    "run my.yaml --data broken": "FOLDER/broken/train/class 1/7.png: the file holds no image",
    "run my.yaml --data gif": "FOLDER/gif/train/class 0/x.gif: a GIF image; only PNG and JPEG are read",
    "run my.yaml --data other_names": (
        "FOLDER/other_names: 1 of 2 test images have labels that no training image has ('Class 0'): "
        "train and test need the same classes"
    ),
    "run my.yaml --data one_class": (
        "--data one_class: all training images are of one class, 'class 0': each class needs its own train/CLASS/ "
        "and test/CLASS/, or its own value in the column that --label names"
    ),
    "run my.yaml --data no_rows": "FOLDER/no_rows/train-0.parquet holds no rows",
    "run my.yaml --data photos --label fine_label": (
        "--label fine_label: the images in FOLDER/photos have only one kind of label: leave it out"
    ),
    "run my.yaml --data fine --label coarse_lable": (
        "FOLDER/fine/train-0.parquet has the columns image, fine_label, coarse_label: needed are img or image "
        "(struct with bytes) and --label coarse_lable"
    ),
    "train my_net.py": "train: model 'my_net.py' names a file: write my_net.py:CLASS, where it defines SmallCNN",
    "weights mine": ("the following arguments are required: --to (see `python tune_main.py weights --help`)"),
    "weights mine --to nowhere/x.safetensors": (
        "argument --to: nowhere/x.safetensors: there is no folder nowhere (see `python tune_main.py weights --help`)"
    ),
    "weights mine --to nets": (
        "argument --to: nets is a folder: give a file in it (see `python tune_main.py weights --help`)"
    ),
    "weights mine --to pipe.py": (
        "argument --to: pipe.py is not a regular file: give another one (see `python tune_main.py weights --help`)"
    ),
    "weights mine ffff --to x": (
        "no trial 'ffff' in the sweep 'mine': `status SWEEP` names those that failed, its trials.parquet all"
    ),
    "weights untrained --to x": (
        "untrained has no completed trial yet: `python tune_main.py status untrained` says more"
    ),
    "weights mine --to x": (
        f"runs/trials/{KEY}/weights.safetensors is damaged (its checksum is wrong): `python tune_main.py verify mine "
        f"--repair` deletes it; with `keep_weights: all` in the space, `retry {KEY}` and the next `run` train "
        "it again and keep them"
    ),
    "evaluate mien": "no sweep 'mien' in runs: did you mean 'mine'?",
}


@pytest.mark.parametrize("values", IN_SPACES)
def test_a_space(
    values: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "my.yaml").write_text(f"rows: [{{lr: 0.1}}]\ndefaults: {{dataset: digits, epochs: 2, {values}}}\n")
    line = f"my.yaml:2: defaults.{IN_SPACES[values]}"
    assert refused(["run", "my.yaml", "--store", "none"], capsys) == f"batchscape: {line}\n"
    assert not (folder / "none").exists()
    assert not (folder / "executed").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "my.yaml").write_text("rows: [{lr: 0.1}]\ndefaults: {model: resnet_8}\n")
    line = refused(command.split(), capsys).removeprefix("batchscape: ").removesuffix("\n")
    assert line.replace(str(folder), "FOLDER") == COMMANDS[command]
    assert not (folder / "executed").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("space", {}, "the space has no name: add `name` to it, or give run(..., name=...)"),
        ("set", "lr=0.1", "set='lr=0.1' must be a dict of training fields, for example set={'lr': 0.1}"),
        ("epochs", 3, "no option --epochs: a training field is given as --set epochs=VALUE"),
    ],
)
def test_python(name: str, value: object, message: str, tmp_path: Path) -> None:
    arguments = {"space": "quickstart", "store": tmp_path / "none", name: value}
    with pytest.raises(InputError, match=f"^{re.escape(message)}") as caught:
        run(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_python_loads_no_damaged_weights(folder: Path) -> None:
    with pytest.raises(InputError, match=r"weights.safetensors is damaged \(its checksum is wrong\)") as caught:
        load(folder / "runs" / "mine").weights()
    assert "\n" not in str(caught.value)
