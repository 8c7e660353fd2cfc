"""Models and losses that users bring as Python source: `my_net.py:SmallCNN`, or an importable `package.module:Name`.

The source is text until `load` executes it, so that a space can be checked, planned and reported without running it.
This module needs no torch.
"""

import dis
import hashlib
import importlib
import itertools
import linecache
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULE_PREFIX = "batchscape_user_code_"
"""Beginning of the names under which executed sources stand in `sys.modules`; a number follows, which is never used
twice, since torch.compile keeps the modules that it knows by name."""
SIGNAL_HANDLER = "sigterm_handler"
"""Function of Ray's workers that leaves by SystemExit."""
_provided: dict[str, "UserCode"] = {}
"""Sources that `load` can execute in this process, by fingerprint."""
_executed: dict[str, types.ModuleType] = {}
"""Modules of the sources that were executed since `forget_executed`, by fingerprint."""
_numbers = itertools.count(1)


class UserCodeError(Exception):
    """A user's source cannot be executed, or lacks what was asked for. The message is one line.

    It is no RuntimeError: contextlib takes one that is raised from a StopIteration for a mistake of its own.
    """


@dataclass(frozen=True, slots=True)
class UserCode:
    """The source that a reference names."""

    reference: str
    """`FILE.py:NAME` without a folder, or `package.module:NAME`."""
    source: str
    """Text of the file."""

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the source in UTF-8."""
        return hashlib.sha256(self.source.encode()).hexdigest()[:16]


def is_reference(name: str) -> bool:
    """Return whether a name stands for a user's code and not for something built in."""
    return ":" in name


def split_reference(reference: str) -> tuple[str, str]:
    """Return the file or the module of a reference, and the name in it."""
    origin, _, name = reference.rpartition(":")
    return origin, name


def is_file(origin: str) -> bool:
    """Return whether the first part of a reference is a file and not a module."""
    return origin.endswith(".py") or "/" in origin


def without_folder(reference: str) -> str:
    """Return a reference whose file has no folder, since only the content of a file identifies it."""
    origin, name = split_reference(reference)
    return f"{Path(origin).name}:{name}" if is_file(origin) else reference


def provide(codes: Iterable[UserCode]) -> None:
    """Make sources known to `load` in this process."""
    _provided.update({code.fingerprint: code for code in codes})


def provided() -> list[UserCode]:
    """Return the sources that this process knows, for others to be given them."""
    return list(_provided.values())


def forget_executed() -> None:
    """Have `load` execute sources again, so that no training finds what another left in their global variables."""
    for module in _executed.values():
        sys.modules.pop(module.__name__, None)
    _executed.clear()


def load(reference: str, fingerprint: str | None) -> Callable[..., Any]:
    """Return the object that a reference names. A file's source is executed once until `forget_executed`.

    Raises:
        UserCodeError: the source is not here or is another one, raises, or has no such name.
    """
    origin, name = split_reference(reference)
    module = _execute(reference, fingerprint) if is_file(origin) else _imported(reference, fingerprint)
    found = getattr(module, name, None)
    if not callable(found):
        raise UserCodeError(f"{origin} has no class or function {name!r}")
    loaded: Callable[..., Any] = found
    return loaded


def one_line_of(error: BaseException, reference: str) -> str:
    """Return an error with the last line of the user's code that it passed: `my_net.py:12: RuntimeError: ...`."""
    origin, _ = split_reference(reference)
    file = Path(origin).name if is_file(origin) else getattr(sys.modules.get(origin), "__file__", None)
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == file else None
    traceback = None if line else error.__traceback__
    while traceback is not None:
        line = traceback.tb_lineno if traceback.tb_frame.f_code.co_filename == file else line
        traceback = traceback.tb_next
    where = "" if line is None else f"{Path(str(file)).name}:{line}: "
    text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    return f"{where}{type(error).__name__}" + (f": {text}" if text else "")


def is_of_user(error: BaseException) -> bool:
    """Return whether the user's code raised an error itself, and not a signal that stops the process meanwhile."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
        if isinstance(error, SystemExit) and last.tb_frame.f_code.co_name == SIGNAL_HANDLER:
            return False
    is_raised = last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return is_raised or not isinstance(error, KeyboardInterrupt)


def _execute(reference: str, fingerprint: str | None) -> types.ModuleType:
    """Return the module that a provided source makes."""
    if fingerprint in _executed:
        return _executed[fingerprint]
    if fingerprint not in _provided:
        raise UserCodeError(f"the source of {reference} ({fingerprint}) is not here")
    source = _provided[fingerprint].source
    file = Path(split_reference(reference)[0]).name
    module = types.ModuleType(f"{MODULE_PREFIX}{next(_numbers)}")
    module.__file__ = file
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # for tracebacks
    sys.modules[module.__name__] = module  # dataclasses and pickle look there
    try:
        exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what the user asked for)
    except BaseException as error:
        del sys.modules[module.__name__]
        if not is_of_user(error):
            raise
        raise UserCodeError(_cannot_import(error, reference)) from error
    _executed[fingerprint] = module
    return module


def _imported(reference: str, fingerprint: str | None) -> types.ModuleType:
    """Import a module; its file must be the one that the trial was planned with."""
    origin, _ = split_reference(reference)
    try:
        module = importlib.import_module(origin)
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
    except BaseException as error:
        if not is_of_user(error):
            raise
        raise UserCodeError(_cannot_import(error, reference)) from error
    if fingerprint is not None and UserCode(reference, source).fingerprint != fingerprint:
        raise UserCodeError(f"{module.__file__} is not the {origin} that the trial was planned with")
    return module


def _cannot_import(error: BaseException, reference: str) -> str:
    told = one_line_of(error, reference)
    if not isinstance(error, ModuleNotFoundError):
        return told
    return f"{told}: install it on every machine that trains (of your own code only the file itself travels)"
