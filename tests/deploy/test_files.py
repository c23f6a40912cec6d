"""What is in docker/ is what linters and schemas want, needs its secrets, and is closed outward."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml

from autodepth.cli.main import app

from . import compose, kuberay

BIN = Path(sys.executable).parent
COMPOSE = ("compose.yaml", "compose.gpu.yaml", "compose.metrics.yaml")
MAIN = compose.read("compose.yaml", compose.SECRETS)["services"]
METRICS = compose.read("compose.metrics.yaml", compose.SECRETS)["services"]
VOLUME, JOB = yaml.safe_load_all((compose.DOCKER / "k8s" / "rayjob.yaml").read_text())
CLUSTER = JOB["spec"]["rayClusterSpec"]
TEMPLATES = {
    "submitter": JOB["spec"]["submitterPodTemplate"],
    "head": CLUSTER["headGroupSpec"]["template"],
    **{group["groupName"]: group["template"] for group in CLUSTER["workerGroupSpecs"]},
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=compose.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_dockerfile_passes_its_linter(tmp_path):
    done = run("hadolint", "docker/Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")

    worse = tmp_path / "Dockerfile"
    worse.write_text(
        (compose.DOCKER / "Dockerfile").read_text().replace("FROM ", "FROM debian as ")
    )
    assert run("hadolint", str(worse)).returncode != 0


def test_the_image_runs_as_somebody_without_rights_and_takes_the_pinned_versions():
    last = (compose.DOCKER / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["1000:1000"]
    whole = (compose.DOCKER / "Dockerfile").read_text()
    installs = re.findall(r"pip install [^\n]*", whole)
    assert installs
    assert all("--constraint constraints.txt" in line for line in installs)


def test_the_image_installs_extras_that_there_are():
    project = tomllib.loads((compose.ROOT / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', (compose.DOCKER / "Dockerfile").read_text())
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_build_is_given_no_more_than_it_copies():
    lines = (compose.ROOT / ".dockerignore").read_text().splitlines()
    given = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(
        r"^COPY (?!--from)(.*)$", (compose.DOCKER / "Dockerfile").read_text(), re.MULTILINE
    )
    assert given == {word for line in copied for word in line.split()[:-1]}
    assert all((compose.ROOT / name).exists() for name in given)


@pytest.mark.long
def test_what_the_image_copies_is_enough_for_a_wheel(tmp_path):
    steps = (compose.DOCKER / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.*)$", steps, re.MULTILINE):
        *names, target = line.split()
        for name in names:
            source = compose.ROOT / name
            if source.is_dir():
                assert name == target
                shutil.copytree(source, tmp_path / name)
            else:
                assert target == "./"
                shutil.copy(source, tmp_path)
    wheel = ["pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(tmp_path)]
    done = run(*wheel)
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("autodepth-*.whl")
    with zipfile.ZipFile(built) as archive:
        packed = set(archive.namelist())
    assert {
        "autodepth/dashboards/grafana/autodepth.json",
        "autodepth/dashboards/explorer/index.html",
        "autodepth/search_spaces/digits_resnet20.yaml",
    } <= packed


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_files_fit_the_schema_of_compose(name):
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text())
    content = yaml.safe_load((compose.DOCKER / name).read_text())
    jsonschema.validate(content, schema)

    for service in content["services"].values():
        service["helthcheck"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


@pytest.mark.parametrize(
    ("name", "secrets"),
    [
        ("compose.yaml", ("POSTGRES_PASSWORD", "RAY_AUTH_TOKEN", "AUTODEPTH_DASHBOARD_TOKEN")),
        ("compose.metrics.yaml", ("GRAFANA_ADMIN_PASSWORD",)),
    ],
)
def test_nothing_starts_without_its_secrets(name, secrets):
    example = (compose.DOCKER / ".env.example").read_text()
    for secret in secrets:
        with pytest.raises(compose.MissingError, match=secret):
            compose.read(name, {**compose.SECRETS, secret: ""})
        assert re.search(rf"^(# )?{secret}=$", example, re.MULTILINE)


@pytest.mark.parametrize(("name", "service"), (MAIN | METRICS).items())
def test_what_is_reached_from_outside_is_on_the_loopback_address(name, service):
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    if service["image"].startswith("autodepth"):
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_ray_asks_for_a_token_on_every_node():
    for name in ("ray-head", "ray-worker"):
        environment = MAIN[name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN"] == compose.SECRETS["RAY_AUTH_TOKEN"]
    assert CLUSTER["authOptions"] == {"mode": "token"}


def test_no_secret_is_on_a_command_line():
    for service in (MAIN | METRICS).values():
        words = (
            [*service["command"], *service["healthcheck"]["test"]] if "command" in service else []
        )
        assert not [word for word in words if any(s in word for s in compose.SECRETS.values())]


def test_the_ray_job_has_fields_of_kuberay_alone():
    jsonschema.validate(JOB, kuberay.RAY_JOB)

    version = tuple(map(int, CLUSTER["rayVersion"].split(".")))
    assert version >= kuberay.RAY_WITH_TOKENS


@pytest.mark.parametrize(
    "slip",
    [
        {"backofLimit": 3},
        {"entrypoint": ["autodepth"]},
        {"submissionMode": "Job"},
        {"submissionMode": "SidecarMode"},
        {"shutdownAfterJobFinishes": False},
        {"rayClusterSpec": CLUSTER | {"authOptions": {"mode": "tokens"}}},
        {
            "rayClusterSpec": CLUSTER
            | {"authOptions": {"mode": "token", "enableK8sTokenAuth": True}}
        },
        {"rayClusterSpec": CLUSTER | {"workerGroupSpecs": [{"groupName": "no template"}]}},
    ],
)
def test_kuberay_would_refuse_or_overlook_a_slip(slip):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(JOB | {"spec": JOB["spec"] | slip}, kuberay.RAY_JOB)


@pytest.mark.skipif(
    "KUBERAY_CRD" not in os.environ,
    reason="$KUBERAY_CRD names no file: kubectl get crd rayjobs.ray.io -o yaml > FILE",
)
def test_the_ray_job_fits_the_definition_of_a_cluster():
    definition = yaml.safe_load(Path(os.environ["KUBERAY_CRD"]).read_text())
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == "v1"]
    jsonschema.validate(JOB, version["schema"]["openAPIV3Schema"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_pods_fit_the_schema_of_kubernetes_and_have_no_rights(name):
    template = TEMPLATES[name]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
    pod["metadata"] = {"name": "pod"} | template.get("metadata", {})
    kubernetes_validate.validate(pod, "1.37", strict=True)

    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert container["resources"]["requests"]["memory"]
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
        assert mounted <= {volume["name"] for volume in spec.get("volumes", ())}


def test_the_autoscaler_is_given_what_a_container_has():
    """KubeRay puts these into the container that it adds to the head's pod."""
    ours = ("idleTimeoutSeconds", "upscalingMode", "version")
    options = {k: v for k, v in CLUSTER["autoscalerOptions"].items() if k not in ours}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}}
    spec = {"containers": [{"name": "autoscaler", **options}]}
    kubernetes_validate.validate(pod | {"spec": spec}, "1.37", strict=True)


def test_kubernetes_would_refuse_a_pod_with_a_slip():
    spec = {**TEMPLATES["head"]["spec"], "volums": []}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.37", strict=True)


def test_the_studies_outlive_the_cluster():
    kubernetes_validate.validate(VOLUME, "1.37", strict=True)
    claim = VOLUME["metadata"]["name"]
    for name in ("head", "workers"):
        volumes = {v["name"]: v for v in TEMPLATES[name]["spec"]["volumes"]}
        assert volumes["studies"]["persistentVolumeClaim"] == {"claimName": claim}
    options = JOB["spec"]["entrypoint"].split()
    assert options[:3] == ["autodepth", "search", "--go-on"]
    assert CLUSTER["rayVersion"] == _pinned("ray")


@pytest.mark.parametrize(
    "command", [" ".join(MAIN["dashboard"]["command"]), JOB["spec"]["entrypoint"]]
)
def test_the_commands_have_options_that_there_are(command):
    words = command.split()[1:]
    known = {
        option
        for parameter in typer.main.get_command(app).commands[words[0]].params
        for option in parameter.opts
    }
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def _pinned(package: str) -> str:
    text = (compose.ROOT / "constraints.txt").read_text()
    return re.search(rf"^{package}==(.*)$", text, re.MULTILINE)[1]
