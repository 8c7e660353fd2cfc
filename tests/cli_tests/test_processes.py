"""Processes that lack something: a standard stream, UTF-8, a home folder, their own packages."""

import io
import logging
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

import tune_main
from sweep.observers.live_view import make_console
from tests.conftest import ROOT
from tests.trainable_tests.encoded_images import ENCODED_SOURCES, EncodedSource, rows
from trainable.cache_folder import NO_HOME, cache_folder
from trainable.data.sources import load_dataset

PROGRAM = ROOT / "tune_main.py"
CLOSED = "batchscape: Bad file descriptor: standard output\n"
SPACE = "# Größe\ngrid: {lr: [0.1, 0.2]}\ndefaults: {dataset: digits}\n"
NOTEBOOK = (
    f"import sys; sys.path.append({str(ROOT)!r}); import tune_main; print(tune_main.main(['spaces', '--help']))"
)


@pytest.mark.parametrize(
    ("command", "exit_code", "errors"),
    [
        ("spaces >&-", 2, CLOSED),
        ("spaces >&- <&-", 2, CLOSED),
        ("nonsense >&- 2>&-", 2, ""),
        ("nonsense 2>&-", 2, ""),
        ("delete nonsense <&-", 2, None),
    ],
)
def test_closed_streams(tmp_path: Path, command: str, exit_code: int, errors: str | None) -> None:
    line = f"exec {sys.executable} {PROGRAM} {command}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (exit_code, "")
    if errors is None:
        assert done.stderr.startswith("batchscape: no sweep 'nonsense'")
    else:
        assert done.stderr == errors


def test_a_locale_without_utf_8(tmp_path: Path) -> None:
    (tmp_path / "spä.yaml").write_text(SPACE, encoding="utf-8")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, PROGRAM, "spaces", "spä.yaml"],
        cwd=tmp_path,
        env=os.environ | ascii_only,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 trials" in done.stdout


def test_what_the_output_cannot_encode_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, "ascii"))
    assert tune_main.main(["spaces"]) == 0
    make_console().print("é …")
    assert output.getvalue().endswith(b"\\xe9 \\u2026\n")


@pytest.mark.parametrize("source", ENCODED_SOURCES.values(), ids=ENCODED_SOURCES)
def test_data_below_a_folder_whose_name_is_no_utf_8(tmp_path: Path, source: EncodedSource) -> None:
    source.write(tmp_path / "images", rows([0, 1]), rows([1, 0]))
    (tmp_path / "\udcff").mkdir()
    folder = (tmp_path / "images").rename(tmp_path / "\udcff" / "images")
    assert len(load_dataset("", folder).train_labels) == 2


def test_a_uri_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status", "x", "--store", "s3://b/\udcc3"], ["run", "quickstart", "--address", "\udcc3:1"]):
        assert tune_main.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    for name in ("HOME", "BATCHSCAPE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache_folder() == NO_HOME / ".cache" / "batchscape"
    assert tune_main.main(["spaces"]) == 0
    assert os.environ["HOME"] == str(NO_HOME)
    assert not logging.getLogger("matplotlib").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize(
    ("xdg", "folder"), [("", "/home/me/.cache"), ("relative", "/home/me/.cache"), ("/caches", "/caches")]
)
def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, xdg: str, folder: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("BATCHSCAPE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    assert cache_folder() == Path(folder) / "batchscape"


def test_a_path_without_the_folder_of_the_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, "--version"], cwd=tmp_path, env=os.environ | {"PYTHONSAFEPATH": "1"}, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["models", "cli"])
def test_the_users_own_packages(tmp_path: Path, name: str) -> None:
    """A notebook's folder stands before ours on the path; folders of data are no packages, and do not matter."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "data.csv").touch()

    def in_a_notebook() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", NOTEBOOK], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    harmless = in_a_notebook()
    assert (harmless.stdout.splitlines()[-1], harmless.stderr) == ("0", "")
    (folder / "__init__.py").touch()
    refused = in_a_notebook()
    assert refused.stdout == "2\n"
    assert refused.stderr.startswith(f"batchscape: {folder}/__init__.py stands before Batchscape's own package")
    assert refused.stderr.count("\n") == 1
