"""The command `run` in a process of its own, for those who call it from Python."""

import codecs
import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search_spaces.loader import load_space
from sweep.exit_codes import ExitCode
from trainable.errors import UserError
from trainable.limited_yaml import dump_yaml
from trainable.sweep_name import sweep_name

CODE = """\
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # if the parent dies, stop with checkpoints written
sys.path.insert(0, sys.argv.pop(1))
import tune_main
sys.exit(tune_main.main())
"""
COMMAND = [sys.executable, "-P", "-c", CODE, str(Path(__file__).resolve().parent.parent)]
"""Our command line, whatever packages lie in the current folder."""
TERMINAL = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Variables that make output look as in a terminal. Jupyter sets one, and would show each state of a live table."""
CHUNK_BYTES = 65536
ERROR = "batchscape: "
"""Beginning of the line with which a command refuses or ends."""
FAILED = "failed "
"""Beginning of the line about a failed trial."""


@dataclasses.dataclass(frozen=True, slots=True)
class End:
    """How a child process ended."""

    code: int
    """Its exit code; negative for the signal that killed it."""
    errors: list[str]
    """The lines of its standard error."""

    @property
    def is_interrupted(self) -> bool:
        """Whether it stopped at an interrupt."""
        return self.code == ExitCode.INTERRUPTED

    @property
    def is_refused(self) -> bool:
        """Whether it refused its arguments, a file or the machine."""
        return self.code == ExitCode.MISTAKE

    @property
    def reason(self) -> str:
        """One line about a process that did not end well."""
        if self.code < 0:
            return f"the run was ended by {signal.Signals(-self.code).name}: the same call resumes"
        last = [line.removeprefix(ERROR) for line in self.errors if line.startswith(ERROR)]
        failed = [line.removeprefix(FAILED) for line in self.errors if line.startswith(FAILED)]
        if failed and not last:
            more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
            return f"a trial failed: {failed[0]}{more}; `load` gives the others"
        return next(filter(None, reversed(last or self.errors)), "trials are left")


def run_child(arguments: list[str]) -> End:
    """Run a command, print what it prints except its error, and pass interrupts on to it."""
    is_ours = sys.stdout is not None and sys.stdout is sys.__stdout__  # not that of a notebook or of a test
    shown_as = {} if is_ours else dict.fromkeys(TERMINAL, "")
    errors = [""]
    with subprocess.Popen(  # noqa: S603 (our own program)
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=None if is_ours else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | shown_as,
        process_group=0,  # a terminal's Ctrl-C reaches it once, through us
    ) as child:
        try:
            is_interrupted = _copy_output(child, errors)
            code = child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
    return End(ExitCode.INTERRUPTED if is_interrupted else code, errors)


def _copy_output(child: "subprocess.Popen[bytes]", errors: list[str]) -> bool:
    """Print what a process prints until it ends; return whether it was interrupted.

    Args:
        child: the process.
        errors: gets the lines of its standard error. The last of them is not yet complete.
    """

    def on_output(text: str) -> None:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()

    def on_errors(text: str) -> None:
        lines = (errors.pop() + text).split("\n")
        errors.extend(lines)
        for line in lines[:-1]:
            if not line.startswith(ERROR) and sys.stderr is not None:
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()

    decoder = codecs.getincrementaldecoder("utf-8")
    is_interrupted = False
    with selectors.DefaultSelector() as selector:
        for pipe, write in ((child.stdout, on_output), (child.stderr, on_errors)):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, (decoder("replace"), write))
        while selector.get_map():
            try:
                for key, _ in selector.select():
                    decode, write = key.data
                    chunk = os.read(key.fd, CHUNK_BYTES)
                    write(decode.decode(chunk, final=not chunk))
                    if not chunk:
                        selector.unregister(key.fileobj)
            except KeyboardInterrupt:
                is_interrupted = True
                child.send_signal(signal.SIGINT)
    return is_interrupted


def arguments_of(options: Mapping[str, object], overrides: Mapping[str, object]) -> list[str]:
    """Return the options of a command line, and a --set for each override.

    Raises:
        UserError: the overrides are no mapping, or a value is none of JSON.
    """
    if not isinstance(overrides, Mapping):
        raise UserError(f"set={overrides!r} must be a dict of training fields, for example set={{'lr': 0.1}}")
    return [*_options(options), *(f"--set={key}={json.dumps(plain(value))}" for key, value in overrides.items())]


def _options(options: Mapping[str, object]) -> Iterator[str]:
    for name, value in options.items():
        if value is True:
            yield f"--{name.replace('_', '-')}"
        elif value is not None and value is not False:
            yield f"--{name.replace('_', '-')}={value}"


def plain(value: object) -> Any:  # noqa: ANN401 (whatever JSON can hold)
    """Return a value in the types of JSON: also NumPy's numbers and arrays, ranges, and paths.

    Raises:
        UserError: it has none.
    """

    def other(item: Any) -> object:  # noqa: ANN401 (whatever the user wrote)
        if isinstance(item, os.PathLike):
            return os.fspath(item)
        if isinstance(item, Mapping):
            return dict(item)
        if hasattr(item, "tolist"):
            return item.tolist()
        if isinstance(item, range):
            return list(item)
        raise UserError(f"{item!r} cannot be in a space: use numbers, texts, lists and dicts")

    return json.loads(json.dumps(value, default=other))


@contextlib.contextmanager
def space_file(space: Mapping[str, object]) -> Iterator[str]:
    """Give the path of a YAML file with this space, which exists inside this context.

    Raises:
        UserError: it holds a value that YAML cannot.
    """
    text = dump_yaml(plain(space))
    beside = Path.cwd() if ".py:" in text else None  # a file that the space names is found beside it
    with tempfile.NamedTemporaryFile("w", prefix=".space-", suffix=".yaml", dir=beside, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        yield file.name


def default_name(space: str, scale: str | None) -> str:
    """Return the name that `run` gives a sweep of this space.

    Raises:
        UserError: the space is wrong.
    """
    return sweep_name(load_space(space).name, scale)
