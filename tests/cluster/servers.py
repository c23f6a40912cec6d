"""PostgreSQL and an MLflow server on it, on one host, as a user without rights."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from cluster.hosts import Host, run

USER = "postgres"  # Debian's package makes it


def why_no_postgres() -> str:
    """Say why there is no PostgreSQL here; empty if there is."""
    if not _programs():
        return "no PostgreSQL here (Debian: apt-get install postgresql)"
    return ""


def _programs() -> list[Path]:
    """Return the folders of PostgreSQL's programs, the newest last."""
    return [file.parent for file in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]


def start_postgres(host: Host) -> str:
    """Start a server that listens on the host's address; return what MLflow opens."""
    programs = _programs()[-1]
    place = host.folder / "pg"
    place.mkdir()
    shutil.chown(place, USER)
    for folder in (host.folder.parent, host.folder):
        folder.chmod(0o755)
    run("runuser", "-u", USER, "--", programs / "initdb", "-D", place / "data", "-A", "trust", "-N")
    rules = f"host all all {host.address}/32 trust\n"
    with (place / "data" / "pg_hba.conf").open("a") as file:
        file.write(rules)
    host.start(
        "runuser", "-u", USER, "--", str(programs / "postgres"), "-D", str(place / "data"),
        "-c", f"listen_addresses={host.address}", "-c", f"unix_socket_directories={place}",
        output=host.folder / "pg.log",
    )  # fmt: skip
    ask = ("runuser", "-u", USER, "--", str(programs / "psql"), "-h", host.address, "-c")
    for _ in range(120):
        status, _ = host.run(*ask, "CREATE DATABASE mlflow", "postgres")
        if status == 0:
            return f"postgresql+psycopg2://{USER}@{host.address}/mlflow"
        time.sleep(1)
    raise AssertionError((host.folder / "pg.log").read_text())


def start_mlflow(host: Host, store: str) -> str:
    """Start MLflow's server on a store; return its address inside the cluster's network."""
    log, place = host.folder / "mlflow.log", host.folder / "artifacts"
    server = host.start(
        "mlflow", "server", "--host", host.address, "--port", "5000", "--workers", "1",
        "--backend-store-uri", store, "--artifacts-destination", str(place),
        "--allowed-hosts", f"{host.address}:5000",
        output=log, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true",
    )  # fmt: skip
    address = f"http://{host.address}:5000"
    ask = f"import urllib.request as u; print(u.urlopen('{address}/health').read().decode())"
    for _ in range(180):
        status, text = host.run("python", "-c", ask)
        if status == 0 and "OK" in text:
            return address
        assert server.poll() is None, log.read_text()
        time.sleep(1)
    raise AssertionError(log.read_text())
