"""Whoever follows the pages in deploy/ to the letter types commands that exist."""

import re
import zipfile
from pathlib import Path

import botocore.session
import click
import pytest
import yaml
from botocore import xform_name
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE, create_package
from ray.scripts.scripts import cli as ray_cli

from cli.parser import build_parser
from search_spaces.loader import load_space
from tests.conftest import ROOT
from tests.integration_tests.deploy_text import DEPLOY, PAGES, Typed, entrypoint, for_tune_main, typed_commands
from trainable.errors import UserError

LINK = re.compile(r"\]\(([^)#]+)\)")
OF_THE_CHECKOUT = re.compile(r"^(?:file://)?((?:deploy|search_spaces|tests)/[\w./*-]+|[\w]+\.(?:py|txt))$")
AWS_OPTIONS = {"region", "query", "output", "profile"}
AWS_S3 = {"rb": {"--force"}}
"""`aws s3` is the command line's own: no model describes it."""
COMMANDS = typed_commands()


def named(program: str) -> list[Typed]:
    found = [typed for typed in COMMANDS if typed.words[0] == program]
    assert found, f"no page says {program}"
    return found


def test_every_tune_main_command_is_accepted() -> None:
    lines = [words for typed in COMMANDS if (words := for_tune_main(typed.words)) is not None]
    lines.append(for_tune_main(entrypoint()) or [])
    assert {line[0] for line in lines} >= {"run", "status", "logs", "plan", "report", "table"}
    for line in lines:
        arguments = build_parser().parse_args(line)
        if line[0] == "run":
            assert load_space(arguments.space)
            assert arguments.store


@pytest.mark.parametrize("words", ["run", "run quickstart --stroe x", "stauts quickstart", "status"])
def test_what_tune_main_does_not_know_would_be_seen(words: str) -> None:
    with pytest.raises((SystemExit, UserError)):
        build_parser().parse_args(words.split())


@pytest.mark.parametrize("typed", named("ray"), ids=str)
def test_every_ray_command_exists(typed: Typed) -> None:
    parse_as_ray(list(typed.words[1:]))


@pytest.mark.parametrize(
    "words", [["upp", "cluster.yaml"], ["up"], ["up", "cluster.yaml", "--yess"], ["job", "sumbit"]]
)
def test_what_ray_does_not_know_would_be_seen(words: list[str]) -> None:
    with pytest.raises(click.ClickException):
        parse_as_ray(words)


def test_the_commands_that_start_ray_on_aws_exist() -> None:
    cluster = yaml.safe_load((DEPLOY / "aws" / "cluster.yaml").read_text(encoding="utf-8"))
    lines = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    calls = [call.split() for line in lines for call in line.split("; ") if call.startswith("ray ")]
    assert [call[1] for call in calls] == ["stop", "start", "stop", "start"]
    for call in calls:
        parse_as_ray(call[1:])


def parse_as_ray(words: list[str]) -> None:
    """Raises click's exception where Ray's command line would refuse them; nothing is run."""
    command: click.Command = ray_cli
    path = "ray"
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        name, found, words = command.resolve_command(context, words)
        assert name is not None
        assert found is not None
        command, path = found, name
    with command.make_context(path, words):
        pass


@pytest.mark.parametrize("typed", named("aws"), ids=str)
def test_every_aws_command_exists(typed: Typed) -> None:
    _, service, operation, *rest = typed.words
    options = {word for word in rest if word.startswith("--")}
    if service == "s3":
        assert options <= AWS_S3[operation]
        return
    model = botocore.session.get_session().get_service_model(service.removesuffix("api"))
    shape = model.operation_model(
        {xform_name(name, "-"): name for name in model.operation_names}[operation]
    ).input_shape
    members = {xform_name(name, "-"): name for name in (shape.members if shape else {})}
    assert options <= {f"--{name}" for name in {*members, *AWS_OPTIONS}}
    assert {members[name] for name in members if f"--{name}" in options} >= set(
        shape.required_members if shape else []
    )


def test_every_file_that_a_command_names_exists() -> None:
    for typed in COMMANDS:
        for word in typed.words:
            if match := OF_THE_CHECKOUT.match(word):
                assert (ROOT / match[1]).exists(), str(typed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_all_placeholders_are_filled_in_by_a_step() -> None:
    for folder in ("aws", "kubernetes"):
        steps = (DEPLOY / folder / "README.md").read_text(encoding="utf-8")
        files = [path for path in (DEPLOY / folder).iterdir() if path.suffix in {".yaml", ".json"}]
        for path in files:
            for name in set(re.findall(r"YOUR-\w+", path.read_text(encoding="utf-8"))):
                assert re.search(rf"sed -i .*{name}.*{path.name}", steps), f"{name} in {path.name}"


def test_the_checkout_fits_into_a_job(tmp_path: Path) -> None:
    target = tmp_path / "job.zip"
    create_package(str(ROOT), target, include_gitignore=True, excludes=get_runtime_env_default_excludes())
    names = zipfile.ZipFile(target).namelist()
    assert {"tune_main.py", "trainable/ledger/ledger.py", "search_spaces/quickstart.yaml"} <= set(names)
    assert [name for name in names if name.split("/")[0] in {".git", ".venv", "runs"}] == []
    assert target.stat().st_size < GCS_STORAGE_MAX_SIZE / 4
