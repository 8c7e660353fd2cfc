"""deploy/aws against Ray's own launcher and a simulated AWS; nothing leaves the machine."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
import ray.autoscaler
import yaml
from botocore import xform_name
from moto import mock_aws
from ray.autoscaler._private.aws import config as aws_config
from ray.autoscaler._private.aws import utils as aws_utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.tags import TAG_RAY_NODE_KIND, TAG_RAY_NODE_NAME

from tests.conftest import ROOT
from tests.integration_tests.deploy_text import DEPLOY, Typed, typed_commands

SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
REGION = "us-west-2"
OF_THE_PAGE = [typed for typed in typed_commands() if typed.page == DEPLOY / "aws" / "README.md"]


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "aws" / "cluster.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account, and a home for the key pair that Ray makes."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("HOME", str(tmp_path))
    with mock_aws():
        forget_clients()
        yield
        forget_clients()


def forget_clients() -> None:
    """Empty Ray's cache of clients, which belong to one account."""
    for cached in (aws_utils.resource_cache, aws_utils.client_cache, aws_config._get_subnets_or_die):
        cached.cache_clear()


def with_an_image(cluster: dict[str, Any]) -> dict[str, Any]:
    """The cluster's settings after step 4 of the page."""
    image = boto3.client("ec2", REGION).describe_images()["Images"][0]["ImageId"]
    filled: dict[str, Any] = yaml.safe_load(yaml.safe_dump(cluster).replace("YOUR-AMI", image))
    assert filled != cluster
    return filled


def call(typed: Typed) -> None:
    """Run an `aws iam` command of the page against the simulated account."""
    _, service, operation, *options = typed.words
    values = dict(zip(options[::2], options[1::2], strict=True))
    client = boto3.client(service)
    members = client.meta.service_model.operation_model(
        client.meta.method_to_api_mapping[operation.replace("-", "_")]
    ).input_shape.members
    parameters = {}
    for name in members:
        if (value := values.get(f"--{xform_name(name, '-')}")) is not None:
            parameters[name] = (ROOT / value[7:]).read_text("utf-8") if value.startswith("file://") else value
    assert len(parameters) == len(values)
    getattr(client, operation.replace("-", "_"))(**parameters)


def iam_commands() -> tuple[list[Typed], list[Typed]]:
    """The `aws iam` commands before `ray up` and those after it."""
    up = next(index for index, typed in enumerate(OF_THE_PAGE) if typed.words[:2] == ("ray", "up"))
    found = [(index, typed) for index, typed in enumerate(OF_THE_PAGE) if typed.words[:2] == ("aws", "iam")]
    return [typed for index, typed in found if index < up], [typed for index, typed in found if index > up]


def test_the_file_follows_the_schema(cluster: dict[str, Any]) -> None:
    jsonschema.validate(cluster, SCHEMA)
    validate_config(prepare_config(copy.deepcopy(cluster)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("max_worker",), 8),
        (("max_workers",), 0),
        (("head_node_type",), "haed"),
        (("available_node_types", "gpu", "min_worker"), 1),
        (("setup_commands",), [{"pip": "install ray"}]),
    ],
)
def test_what_is_wrong_would_be_seen(path: tuple[str, ...], value: object, cluster: dict[str, Any]) -> None:
    place = cluster
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        validate_config(prepare_config(cluster))


def test_every_ray_of_the_cluster_demands_the_token(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"  # noqa: S105 (its file)
    lines = cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    starts = [line for line in lines if "ray start" in line]
    assert len(starts) == 2
    assert all(line.startswith("export RAY_AUTH_MODE=token; ") for line in starts)


def test_the_files_that_are_copied_to_the_nodes_exist(cluster: dict[str, Any]) -> None:
    sent = {target: path for target, path in cluster["file_mounts"].items() if not path.startswith("~")}
    assert [path for path in sent.values() if not (ROOT / path).is_file()] == []
    commands = "\n".join(cluster["setup_commands"])
    for target in sent:
        assert target.replace("/home/ubuntu", "~") in commands


def test_ray_up_gets_a_head_on_demand_and_workers_on_spot(cluster: dict[str, Any], aws: None) -> None:
    for typed in iam_commands()[0]:
        call(typed)
    config = prepare_config(with_an_image(cluster))
    config = AWSNodeProvider.fillout_available_node_types_resources(config)
    types = config["available_node_types"]
    assert (types["head"]["resources"]["CPU"], types["head"]["resources"].get("GPU")) == (0, None)
    assert types["gpu"]["resources"]["GPU"] == 1
    config = AWSNodeProvider.bootstrap_config(config)
    validate_config({key: value for key, value in config.items() if key != "head_node"})

    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    for kind, node_type in (("head", "head"), ("worker", "gpu")):
        tags = {TAG_RAY_NODE_KIND: kind, TAG_RAY_NODE_NAME: f"ray-batchscape-{kind}"}
        provider.create_node(config["available_node_types"][node_type]["node_config"], tags, 1)
    nodes = {kind: provider.non_terminated_nodes({TAG_RAY_NODE_KIND: kind}) for kind in ("head", "worker")}
    assert [len(found) for found in nodes.values()] == [1, 1]
    described = {kind: provider._get_node(found[0]) for kind, found in nodes.items()}
    assert {kind: node.instance_lifecycle for kind, node in described.items()} == {"head": None, "worker": "spot"}
    for kind, node in described.items():
        assert node.iam_instance_profile["Arn"].endswith(f"/batchscape-{kind}")
        assert node.instance_type == config["available_node_types"][config_type(kind)]["node_config"]["InstanceType"]
    assert len({node.security_groups[0]["GroupId"] for node in described.values()}) == 1

    provider.terminate_nodes([*nodes["head"], *nodes["worker"]])
    states = [node.state["Name"] for node in boto3.resource("ec2").instances.all()]
    assert states == ["terminated", "terminated"]  # and not stopped, with disks that cost


def config_type(kind: str) -> str:
    return {"head": "head", "worker": "gpu"}[kind]


def test_the_roles_that_the_page_makes_it_takes_away(aws: None) -> None:
    iam = boto3.client("iam")
    made, taken = iam_commands()
    for typed in made:
        call(typed)
    assert {role["RoleName"] for role in iam.list_roles()["Roles"]} == {"batchscape-head", "batchscape-worker"}
    assert iam.list_role_policies(RoleName="batchscape-worker")["PolicyNames"] == ["store"]
    assert sorted(iam.list_role_policies(RoleName="batchscape-head")["PolicyNames"]) == ["launch", "store"]
    for typed in taken:
        call(typed)
    assert iam.list_roles()["Roles"] == []
    assert iam.list_instance_profiles()["InstanceProfiles"] == []


def test_the_head_may_give_its_workers_their_role_and_end_them_alone(cluster: dict[str, Any]) -> None:
    policy = json.loads((DEPLOY / "aws" / "launch-policy.json").read_text(encoding="utf-8"))
    statements = {str(statement["Action"]): statement for statement in policy["Statement"]}
    profile = cluster["available_node_types"]["gpu"]["node_config"]["IamInstanceProfile"]["Name"]
    assert statements["iam:PassRole"]["Resource"].endswith(f":role/{profile}")
    only = statements["ec2:TerminateInstances"]["Condition"]["StringEquals"]
    assert only == {"ec2:ResourceTag/ray-cluster-name": cluster["cluster_name"]}
