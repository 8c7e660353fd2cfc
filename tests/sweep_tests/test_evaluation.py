"""`weights` and `evaluate`, on a store with two trained trials."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tune_main
from models import user_code
from models.user_code import UserCode, provide
from results.figures.worst_images import save_png, worst_images_figure
from results.store.local_store import LocalStore
from sweep.evaluation import NUM_WORST, Evaluation, evaluation_json, evaluation_text, numbered_as
from tests.conftest import ROOT
from tests.refusals import refused
from tests.results_tests.result_samples import make_manifest
from trainable.config import TrainConfig
from trainable.data.digits import load_digits
from trainable.data.sources import load_dataset
from trainable.device import prepare_device
from trainable.errors import UserError
from trainable.ledger.files import WEIGHTS
from trainable.ledger.reading import read_trial
from trainable.session import RunInfo, TrialSession
from trainable.splits import prepare

CPU = torch.device("cpu")
RUN = RunInfo("run", num_threads=1, code="code", keep_weights=True)
SWEEP = "mine"
BASE = TrainConfig(
    epochs=1, model="resnet_preact_8", train_subset=96, test_subset=90, batch_size=16, precision="fp32"
)


@pytest.fixture(scope="module")
def configs() -> list[TrainConfig]:
    """Two trials that are trained, and one that is not."""
    data = load_digits()
    rates = [dataclasses.replace(BASE, lr=lr) for lr in (0.02, 0.1, 0.3)]
    return [config.for_dataset(*data.identity) for config in rates]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, configs: list[TrainConfig]) -> LocalStore:
    store, data = LocalStore(tmp_path_factory.mktemp("evaluated") / "store"), load_digits()
    prepare_device(1, use_gpu=False)
    for config in configs[:2]:
        session = TrialSession(config, prepare(data, config, CPU), store.ledgers / config.trial_key, CPU, RUN)
        assert session.next_epoch().ended
        session.close()
    store.write_manifest(make_manifest(configs, SWEEP))
    return store


@pytest.fixture(scope="module")
def best(store: LocalStore, configs: list[TrainConfig]) -> str:
    """The key of the trial with the lower test error."""
    errors = {config.trial_key: recorded(store, config.trial_key) for config in configs[:2]}
    return min(errors, key=lambda key: (errors[key], key))


def recorded(store: LocalStore, key: str) -> float:
    error = read_trial(store.trial_folder(key)).epochs[-1].test_error_percent
    assert error is not None
    return error


def answer(store: LocalStore, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert tune_main.main([*arguments, "--store", str(store.path)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_the_page_loads_the_best_weights_in_plain_pytorch(
    store: LocalStore, best: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert best in answer(store, capsys, "weights", SWEEP, "--to", "model.safetensors")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "weights.md").read_text(), re.DOTALL)
    names: dict[str, object] = {"__name__": "snippet"}
    exec(code, names)  # noqa: S102
    assert json.loads(names["about"]["config"])["model"] == "resnet_preact_8"  # type: ignore[index]
    data = load_digits()
    logits = names["logits"](torch.from_numpy(data.test_images[:90].copy()))  # type: ignore[operator]
    wrong = int((logits.argmax(dim=1).numpy() != data.test_labels[:90]).sum())
    assert 100 * wrong / 90 == recorded(store, best)


def test_its_own_images_give_the_recorded_error(
    store: LocalStore, configs: list[TrainConfig], best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (other,) = {config.trial_key for config in configs[:2]} - {best}
    found = json.loads(answer(store, capsys, "evaluate", SWEEP, other, "--json"))
    assert found["error_percent"] == found["recorded_error_percent"] == recorded(store, other)
    assert found["loss"] == read_trial(store.trial_folder(other)).epochs[-1].test_loss
    confusion = np.array(found["confusion"])
    assert confusion.sum() == found["num_images"] == 90
    assert 100 * (90 - np.trace(confusion)) / 90 == pytest.approx(found["error_percent"])
    worst = [image["loss"] for image in found["worst"]]
    assert (len(worst), worst) == (NUM_WORST, sorted(worst, reverse=True))
    assert found["picture"] == str(store.sweep_folder(SWEEP) / "figures" / f"worst_images-{other}.png")
    text = answer(store, capsys, "evaluate", SWEEP, "--to", str(tmp_path / "here"))
    assert f"{SWEEP} {best} on 90 test images of digits\n" in text
    assert ", as recorded)" in text
    path = tmp_path / "here" / f"worst_images-{best}.png"
    assert text.endswith(f"images with the largest loss: {path}\n")
    with Image.open(path) as picture:
        assert picture.width > 500
    assert Path(found["picture"]).exists()


OWN_MODEL = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, width):
        super().__init__()
        self.first, self.second = nn.Linear(3, width), nn.Linear(3, width)
        self.second.weight = self.first.weight
        self.norm, self.dropout = nn.BatchNorm1d(width, momentum=None), nn.Dropout(0.5)
        self.frozen = nn.Parameter(torch.ones(width), requires_grad=False)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        x = x.mean((2, 3))
        return self.head(self.dropout(self.norm(self.first(x) * self.frozen + self.second(x))))
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_own_model_is_built_again_from_the_store(
    store: LocalStore,
    configs: list[TrainConfig],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    code, data = UserCode("net.py:Net", OWN_MODEL), load_digits()
    fields = {"model": code.reference, "model_args": {"width": 6}, "model_fingerprint": code.fingerprint}
    config = TrainConfig.from_dict(configs[0].to_dict() | fields | {"precision": precision})
    provide([code])
    session = TrialSession(config, prepare(data, config, CPU), store.ledgers / config.trial_key, CPU, RUN)
    assert session.next_epoch().ended
    session.close()
    store.write_manifest(dataclasses.replace(make_manifest([config], "own"), sources=[code]))
    monkeypatch.setattr(user_code, "_provided", {})
    found = json.loads(answer(store, capsys, "evaluate", "own", "--to", str(tmp_path), "--json"))
    assert found["error_percent"] == found["recorded_error_percent"] == recorded(store, config.trial_key)
    assert found["loss"] == read_trial(store.trial_folder(config.trial_key)).epochs[-1].test_loss
    monkeypatch.setattr(user_code, "_provided", {})
    store.write_manifest(make_manifest([config], "own"))
    error = refused(["evaluate", "own", "--store", str(store.path)], capsys)
    assert "cannot be evaluated: the source of net.py:Net" in error
    store.delete_sweep("own")


def write_images(folder: Path, num_classes: int, side: int = 32, name: str = "$_{} <b>") -> Path:
    """Write one training and one test image of each class, whose names begin formulae and markup if not given."""
    for split in ("train", "test"):
        for number in range(num_classes):
            target = folder / split / name.format(number)
            target.mkdir(parents=True)
            shade = np.full((side, side, 3), 20 * number + (split == "test"), np.uint8)
            Image.fromarray(shade).save(target / "image.png")
    return folder


def test_other_images_with_the_same_classes(
    store: LocalStore, best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(write_images(tmp_path / "shades", 10, name="{}"))
    options = ("--data", folder, "--to", str(tmp_path))
    text = answer(store, capsys, "evaluate", SWEEP, *options)
    assert f"{SWEEP} {best} on 10 test images of shades\n" in text
    assert "recorded" not in text
    (Path(folder) / "test/0/image.png").write_bytes((Path(folder) / "train/0/image.png").read_bytes())
    assert json.loads(answer(store, capsys, "evaluate", SWEEP, *options, "--json"))["dataset"] == "shades"  # no note


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    data = load_dataset("", write_images(tmp_path / "shades", 3), None)
    trained = ["$_2 <b>", "$_0 <b>", "$_1 <b>"]
    found = numbered_as(data, trained, "key")
    assert found.class_names == tuple(trained)
    assert [trained[label] for label in found.test_labels] == [data.class_names[label] for label in data.test_labels]
    assert numbered_as(data, [], "key") is data
    with pytest.raises(UserError, match=r"of shades \(\$_0 <b>.*\) are not those of key \(a, b, c\): use its names"):
        numbered_as(data, ["a", "b", "c"], "key")


def test_names_are_no_formulae(tmp_path: Path) -> None:
    figure = worst_images_figure(np.zeros((1, 8, 8, 3), np.uint8), [("$_9 <b>", r"$\frac{$")], [1.0], "$x")
    save_png(figure, tmp_path / "picture.png")


def test_what_cannot_be_evaluated_is_refused(
    store: LocalStore, configs: list[TrainConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option = ["--store", str(store.path)]
    few, small = write_images(tmp_path / "few", 3), write_images(tmp_path / "small", 10, side=16)
    assert "few has 3 classes, and the network of" in refused(
        ["evaluate", SWEEP, "--data", str(few), *option], capsys
    )
    assert "are 16x16, and " in refused(["evaluate", SWEEP, "--data", str(small), *option], capsys)
    gone = dataclasses.replace(store.manifest(SWEEP), name="gone", data=str(tmp_path / "away"))
    store.write_manifest(gone)
    assert "are no longer in" in refused(["evaluate", "gone", *option], capsys)
    store.write_manifest(dataclasses.replace(gone, data=str(write_images(tmp_path / "other", 10))))
    assert "holds other images than" in refused(["evaluate", "gone", *option], capsys)
    store.delete_sweep("gone")
    unfinished = ["evaluate", SWEEP, configs[2].trial_key, *option]
    assert f"no trial '{configs[2].trial_key}' in the sweep" in refused(unfinished, capsys)


def test_weights_that_are_not_there_are_refused(
    store: LocalStore, configs: list[TrainConfig], best: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    option, path = ["--to", str(tmp_path / "copy"), "--store", str(store.path)], store.trial_folder(best) / WEIGHTS
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1])
        error = refused(["weights", SWEEP, *option], capsys)
        assert f"{path} is damaged" in error
        assert "--repair" in error
        path.unlink()
        other = next(config.trial_key for config in configs[:2] if config.trial_key != best)
        error = refused(["weights", SWEEP, best[:6], *option], capsys)
        assert f"the weights of {best} are not kept: those of {other} are; " in error
        assert f"`retry {best}`" in error
    finally:
        path.write_bytes(content)
    assert not (tmp_path / "copy").exists()
    assert "is a folder: give a file in it" in refused(["weights", SWEEP, "--to", str(tmp_path)], capsys)
    assert "there is no folder" in refused(["weights", SWEEP, "--to", str(tmp_path / "a" / "b")], capsys)
    assert "is a URI" in refused(["weights", SWEEP, "--to", "s3://bucket/file"], capsys)
    store.write_manifest(make_manifest([configs[2]], "new"))
    assert "new has no completed trial yet" in refused(["weights", "new", *option], capsys)
    store.delete_sweep("new")


def test_many_classes_and_losses_that_are_not_finite() -> None:
    labels = np.arange(30)
    evaluation = Evaluation(
        sweep="mine",
        trial_key="key",
        dataset="many",
        class_names=[f"class {number}" for number in range(30)],
        images=np.zeros((30, 8, 8, 3), np.uint8),
        labels=labels,
        predicted=np.where(labels < 2, 7, labels),
        losses=np.where(labels == 5, np.nan, labels).astype(np.float32),
        loss=float("nan"),
        precision="fp32",
        recorded_error_percent=50.0,
    )
    assert evaluation.worst[:2] == [5, 29]
    text = evaluation_text(evaluation)
    assert "6.67 % (2 of 30, recorded 50.00 %)" in text
    assert text.endswith("      1  class 0 taken for class 7\n      1  class 1 taken for class 7")
    found = json.loads(evaluation_json(evaluation, "here"), parse_constant=pytest.fail)
    assert (found["loss"], found["worst"][0]["loss"], found["picture"]) == (None, None, "here")
