"""Every process of docker/compose*.yaml, started here from its own command, is healthy.

Images cannot be run here, so the commands, environments and health checks of the compose files run
as processes of this machine, with ports, folders and names of hosts translated.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from autodepth.records.mlflow.sync import sync_study

from . import compose
from .processes import answer, free_ports, started, wait_until

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
SERVICES = {
    name: service
    for file in ("compose.yaml", "compose.metrics.yaml")
    for name, service in compose.read(file, {**compose.SECRETS, "RAY_WORKER_CPUS": "1"})[
        "services"
    ].items()
}
# What an image runs where compose gives arguments alone.
ENTRYPOINTS = {"prometheus": ["prometheus"]}
NOT_HERE = {"grafana"}  # neither Debian nor PyPI has it
# Which ports a part listens on in its container: all of them differ here.
LISTENS = {
    "postgres": (5432,),
    "mlflow": (5000,),
    "ray-head": (6379, 8265, 52365, 8080),
    "ray-worker": (52365, 8080),
    "dashboard": (8700,),
    "prometheus": (9090,),
}
PATHS = ("/studies", "/artifacts", "/prometheus", "/etc/prometheus")


class Parts:
    """The parts of the compose files as processes; used as a context.

    Args:
        base: takes their files.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        keys = [(name, port) for name, ports in LISTENS.items() for port in ports]
        self.ports = dict(zip(keys, free_ports(len(keys)), strict=True))
        self.paths = {path: base / path.strip("/").replace("/", "-") for path in PATHS}
        for folder in self.paths.values():
            folder.mkdir()
        shutil.copy(compose.DOCKER / "prometheus.yml", self.paths["/etc/prometheus"])
        self._running = ExitStack()

    def url(self, service: str, port: int) -> str:
        return f"http://127.0.0.1:{self.ports[service, port]}"

    def environment(self, name: str) -> dict[str, str]:
        inherited = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        own = SERVICES[name].get("environment", {})
        folders = [Path(sys.executable).parent, *POSTGRES[-1:], "/usr/bin", "/bin"]
        return {
            **inherited,
            "PATH": os.pathsep.join(map(str, folders)),
            "AUTODEPTH_HOME": str(self.paths["/studies"]),  # as in the Dockerfile
            "RAY_USAGE_STATS_ENABLED": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "RAY_TMPDIR": str(self.base),
            "PGDATA": str(self.base / "postgres"),
            **{key: self._here(str(value), name) for key, value in own.items()},
        }

    def start(self, name: str) -> None:
        """Start a part, and wait until its health check passes."""
        service = SERVICES[name]
        command = [*ENTRYPOINTS.get(name, ()), *service["command"]]
        check = service["healthcheck"]["test"]
        assert check[0] == "CMD"
        environment, log = self.environment(name), self.base / f"{name}.log"
        user = self._make_database(environment) if name == "postgres" else None
        words = [self._here(word, name) for word in command]
        process = self._running.enter_context(started(words, environment, log, user=user))
        probe = [self._here(word, name) for word in check[1:]]

        def healthy() -> bool:
            done = subprocess.run(probe, env=environment, capture_output=True, check=False)
            return done.returncode == 0

        wait_until(healthy, process, log)

    def _here(self, value: str, name: str) -> str:
        return compose.translated(value, name, self.ports, self.paths)

    def _make_database(self, environment: dict[str, str]) -> int | None:
        """Make what PostgreSQL's image makes when it first starts; return the user it runs as."""
        user = 1000 if os.geteuid() == 0 else None  # it refuses to run as root
        data, secret = Path(environment["PGDATA"]), self.base / "secret"
        data.mkdir()
        secret.write_text(environment["POSTGRES_PASSWORD"])
        if user is not None:
            os.chown(data, user, user)
            os.chown(secret, user, user)
        own = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        initdb = [
            "initdb", "--auth=scram-sha-256", f"--username={environment['POSTGRES_USER']}",
            f"--pwfile={secret}",
        ]  # fmt: skip
        subprocess.run(initdb, env=environment, check=True, capture_output=True, cwd=data, **own)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"unix_socket_directories = '{data}'\n")
        # Only a server that nobody reaches takes commands before it starts.
        single = ["postgres", "--single", "-D", str(data), "postgres"]
        make = f"CREATE DATABASE {environment['POSTGRES_DB']}\n".encode()
        subprocess.run(single, env=environment, input=make, check=True, capture_output=True, **own)
        return user

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    if not POSTGRES:
        pytest.skip("no PostgreSQL here: Debian's package postgresql has it")
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus here: Debian's package prometheus has it")
    # Not pytest's own folder: others may not enter it, and sockets need a short path.
    base = Path(tempfile.mkdtemp(prefix="ad-", dir="/tmp"))
    base.chmod(0o755)
    try:
        with Parts(base) as found:
            for name in _in_order():
                found.start(name)
            yield found
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _in_order() -> list[str]:
    """Return the parts that can be started here, each after those it depends on."""
    order: list[str] = []
    left = [name for name in SERVICES if name not in NOT_HERE]
    while left:
        ready = [name for name in left if set(SERVICES[name].get("depends_on", ())) <= {*order}]
        assert ready, left
        order += ready
        left = [name for name in left if name not in ready]
    return order


def test_every_part_is_started_and_healthy(parts):
    assert {*SERVICES} == {*LISTENS} | NOT_HERE
    assert not parts.url("mlflow", 5000).endswith(":5000")


def test_mlflow_keeps_a_study_in_postgresql(parts, make_recorded, monkeypatch):
    folder = make_recorded("told", [(0.9, 40_000_000, 3.0), (0.8, 10_000_000, 2.0)])
    uri = parts.url("mlflow", 5000)
    assert sync_study(folder, uri) == 2

    import psycopg2

    secrets = parts.environment("postgres")
    with psycopg2.connect(
        host="127.0.0.1", port=parts.ports["postgres", 5432], dbname="mlflow",
        user="autodepth", password=secrets["POSTGRES_PASSWORD"],
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        cursor.execute("SELECT name FROM runs ORDER BY name")
        assert [name for (name,) in cursor] == ["told", "trial-0", "trial-1"]
    assert any(parts.paths["/artifacts"].rglob("front.json"))


def test_ray_has_two_nodes_and_answers_only_to_its_token(parts):
    jobs = parts.url("ray-head", 8265) + "/api/jobs/"
    token = compose.SECRETS["RAY_AUTH_TOKEN"]
    assert json.loads(answer(jobs, {"Authorization": f"Bearer {token}"})) == []
    with pytest.raises(urllib.error.HTTPError, match=r"40[13]"):
        answer(jobs)

    environment = parts.environment("ray-head")
    head = f"127.0.0.1:{parts.ports['ray-head', 6379]}"
    done = subprocess.run(
        ["ray", "status", f"--address={head}"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.count("node_") == 2
    assert "/1.0 CPU" in done.stdout


def test_the_dashboard_answers_to_its_token_alone(parts):
    page = parts.url("dashboard", 8700)
    token = compose.SECRETS["AUTODEPTH_DASHBOARD_TOKEN"]
    assert b"<html" in answer(page, {"Authorization": f"Bearer {token}"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        answer(page)


def test_the_nodes_of_ray_tell_prometheus_where_they_stand(parts):
    for name in ("ray-head", "ray-worker"):
        assert b"ray_node_cpu_utilization" in answer(parts.url(name, 8080) + "/metrics")
