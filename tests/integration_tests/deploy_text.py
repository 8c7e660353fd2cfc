"""The commands that docs/cluster.md and the pages in deploy/ tell to type."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
PAGES = sorted([*DEPLOY.rglob("*.md"), ROOT / "docs" / "cluster.md"])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_LINE = re.compile(r"`((?:python tune_main\.py|ray) [\w-]+ [^`]+)`")
BETWEEN_COMMANDS = {"|", "&&", ";", "&"}


@dataclass(frozen=True, slots=True)
class Typed:
    """One command, without what it is piped into."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {shlex.join(self.words)}"


def typed_commands() -> list[Typed]:
    """Return all commands, also those in `$(...)`, after `ray job submit --` and in the quotes of `ray exec`."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [block.replace("\\\n", " ") for language, block in FENCED.findall(text) if not language]
        lines = [line for block in blocks for line in block.splitlines()]
        for line in [*lines, *IN_LINE.findall(text)]:
            found += [Typed(page, words) for words in commands_in(line)]
    return found


def commands_in(line: str) -> Iterator[tuple[str, ...]]:
    inner = re.match(r"\w+=\$\((.*)\)$", line)
    words: list[str] = []
    for word in [*shlex.split(inner[1] if inner else line, comments=True), ";"]:
        if word not in BETWEEN_COMMANDS:
            words.append(word)
        elif words:
            yield tuple(words)
            yield from commands_within(words)
            words = []


def commands_within(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if words[:2] == ["ray", "exec"]:
        yield from commands_in(words[-1])
    elif words[0] == "ray" and "--" in words:
        yield tuple(words[words.index("--") + 1 :])
    elif words[:2] == ["docker", "run"]:
        yield tuple(words[words.index("python") :])
    elif words[0] == "sbatch":
        script = next(index for index, word in enumerate(words) if word.endswith(".sbatch"))
        yield ("python", "tune_main.py", "run", *words[script + 1 :])


def for_tune_main(words: Sequence[str]) -> list[str] | None:
    """The arguments of `python tune_main.py ...` or `batchscape ...`; None of another command."""
    if words[0] == "batchscape":
        return list(words[1:])
    if len(words) > 1 and words[0].endswith("python") and words[1].endswith("tune_main.py"):
        return list(words[2:])
    return None


def entrypoint() -> list[str]:
    """The RayJob's entrypoint, split into words."""
    job = yaml.safe_load((DEPLOY / "kubernetes" / "rayjob.yaml").read_text(encoding="utf-8"))
    return shlex.split(job["spec"]["entrypoint"])
