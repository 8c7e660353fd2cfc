"""Own models and losses in a space: found and checked without being executed, and identified by their content."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.user_code import UserCode
from search_spaces.expansion import expand, parse_config, parse_overrides
from search_spaces.loader import load_space
from search_spaces.own_code import missing_import
from trainable.config import TrainConfig
from trainable.errors import UserError

MARKER = "executed"
NET = f"""import torch
open({MARKER!r}, "w").close()
from timm import create_model

class SmallCNN(torch.nn.Module):
    def __init__(self, num_classes, width=32, *, p=0.1):
        super().__init__()

class Needy(torch.nn.Module):
    def __init__(self, num_classes, depth):
        super().__init__()

def anything(**kwargs):
    return SmallCNN(**kwargs)

Net = 3
"""
LOSS = """class Focal: pass
def focal(logits, labels, gamma=2.0): return logits.sum()
def unary(logits): return logits.sum()
smooth = Focal()
"""
SPACE = "defaults: {model: my_net.py:SmallCNN, epochs: 2}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a space's files; commands run in another one."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "nets" / "my_net.py").write_text(NET)
    (tmp_path / "nets" / "my_loss.py").write_text(LOSS)
    yield tmp_path / "nets"
    assert not list(tmp_path.rglob(MARKER))


def configs(folder: Path, text: str, *settings: str, scale: str | None = None) -> list[TrainConfig]:
    (folder / "my.yaml").write_text(text)
    loaded = load_space(str(folder / "my.yaml"))
    expansion = expand(loaded, parse_overrides(settings), scale)
    trials = expansion.search.corners if expansion.search else expansion.trials
    return [trial.config for trial in trials]


def refusal(folder: Path, text: str, *settings: str) -> str:
    with pytest.raises(UserError) as caught:
        configs(folder, text, *settings)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


def test_arguments_are_fixed_swept_and_set(folder: Path) -> None:
    text = SPACE + "grid:\n  model_args: {width: [8, 16]}\n  model_args.p: [0.5]\n"
    assert [config.model_arguments() for config in configs(folder, text)] == [
        {"width": 8, "p": 0.5},
        {"width": 16, "p": 0.5},
    ]
    words = configs(folder, "rows: [{model: my_net.py:anything, model_args: {a: [x, y], b: null}}]\n")
    assert words[0].model_arguments() == {"a": ["x", "y"], "b": None}
    [config] = configs(folder, text, "model_args.width=3", "loss=../nets/my_loss.py:focal")
    assert config.model_arguments() == {"width": 3, "p": 0.5}
    assert (config.model, config.loss) == ("my_net.py:SmallCNN", "my_loss.py:focal")
    assert config.model_fingerprint != config.loss_fingerprint


def test_models_are_swept_over_and_arguments_derived(folder: Path) -> None:
    text = "rows: [{model: resnet_8}, {model: my_net.py:SmallCNN, model_args: {width: 4}}]\nderive: {%s}\n"
    (folder / "b.yaml").write_text(text % "model_args.p: 0.1 if model == 'resnet_8' else 0.5")
    assert "belong to a model of your own" in refusal(folder, text % "model_args.p: lr / 2")
    derived = configs(folder, SPACE + "rows: [{model_args: {width: 4}}]\nderive: {lr: 0.8 / model_args.width}\n")
    assert derived[0].lr == 0.2
    both = configs(folder, "grid: {model: [resnet_8, my_net.py:SmallCNN, my_net.py:anything]}\n")
    assert [config.model_fingerprint is None for config in both] == [True, False, False]


def test_arguments_are_searched_and_scaled(folder: Path) -> None:
    text = (
        "search: {algorithm: random, num_trials: 4}\ndefaults: {epochs: 2}\nparameters:\n"
        "  model: {values: [resnet_8, my_net.py:SmallCNN]}\n"
        "  model_args.width: {min: 4, max: 9, when: \"model == 'my_net.py:SmallCNN'\"}\n"
    )
    assert [config.model_arguments() for config in configs(folder, text)] == [{}, {"width": 4}, {"width": 9}]
    text = SPACE + "grid: {model_args.width: [8]}\nscales: {smoke: {set: {model_args: {width: 2}}}}\n"
    assert [config.model_arguments() for config in configs(folder, text, scale="smoke")] == [{"width": 2}]
    text = SPACE + "rows: [{}]\nscales: {smoke: {set: {model: resnet_8}}}\n"
    assert [config.model_fingerprint for config in configs(folder, text, scale="smoke")] == [None]


def test_the_content_is_the_identity_and_not_the_folder(folder: Path, tmp_path: Path) -> None:
    [before] = configs(folder, SPACE + "rows: [{}]\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "my_net.py").write_bytes(NET.replace("\n", "\r\n").encode("utf-8-sig"))  # as another system saves it
    [moved] = configs(other, SPACE + "rows: [{}]\n")
    (folder / "link.yaml").symlink_to(other / "my_net.py")
    [from_outside] = configs(tmp_path, f"rows: [{{model: {other}/my_net.py:SmallCNN, epochs: 2}}]\n")
    assert before.trial_key == moved.trial_key == from_outside.trial_key
    (folder / "my_net.py").write_text(NET + "# edited\n")
    [edited] = configs(folder, SPACE + "rows: [{}]\n")
    assert edited.trial_key != before.trial_key
    assert TrainConfig.from_dict(edited.to_dict()) == edited


def test_train_takes_a_path_from_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    config = parse_config("my_net.py:SmallCNN", ["model_args={width: 8}"])
    assert config.model_fingerprint is not None
    with pytest.raises(UserError, match=r"^train: there is no file my_nett\.py: did you mean 'my_net\.py'\?$"):
        parse_config("my_nett.py:SmallCNN", [])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model=../nets/my_ne.py:SmallCNN", "there is no file ../nets/my_ne.py: did you mean 'my_net.py'?"),
        ("model=../nets/my_net:SmallCNN", "there is no file ../nets/my_net: did you mean '../nets/my_net.py'?"),
        ("model=../nets:X", "../nets is a folder: name a file in it, FILE.py:NAME"),
        ("model=../nets/my.yaml:X", "../nets/my.yaml does not end in .py"),
        (
            "model=../nets/my_net.py",
            "model '../nets/my_net.py' names a file: write ../nets/my_net.py:CLASS, where it defines "
            "SmallCNN, Needy, anything",
        ),
        ("model=../nets/my_net.py:SmalCNN", "../nets/my_net.py has no class or function 'SmalCNN': did you mean"),
        ("model=../nets/my_net.py:Net", "../nets/my_net.py:16: Net is no class or function: did you mean 'Needy'?"),
        ("model=../nets/my_net.py:Needy", "Needy (../nets/my_net.py:9) needs the argument 'depth': give model_args"),
        ("model=:X", "model ':X': write FILE.py:CLASS, for example my_net.py:SmallCNN"),
        ("model=no_such_package.x:X", "no module 'no_such_package' can be imported: install it, or name a file"),
        ("model=_socket:X", "the module '_socket' has no Python source: name a file, FILE.py:NAME"),
        ("model_args.widht=3", "SmallCNN (my_net.py:5) takes no argument 'widht': did you mean 'width'?"),
        ("model_args.num_classes=3", "model_args.num_classes is given by the program: leave it out"),
        ("model_args={width: {a: 1}}", "model_args.width must be a number, a word or a list of them"),
        ("model_args=3", "model_args must be a mapping like {width: 64}, got 3"),
        ("model=resnet_8", "model_args belong to a model of your own, not to 'resnet_8'"),
        ("loss=focal", "loss must be FILE.py:NAME or package.module:NAME, got 'focal'"),
        ("loss=../nets/my_loss.py", "loss '../nets/my_loss.py' names a file: write ../nets/my_loss.py:FUNCTION"),
        ("label_smoothing=0.1", "label_smoothing belongs to the cross entropy: leave it out with a `loss`"),
        ("loss=../nets/my_loss.py:unary", "../nets/my_loss.py:3: unary must take two arguments"),
        ("loss=../nets/my_loss.py:fokal", "../nets/my_loss.py has no class or function 'fokal': did you mean"),
    ],
)
def test_wrong_names_are_refused_in_one_line(folder: Path, setting: str, message: str) -> None:
    text = "defaults: {model: my_net.py:SmallCNN, model_args: {width: 8}}\nrows: [{}]\n"
    text = text.replace("8}}", "8}, loss: my_loss.py:focal}")
    text = text.replace(", model_args: {width: 8}", "") if "model=../" in setting or "model=:" in setting else text
    assert refusal(folder, text, setting).partition(": ")[2].removeprefix("defaults.model_args: ").startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"class Net:\n  x = (\n", "my_net.py:2: is not valid Python: '(' was never closed"),
        (b"# \xff\nclass SmallCNN: pass\n", "my_net.py:1: is not text in UTF-8"),
        (b"#" * 10**6 + b"\n", "my_net.py has 1,000,001 bytes: at most 1,000,000"),
        (b"x\0", "my_net.py:1: is not valid Python"),
        (b"", "my_net.py has no class or function 'SmallCNN': it defines none"),
        (b"from torch import *\n", None),
        (b"SmallCNN = make()\n", None),
        (b"try:\n    from a import SmallCNN\nexcept ImportError:\n    SmallCNN = None\n", "my_net.py:4: SmallCNN is"),
    ],
)
def test_files_are_checked_with_their_line(folder: Path, content: bytes, message: str | None) -> None:
    (folder / "my_net.py").write_bytes(content)
    if message is None:
        assert len(configs(folder, SPACE + "rows: [{}]\n")) == 1
    else:
        assert refusal(folder, SPACE + "rows: [{}]\n").startswith(f"my.yaml:1: defaults.model: {message}")


def test_special_files_are_refused_without_waiting(folder: Path) -> None:
    (folder / "my_net.py").unlink()
    os.mkfifo(folder / "my_net.py")
    assert refusal(folder, SPACE + "rows: [{}]\n").endswith("my_net.py is not a regular file")


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "my_net.py").write_text(NET + "# other\n")
    text = "grid: {model: [my_net.py:SmallCNN, b/my_net.py:SmallCNN]}\n"
    assert "b/my_net.py: another file of this space is called my_net.py: rename one of them" in refusal(folder, text)


def test_importable_module_is_found_without_being_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "package"
    package.mkdir()
    (package / "__init__.py").write_text(NET)
    (package / "nets.py").write_text(NET)
    monkeypatch.syspath_prepend(folder)
    [config] = configs(folder, "rows: [{model: package.nets:SmallCNN}]\n")
    assert config.model == "package.nets:SmallCNN"


@pytest.mark.parametrize("model", ["models:Net", "models.net:Net", "results.no.such:Net"])
def test_a_package_of_ours_is_no_package_of_the_user(folder: Path, model: str) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "net.py").write_text(NET)
    message = (
        f"{model.partition('.')[0].partition(':')[0]} is a package of Batchscape: rename yours, or name the file, "
    )
    assert message in refusal(folder, f"rows: [{{model: '{model}'}}]\n")


def test_a_package_beside_the_space_is_not_searched(folder: Path) -> None:
    (folder / "pack").mkdir()
    (folder / "pack" / "net.py").write_text(NET)
    message = (
        "no module 'pack' can be imported: did you mean pack/net.py:SmallCNN? The folder of a space is not searched"
    )
    assert message in refusal(folder, "rows: [{model: pack.net:SmallCNN}]\n")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import torch, os.path\nfrom no_such_x.y import z\n",
            "net.py:2: no module 'no_such_x.y' can be imported here",
        ),
        (
            "from .helper import act\n",
            "net.py:1: no module '.helper' can be imported here: install it, or put its code",
        ),
        ("try:\n    import no_such_x\nexcept ImportError:\n    pass\ndef f():\n    import no_such_x\n", None),
        ("import sys\nsys.path.insert(0, '/x')\nimport no_such_x\n", None),
    ],
)
def test_imports_are_looked_for_before_a_run(source: str, told: str | None) -> None:
    missing = missing_import([UserCode("net.py:Net", source)])
    assert missing is None if told is None else (missing or "").startswith(told)
