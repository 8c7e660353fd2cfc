"""The help of every command, its examples, and the completion of shells."""

import re
import shlex
import subprocess

import pytest

import tune_main
from cli import __version__
from cli.options import EXIT_CODES
from cli.parser import COMMANDS, build_parser
from tests.conftest import ROOT


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert tune_main.main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_says_what_the_command_does_and_ends_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown([name, "--help"], capsys)
    usage, opening = text.split("\n\n")[:2]
    assert usage.startswith(f"usage: batchscape {name}")
    assert re.match(r"[A-Z].*\.$", " ".join(opening.split()))
    assert text.endswith(f"{EXIT_CODES}\n")
    assert max(map(len, text.splitlines())) <= 100
    examples = re.findall(r"^  batchscape (.+)$", text.partition("examples:")[2], flags=re.MULTILINE)
    assert examples
    for example in examples:
        words = shlex.split(example.partition(" > ")[0])
        assert words[0] == name
        build_parser().parse_args(words)


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(["--help"], capsys)
    assert [name for name in COMMANDS if not re.search(rf"^    {name}\b", text, flags=re.MULTILINE)] == []
    assert EXIT_CODES in text


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(["--version"], capsys) == f"batchscape {__version__}\n"


def test_bash_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    asked = (
        "COMP_WORDS=(batchscape {words}); COMP_CWORD={position}; _shtab_batchscape; printf '%s\\n' ${{COMPREPLY[@]}}"
    )

    def completed(words: str, position: int) -> list[str]:
        code = script + asked.format(words=words, position=position)
        process = subprocess.run(["bash", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        return process.stdout.split()

    assert completed("qu", 1) == []
    assert completed("sta", 1) == ["status"]
    assert "--watch" in completed("status --w", 2)
    assert "pyproject.toml" in completed("run pypr", 2)


def test_zsh_gets_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    assert tune_main.main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef batchscape")
