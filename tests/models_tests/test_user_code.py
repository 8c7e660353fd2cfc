"""The sources of own models and losses: loaded by fingerprint, errors with the file's own line."""

import pickle
import sys

import pytest

from models.user_code import (
    MODULE_PREFIX,
    UserCode,
    UserCodeError,
    forget_executed,
    load,
    one_line_of,
    provide,
    without_folder,
)

SOURCE = """import dataclasses

@dataclasses.dataclass
class Settings:
    width: int = 3

def broken(x):
    return x / 0
"""
CODE = UserCode("my_net.py:Settings", SOURCE)


def test_loaded_once_until_forgotten_and_its_objects_can_be_pickled() -> None:
    provide([CODE])
    made = load("my_net.py:Settings", CODE.fingerprint)(width=5)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 (our own)
    first = load("my_net.py:broken", CODE.fingerprint)
    assert load("my_net.py:broken", CODE.fingerprint) is first
    forget_executed()
    made = load("my_net.py:Settings", CODE.fingerprint)(width=5)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 (our own)
    assert load("my_net.py:broken", CODE.fingerprint).__module__ != first.__module__
    assert first.__module__ not in sys.modules


def test_error_names_the_line_of_the_file() -> None:
    provide([CODE])
    with pytest.raises(ZeroDivisionError) as caught:
        load("my_net.py:broken", CODE.fingerprint)(1)
    assert one_line_of(caught.value, "my_net.py:broken") == "my_net.py:8: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "import math\nimport no_such_package_x\n",
            "my_net.py:2: ModuleNotFoundError: .* only the file",
        ),
        ("raise SystemExit(3)\n", "my_net.py:1: SystemExit: 3"),
        ("x = (\n", r"my_net.py:1: SyntaxError: '\(' was never closed"),
        ("Net = 3\n", "my_net.py has no class or function 'Net'"),
    ],
)
def test_source_that_cannot_be_executed(source: str, told: str) -> None:
    code = UserCode("my_net.py:Net", source)
    provide([code])
    before = set(sys.modules)
    with pytest.raises(UserCodeError, match=told) as caught:
        load(code.reference, code.fingerprint)
    assert "\n" not in str(caught.value)
    added = [name for name in sys.modules.keys() - before if name.startswith(MODULE_PREFIX)]
    assert not added or source.startswith("Net")


def test_source_that_nobody_provided() -> None:
    with pytest.raises(UserCodeError, match=r"the source of my_net.py:Net \(00\) is not here"):
        load("my_net.py:Net", "00")


def test_importable_module_must_be_the_planned_one() -> None:
    assert load("models.names:display_name", None)("resnet_8") == "ResNet-8"
    with pytest.raises(UserCodeError, match=r"names.py is not the models.names that"):
        load("models.names:display_name", "0" * 16)


def test_reference_without_folder() -> None:
    assert without_folder("../nets/my_net.py:Net") == "my_net.py:Net"
    assert without_folder("package.module:Net") == "package.module:Net"
