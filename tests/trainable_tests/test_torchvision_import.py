"""torchvision, also in a build that does not match torch's."""

import subprocess
import sys
from pathlib import Path

from models.torchvision_import import import_torchvision
from trainable.data.cifar10 import cifar10_class

ROOT = Path(__file__).resolve().parents[2]


def test_it_can_be_imported_here() -> None:
    module = import_torchvision()
    assert module.__name__ == "torchvision"
    assert import_torchvision() is module
    assert cifar10_class().__name__ == "CIFAR10"


def test_a_build_without_its_operators_is_mended_also_for_an_own_model(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torchvision import _registrations\nMENDED = True\n")
    (package / "_registrations.py").write_text(
        "import torch\n@torch.library.register_fake('torchvision::nms')\ndef _(dets, scores, threshold): ...\n"
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from models.torchvision_import import import_torchvision\n"
        "from models.own_model import _named\n"
        "from models.user_code import UserCode, provide\n"
        "code = UserCode('net.py:Net', 'import torchvision\\ndef Net(): return torchvision.MENDED')\n"
        "provide([code])\n"
        "assert _named(code.reference, code.fingerprint)() and import_torchvision().MENDED"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


def test_another_fault_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('another fault')\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from models.torchvision_import import import_torchvision\n"
        "import_torchvision()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "another fault" in answer.stderr
