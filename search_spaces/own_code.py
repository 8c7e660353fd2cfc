"""Models and losses of the user's own in a space: their files are found, read and checked, but never executed."""

import ast
import importlib.util
import json
import os
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.names import name_in_yaml
from models.user_code import UserCode, is_file, is_reference, split_reference, without_folder
from search_spaces.yaml_source import KeyPath, YamlSource
from trainable.errors import FieldError, UserError
from trainable.field_checks import ARGUMENT_PREFIX, GIVEN_ARGUMENTS, arguments_text
from trainable.provenance import ROOT
from trainable.wording import listed, nearest, quoted

MAX_BYTES = 10**6
OWN_PACKAGES = ("cli", "models", "results", "search_spaces", "sweep", "trainable")
MAX_NAMES = 6
"""Largest number of names that a message lists."""
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
EXAMPLES = {"model": ("CLASS", "my_net.py:SmallCNN"), "loss": ("FUNCTION", "my_loss.py:focal")}


def dotted(content: Any, path: KeyPath, source: YamlSource) -> Any:  # noqa: ANN401 (whatever a YAML file holds)
    """Return part of a space with every `model_args: {width: 64}` written as `model_args.width: 64`.

    Names of models that are written as in tables, `ResNet-8`, become those of spaces. The lines of the new keys are
    entered into `source`.
    """
    if isinstance(content, list):
        return [dotted(part, (*path, index), source) for index, part in enumerate(content)]
    if not isinstance(content, dict):
        return name_in_yaml(content) if isinstance(content, str) and "model" in path else content
    written: dict[Any, Any] = {}
    for key, value in content.items():
        if key != "model_args" or not isinstance(value, dict | list):
            written[key] = dotted(value, (*path, key), source)
            continue
        if isinstance(value, list):
            raise UserError(f"{source.where((*path, key))}: give each argument a list: model_args.width: [32, 64]")
        for name, argument in value.items():
            new = f"{ARGUMENT_PREFIX}{name}"
            if new in content:
                raise UserError(f"{source.where((*path, new))}: is given twice: as {new} and in model_args")
            written[new] = argument
            for old in [old for old in source.lines if old[: len(path) + 2] == (*path, key, name)]:
                source.lines[*path, new, *old[len(path) + 2 :]] = source.lines[old]
    return written


@dataclass(frozen=True, slots=True)
class _Source:
    """A parsed file."""

    title: str
    """Name of the file or module, for messages."""
    text: str
    names: Mapping[str, ast.stmt]
    """What the file defines at its top level: name -> statement."""
    is_open: bool
    """Whether `from x import *` may define more."""


class OwnCode:
    """Finds the sources of the models and losses that a space or the command line names."""

    def __init__(self, folder: Path) -> None:
        """Start without sources.

        Args:
            folder: folder of the space; paths in the space are relative to it, those of --set to the current one.
        """
        self._folder = folder
        self._parsed: dict[tuple[Path, str], _Source] = {}
        self.sources: dict[str, UserCode] = {}
        """Fingerprint -> source of everything that was named so far."""

    def configured(self, values: Mapping[str, Any], from_options: Set[str]) -> dict[str, Any]:
        """Return values of training fields as TrainConfig takes them, with fingerprints and one `model_args`.

        Args:
            values: fields, and arguments of the model as `model_args.NAME`. A fingerprint that is given is kept.
            from_options: names of the fields that come from the command line.

        Raises:
            FieldError: a source cannot be found or read, or does not define what is named.
        """
        given = dict(values)
        arguments = dict(json.loads(arguments_text(given.get("model_args")) or "{}"))
        arguments |= {
            key.removeprefix(ARGUMENT_PREFIX): given.pop(key) for key in values if key.startswith(ARGUMENT_PREFIX)
        }
        given["model_args"] = arguments_text(arguments)
        for field in ("model", "loss"):
            reference = given.get(field)
            if not isinstance(reference, str) or given.get(f"{field}_fingerprint"):
                continue
            folder = Path() if field in from_options else self._folder
            if not is_reference(reference):
                self._check_plain(field, reference, folder)
                continue
            origin, name = split_reference(reference)
            try:
                source = self._source(field, origin, name, folder)
                _check_definition(field, source, name, arguments)
            except UserError as error:
                wrong = error.field if isinstance(error, FieldError) else field
                raise FieldError(wrong, str(error)) from None
            code = UserCode(without_folder(reference), source.text)
            self._check_distinct(field, code, origin)
            self.sources.setdefault(code.fingerprint, code)
            given |= {field: code.reference, f"{field}_fingerprint": code.fingerprint}
        return given

    def _check_plain(self, field: str, word: str, folder: Path) -> None:
        """Refuse the name of a file without the name of what is in it."""
        what, example = EXAMPLES[field]
        if not is_file(word):
            return
        names: list[str] = []
        if (folder / word).is_file():
            names = _callables(self._source(field, word, "", folder))
        found = f", where it defines {listed(names, MAX_NAMES)}" if names else f", for example {example}"
        raise FieldError(field, f"{field} {quoted(word)} names a file: write {word}:{what}{found}")

    def _source(self, field: str, origin: str, name: str, folder: Path) -> _Source:
        what, example = EXAMPLES[field]
        is_name = not name or name.isidentifier()
        if not origin or origin.endswith(":") or not origin.isprintable() or not is_name:
            raise UserError(f"{field} {quoted(f'{origin}:{name}')}: write FILE.py:{what}, for example {example}")
        if (folder, origin) not in self._parsed:
            at_home = os.path.expanduser(origin)  # noqa: PTH111 (Path's raises for an unknown user)
            path = folder / at_home if is_file(origin) else _module_file(origin, folder, name)
            self._parsed[folder, origin] = _parse(path, origin)
        return self._parsed[folder, origin]

    def _check_distinct(self, field: str, code: UserCode, origin: str) -> None:
        """Refuse two files of one name and different contents, since tables could not tell them apart."""
        mine, _ = split_reference(code.reference)
        for other in self.sources.values():
            if split_reference(other.reference)[0] == mine and other.fingerprint != code.fingerprint:
                raise FieldError(field, f"{origin}: another file of this space is called {mine}: rename one of them")


def _module_file(module: str, folder: Path, name: str) -> Path:
    """Return the file of an importable module; nothing is imported."""
    search: Any = None
    spec = None
    first, file = module.partition(".")[0], f"{module.replace('.', '/')}.py"
    for depth, part in enumerate(module.split("."), start=1):
        full = ".".join(module.split(".")[:depth])
        found = (finder.find_spec(full, search) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((each for each in found if each is not None), None) if part.isidentifier() else None
        if spec is None and (folder / module).exists():
            return folder / module  # a folder, or a file that is not Python
        if first in OWN_PACKAGES and (
            spec is None or first == module or not Path(str(spec.origin)).is_relative_to(ROOT)
        ):
            raise UserError(f"{first} is a package of Batchscape: rename yours, or name the file, {file}:{name}")
        if spec is None:
            meant = f": did you mean {file}:{name}? The folder of a space is not searched for modules"
            hint = meant if (folder / file).is_file() else ": install it, or name a file, FILE.py:NAME"
            raise UserError(f"no module {full!r} can be imported{hint}")
        search = spec.submodule_search_locations
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise UserError(f"the module {module!r} has no Python source: name a file, FILE.py:NAME")
    return Path(spec.origin)


def missing_import(codes: Iterable[UserCode]) -> str | None:
    """Return a line on the first import of the files that would fail on this machine; None if all would work.

    Nothing is imported. Imports in a function or a `try` are passed over, and files that change the search path.
    """
    for code in codes:
        file, _ = split_reference(code.reference)
        if not is_file(file) or "sys.path" in code.source:
            continue
        with warnings.catch_warnings(action="ignore"):
            statements = ast.parse(code.source).body
        for statement in statements:
            modules: list[str] = []
            if isinstance(statement, ast.Import):
                modules = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom):
                modules = ["." * statement.level + (statement.module or "")]
            for module in modules:
                if not _can_be_imported(module.split(".")[0]):
                    return (
                        f"{file}:{statement.lineno}: no module {module!r} can be imported here: install it, or put "
                        f"its code into {file} (of your own code only the file itself travels)"
                    )
    return None


def _can_be_imported(package: str) -> bool:
    """Return whether a package is found; the empty name of a relative import is not."""
    try:
        return bool(package) and (package in sys.modules or importlib.util.find_spec(package) is not None)
    except (ImportError, ValueError):
        return False


def _parse(path: Path, title: str) -> _Source:
    """Read and parse a file.

    Raises:
        UserError: it cannot be read, or is not Python.
    """
    text = _read(path, title)
    try:
        with warnings.catch_warnings(action="ignore"):  # for example of "\d", which running it would repeat
            tree = ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{title}:{error.lineno or 1}: is not valid Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise UserError(f"{title}: is not valid Python") from None
    names: dict[str, ast.stmt] = {}
    is_open = False
    for statement in _top_level(tree.body):
        for name in _defined(statement):
            is_open = is_open or name == "*"
            names[name] = statement
    return _Source(title, text, names, is_open)


def _read(path: Path, title: str) -> str:
    """Return the text of a file with plain line ends, so that its fingerprint is the same on every system."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{title} is a folder: name a file in it, FILE.py:NAME")
        if path.suffix != ".py":
            raise UserError(f"{title} does not end in .py")
        if not stat.S_ISREG(mode):  # a pipe could wait for ever
            raise UserError(f"{title} is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise UserError(_missing_text(path, title)) from None
    except (OSError, ValueError) as error:  # a ValueError for a NUL in the path
        raise UserError(f"cannot read {title}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{title} has {max(size, len(content)):,} bytes: at most {MAX_BYTES:,}")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{title}:{line}: is not text in UTF-8") from None


def _missing_text(path: Path, title: str) -> str:
    """Say that there is no such file, and which one beside it may be meant."""
    if path.suffix != ".py" and path.with_name(f"{path.name}.py").is_file():
        return f"there is no file {title}: did you mean {f'{title}.py'!r}?"
    beside = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
    if not beside:
        return f"there is no file {title} in {path.parent.absolute()}" if "/" not in title else f"no file {title}"
    return f"there is no file {title}: {nearest(path.name, beside)}"


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those inside of `if`, `try` and `with` included."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _top_level(getattr(statement, part, []))
        for handler in getattr(statement, "handlers", []):
            yield from _top_level(handler.body)


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module defines."""
    match statement:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        case ast.Assign():
            targets = [node for target in statement.targets for node in ast.walk(target)]
            yield from (node.id for node in targets if isinstance(node, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            yield name


def _callables(source: _Source) -> list[str]:
    """Return the names of the classes and functions of a file."""
    return [name for name, statement in source.names.items() if isinstance(statement, ast.ClassDef | ast.FunctionDef)]


def _check_definition(field: str, source: _Source, name: str, arguments: Mapping[str, Any]) -> None:
    """Check as far as can be told without executing the file that the name can be called as the program will."""
    statement = source.names.get(name)
    known = _callables(source)
    if statement is None:
        if source.is_open:
            return
        meant = nearest(name, known) if known else "it defines none"
        raise UserError(f"{source.title} has no class or function {name!r}: {meant}")
    where = f"{source.title}:{statement.lineno}"
    constants = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr)
    if isinstance(statement, ast.AsyncFunctionDef) or (
        isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, constants)
    ):
        meant = f": {nearest(name, known)}" if known else ""
        raise UserError(f"{where}: {name} is no class or function{meant}")
    if field == "model":
        _check_arguments(statement, where, name, arguments)
    elif isinstance(statement, ast.ClassDef):
        _check_arguments(statement, where, name, None)
    elif isinstance(statement, ast.FunctionDef) and not statement.decorator_list:
        taken = statement.args
        most = len(taken.posonlyargs) + len(taken.args)
        needed = most - len(taken.defaults)
        required = [arg.arg for arg, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if not default]
        if (most < 2 and taken.vararg is None) or needed > 2 or required:
            raise UserError(f"{where}: {name} must take two arguments, the logits [B, C] and the labels [B]")


def _check_arguments(statement: ast.stmt, where: str, name: str, arguments: Mapping[str, Any] | None) -> None:
    """Check `model_args` against a signature that stands in the file; other signatures are passed over.

    Args:
        arguments: the given ones; None for the class of a loss, which is called without any.
    """
    signature = statement
    if isinstance(statement, ast.ClassDef):
        made = [node for node in statement.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
        if not made or any(isinstance(node, ast.FunctionDef) and node.name == "__new__" for node in statement.body):
            return
        signature = made[0]
    if not isinstance(signature, ast.FunctionDef) or signature.decorator_list or statement.decorator_list:  # type: ignore[attr-defined]
        return
    taken = signature.args
    positional = [arg.arg for arg in taken.args][isinstance(statement, ast.ClassDef) and not taken.posonlyargs :]
    only = [arg.arg for arg in taken.kwonlyargs]
    if taken.kwarg is None:
        for key in arguments or {}:
            if key not in (*positional, *only):
                others = [each for each in (*positional, *only) if each not in GIVEN_ARGUMENTS]
                meant = nearest(key, others) if others else "it takes none"
                field = f"{ARGUMENT_PREFIX}{key}"
                raise FieldError(field, f"{name} ({where}) takes no argument {key!r}: {meant}")
    required = positional[: len(positional) - len(taken.defaults)] if len(taken.defaults) <= len(positional) else []
    required += [each for each, default in zip(only, taken.kw_defaults, strict=True) if default is None]
    if arguments is None and required:
        raise UserError(f"{name} ({where}) is called without arguments: give {required[0]!r} a default")
    for key in required:
        if arguments is not None and key not in arguments and key not in GIVEN_ARGUMENTS:
            raise UserError(f"{name} ({where}) needs the argument {key!r}: give model_args.{key} a value")
