"""Where a number comes from."""

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainable import provenance


@pytest.fixture(autouse=True)
def uncached() -> Iterator[None]:
    for function in (provenance.source_hash, provenance.git_commit):
        function.cache_clear()
    yield
    for function in (provenance.source_hash, provenance.git_commit):
        function.cache_clear()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the training source in place of the checkout."""
    for package in provenance.TRAINING_SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(provenance.ROOT / package, tmp_path / package, ignore=ignored)
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    return tmp_path


def current_hash() -> str:
    provenance.source_hash.cache_clear()
    return provenance.source_hash()


def test_a_copy_has_the_same_hash(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = current_hash()
    monkeypatch.undo()
    assert current_hash() == copied
    assert len(copied) == 12


@pytest.mark.parametrize("name", ["models/layers.py", "trainable/engine.py", "trainable/data/cifar10.py"])
def test_hash_changes_with_any_training_source(copy: Path, name: str) -> None:
    before = current_hash()
    path = copy / name
    path.write_text(path.read_text() + "\n")
    assert current_hash() != before


def test_hash_changes_with_a_name_and_with_a_new_file(copy: Path) -> None:
    hashes = [current_hash()]
    (copy / "trainable" / "new.py").write_text("")
    hashes.append(current_hash())
    (copy / "trainable" / "new.py").rename(copy / "trainable" / "newer.py")
    hashes.append(current_hash())
    assert len(set(hashes)) == 3


def test_hash_knows_nothing_of_other_files(copy: Path) -> None:
    before = current_hash()
    (copy / "README.md").write_text("text")
    (copy / "results").mkdir()
    (copy / "results" / "module.py").write_text("x = 1")
    (copy / "trainable" / "notes.txt").write_text("text")
    assert current_hash() == before


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_commit_says_whether_files_differ(copy: Path) -> None:
    git(copy, "init", "-q")
    git(copy, "add", ".")
    git(copy, "commit", "-qm", "first")
    clean = provenance.git_commit()
    assert git(copy, "rev-parse", "HEAD").startswith(clean)
    assert len(clean) == 12
    (copy / "models" / "layers.py").write_text("")
    provenance.git_commit.cache_clear()
    assert provenance.git_commit() == f"{clean}-dirty"


def test_outside_git_there_is_no_commit(copy: Path) -> None:
    assert provenance.git_commit() == ""
    assert provenance.code_identity() == f"/{current_hash()}"


def test_versions_are_those_installed() -> None:
    import torch

    versions = provenance.versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == importlib.metadata.version("torch")
    assert torch.__version__.startswith(versions["torch"])


def test_provenance_is_free_of_torch() -> None:
    program = "import sys, trainable.provenance; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=provenance.ROOT, check=False).returncode == 0


def test_gpus_are_named_by_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "NVIDIA_GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert provenance.gpu_names() == []
    (tmp_path / "0000:04:00.0").mkdir()
    (tmp_path / "0000:04:00.0" / "information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 1\n")
    assert provenance.gpu_names() == ["NVIDIA H100 80GB HBM3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert provenance.gpu_names() == []


@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("-1", []),
        ("1", ["B"]),
        ("2,0", ["C", "A"]),
        ("0,-1,1", ["A"]),
        ("7", []),
        ("GPU-b1", ["B"]),
        ("GPU-b1,GPU-a", ["B", "A"]),
        ("MIG-12345", ["A"]),
        ("nonsense", []),
    ],
)
def test_gpus_are_those_that_cuda_may_use(
    visible: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "NVIDIA_GPUS", tmp_path)
    for number, name in enumerate("ABC"):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t {name}\nGPU UUID: \t GPU-{name.lower()}1-2\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert provenance.gpu_names() == names
