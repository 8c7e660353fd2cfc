"""Options that several commands share, and the types of their values.

A type raises argparse.ArgumentTypeError for a text that it does not accept.
"""

import argparse
import dataclasses
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from sweep.request import SpaceRequest, TimeLimit

Request = TypeVar("Request", bound="SpaceRequest")

DEFAULT_STORE = "runs"
PUBLISHED = "published"
"""Names the published results in the place of a sweep or a space."""
UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""Unit of a time -> its seconds."""
EXIT_CODES = """\
exit codes:
  0    done, or stopped by --time-limit
  1    trials failed, or are left
  2    a mistake in the command, a file or the machine; one line says which
  130  interrupted; the same command resumes"""


class CommandParser(argparse.ArgumentParser):
    """A parser that refuses a mistake in one line, as the program refuses every other mistake."""

    def error(self, message: str) -> NoReturn:
        from trainable.wording import command, printable_line

        self.exit(2, f"batchscape: {printable_line(message)} (see `{command(*self.prog.split()[1:], '--help')}`)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 (argparse's)
        """Parse the arguments; refuse an unknown option first, since what follows it would be misunderstood."""
        from trainable.config import is_field
        from trainable.wording import nearest

        given = sys.argv[1:] if args is None else list(args)
        for text in given[: 1 if self._subparsers else None]:
            name, _, _ = text.partition("=")
            known = any(option.startswith(name) for option in self._option_string_actions)
            if name[:1] == "-" and name.strip("-") and " " not in name and not name[1:2].isdigit() and not known:
                hint = nearest(name, self._option_string_actions)
                field = name.strip("-").replace("-", "_")
                if "--set" in self._option_string_actions and is_field(field):
                    hint = f"a training field is given as --set {field}=VALUE"
                hint = "options follow the command" if self._subparsers and hint.startswith("valid") else hint
                self.error(f"no option {name}: {hint}")
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401 (argparse's)
        from trainable.wording import nearest

        if action.choices is not None and value not in action.choices:
            wandb = {"sweep": "run", "agent": "run"} if self._subparsers else {}
            hint = nearest(str(value), map(str, action.choices), wandb)
            raise argparse.ArgumentError(action, f"{value!r} is unknown: {hint}")


def request_from(arguments: argparse.Namespace, kind: type[Request]) -> Request:
    """Make a request from the arguments that have the names of its fields."""
    return kind(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(kind)})


def add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", help="name of a sweep in the store")


def add_trial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "trial",
        nargs="?",
        type=not_empty,
        metavar="KEY",
        help="the trial's key, or the beginning of it (default: the best trial)",
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        default=DEFAULT_STORE,
        type=not_empty,
        metavar="DIR",
        help="a folder, or s3://bucket/prefix (default: runs/)",
    )


def add_space_options(parser: argparse.ArgumentParser) -> None:
    """`--scale` and `--set`, which change the trials of a space."""
    parser.add_argument("--scale", metavar="NAME", help="one of the space's scales, for example smoke")
    add_set(parser)


def add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="a training field and its value, in place of what the file says; repeatable",
    )


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", type=not_empty, help="name of the sweep (default: the space's name)")


def add_extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--extend", action="store_true", help="keep the trials that the sweep had before beside those of the space"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=data_folder,
        metavar="DIR",
        help="the data set: CIFAR-10 or CIFAR-100 as published, train-*.parquet and test-*.parquet, or images in "
        "train/CLASS/ and test/CLASS/",
    )
    parser.add_argument(
        "--label",
        type=not_empty,
        metavar="COLUMN",
        help="which labels of --data are the classes, for example coarse_label (default: label, else fine_label)",
    )


def add_trial_resources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cpus-per-trial",
        type=positive,
        metavar="N",
        help="CPUs, and threads, of each trial (default: the space's resources, else 1)",
    )
    parser.add_argument(
        "--gpus-per-trial",
        type=gpu_share,
        metavar="N",
        help="GPUs of each trial: a fraction, a whole number, or `auto` to measure how many trials share one "
        "(default: the space's resources, else 1 where there is a GPU)",
    )


def add_compile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile the model (needs a GPU; pays in long trainings)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("markdown", "csv", "json"), default="markdown", help="default: markdown")


def not_empty(text: str) -> str:
    """Accept any text but white space alone."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def data_folder(text: str) -> Path:
    """Accept the path of a folder."""
    if "://" in not_empty(text):
        raise argparse.ArgumentTypeError(f"{text} is a URI: give a folder of this machine")
    return Path(text)


def output_location(text: str) -> str:
    """Accept what `output_folder` accepts, and any URI, which only a server can judge."""
    return text if "://" in text else output_folder(text)


def output_folder(text: str) -> str:
    """Accept a folder that can be written to or made."""
    if "://" in not_empty(text):
        raise argparse.ArgumentTypeError(f"{text} is a URI: give a folder of this machine")
    from results.store.opening import lost_slash

    if lost := lost_slash(text):
        raise argparse.ArgumentTypeError(lost)
    try:
        folder = Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text}: there is no such user") from None
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: {existing.name} is a file, not a folder")
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write to {text}: {error.strerror}") from None
    return str(folder)


def output_file(text: str) -> str:
    """Accept a file that can be written, in a folder that exists."""
    if "://" in not_empty(text):
        raise argparse.ArgumentTypeError(f"{text} is a URI: give a file of this machine")
    file = Path(text)
    if file.is_dir() or not file.name:
        raise argparse.ArgumentTypeError(f"{text} is a folder: give a file in it")
    if file.exists() and not file.is_file():  # renaming would replace the device itself
        raise argparse.ArgumentTypeError(f"{text} is not a regular file: give another one")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {file.parent}")
    output_folder(str(file.parent))
    return text


def positive(text: str) -> float:
    """Accept a finite number above 0."""
    value = not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def not_negative(text: str) -> float:
    """Accept a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of at least 0, got {text}")
    return value


def gpu_share(text: str) -> float | str:
    """Accept a fraction of one GPU, a whole number of GPUs, or `auto`."""
    if text == "auto":
        return text
    value = not_negative(text)
    if value > 1 and not value.is_integer():
        raise argparse.ArgumentTypeError(f"must be a fraction below 1 or a whole number, got {text}")
    return value


def probability(text: str) -> float:
    """Accept a number between 0 and 1, both excluded."""
    value = positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be below 1, got {text}")
    return value


def time_limit(text: str) -> "TimeLimit":
    """Accept a duration: numbers with the units s, m, h, d, or HH:MM:SS. The time runs from here."""
    from sweep.request import TimeLimit

    clock = re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", text)
    if clock is not None:
        seconds: float = sum(int(part) * size for part, size in zip(clock.groups(), (3600, 60, 1), strict=True))
    elif re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in re.findall(r"([\d.]+)([smhd])", text))
    else:
        missing = f" (the unit is missing: {text}s, {text}m, {text}h or {text}d)" if text.isdecimal() else ""
        raise argparse.ArgumentTypeError(f"must be a time, for example 90m, 2h or 02:00:00, got {text!r}{missing}")
    if seconds == 0:
        raise argparse.ArgumentTypeError(f"must be longer than 0 s, got {text!r}")
    return TimeLimit(seconds)


def port(text: str) -> int:
    """Accept the number of a TCP port; 0 is any free one."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, got {text!r}")
    return int(text)


def positive_whole(text: str) -> int:
    """Accept a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)
