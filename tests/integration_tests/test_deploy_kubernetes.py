"""deploy/kubernetes against the schemas of Kubernetes and KubeRay, Ray's autoscaler, and what an image needs."""

import copy
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from tests.conftest import ROOT
from tests.integration_tests.deploy_text import DEPLOY, entrypoint, for_tune_main

FOLDER = DEPLOY / "kubernetes"
SHIPPED = ("models", "trainable", "search_spaces", "results", "tune_main.py")


def exactly(required: str, **properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required.split(),
        "properties": properties,
    }


TEXT, COUNT, FLAG = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
TEMPLATE = {"type": "object"}
HEAD = exactly("template rayStartParams", rayStartParams=TEXTS, template=TEMPLATE)
WORKERS = exactly(
    "groupName replicas minReplicas maxReplicas rayStartParams template",
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=TEXTS,
    template=TEMPLATE,
)
RAYJOB = exactly(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=exactly("name", name={"type": "string", "pattern": "^[a-z][a-z0-9-]{0,46}$"}),
    spec=exactly(
        "entrypoint rayClusterSpec",
        entrypoint=TEXT,
        backoffLimit=COUNT,
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=exactly(
            "headGroupSpec workerGroupSpecs rayVersion authOptions",
            rayVersion=TEXT,
            authOptions=exactly("mode", mode={"enum": ["disabled", "token"]}),
            enableInTreeAutoscaling=FLAG,
            autoscalerOptions=exactly("", idleTimeoutSeconds=COUNT),
            headGroupSpec=HEAD,
            workerGroupSpecs={"type": "array", "items": WORKERS},
        ),
    ),
)
"""The fields of KubeRay's definition of a RayJob (1.7, `ray.io_rayjobs.yaml`) that are used here, and their types."""


@pytest.fixture
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "rayjob.yaml").read_text(encoding="utf-8"))
    return loaded


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}} | copy.deepcopy(group["template"])
        for group in groups
    ]


def instructions(name: str) -> list[list[str]]:
    """The arguments of every such line of the Dockerfile, options apart."""
    lines = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    calls = [line.split()[1:] for line in lines if line.startswith(f"{name} ")]
    return [[word for word in call if not word.startswith("--")] for call in calls]


def test_the_job_has_only_fields_that_kuberay_knows(job: dict[str, Any]) -> None:
    jsonschema.validate(job, RAYJOB)
    job["spec"]["shutDownAfterJobFinishes"] = True
    with pytest.raises(jsonschema.ValidationError, match="shutDownAfterJobFinishes"):
        jsonschema.validate(job, RAYJOB)


def test_ray_demands_a_token(job: dict[str, Any]) -> None:
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_the_pods_follow_the_schema_of_kubernetes(job: dict[str, Any]) -> None:
    head, worker = pods(job)
    for pod in (head, worker):
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    worker["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="volumeMount"):
        kubernetes_validate.validate(worker, kubernetes_validate.latest_version(), strict=True)


def test_volumes_that_are_mounted_exist(job: dict[str, Any]) -> None:
    for pod in pods(job):
        mounted = {mount["name"] for container in pod["spec"]["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_rays_autoscaler_sees_gpus_on_workers_alone(job: dict[str, Any]) -> None:
    cluster = {"metadata": {"name": "one", "namespace": "default"}, "spec": job["spec"]["rayClusterSpec"]}
    config = _derive_autoscaling_config_from_ray_cr(cluster)
    head, workers = (config["available_node_types"][name] for name in ("headgroup", "gpu"))
    assert (head["resources"]["CPU"], head["resources"].get("GPU")) == (0, None)
    assert (workers["resources"]["GPU"], workers["min_workers"], workers["max_workers"]) == (1, 1, 8)
    assert config["idle_timeout_minutes"] == 5


def test_the_object_store_fits_into_shared_memory_and_that_into_the_pod(job: dict[str, Any]) -> None:
    cluster = job["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        spec = group["template"]["spec"]
        shared = num_bytes(spec["volumes"][0]["emptyDir"]["sizeLimit"])
        memory = num_bytes(spec["containers"][0]["resources"]["limits"]["memory"])
        assert int(group["rayStartParams"]["object-store-memory"]) < shared < memory / 2


def num_bytes(quantity: str) -> int:
    assert quantity.endswith("Gi")
    return int(quantity[:-2]) * 2**30


def test_the_image_is_that_of_the_ray_that_is_required(job: dict[str, Any]) -> None:
    (image,) = instructions("FROM")
    match = re.fullmatch(r"rayproject/ray:([\d.]+)-py(\d)(\d+)-gpu", image[0])
    assert match is not None
    for path in (ROOT / "requirements.txt", DEPLOY / "requirements.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
        (required,) = [requirement for line in lines if (requirement := Requirement(line)).name == "ray"]
        assert match[1] in required.specifier
    assert match[1] == job["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"{match[2]}.{match[3]}" in SpecifierSet(project["requires-python"])


def test_what_is_copied_into_the_image_is_enough(tmp_path: Path, job: dict[str, Any]) -> None:
    copied = instructions("COPY")
    for source, target in copied:
        assert (ROOT / source).exists(), source
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / target)
    assert {source for source, _ in copied} >= set(SHIPPED)
    arguments = for_tune_main(entrypoint())
    assert arguments is not None
    for line in (["spaces", arguments[1]], ["table", "published"]):
        done = subprocess.run([sys.executable, "tune_main.py", *line], cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert Path(entrypoint()[1]).parent == Path(instructions("WORKDIR")[0][0])
