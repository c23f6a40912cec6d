"""Compose files as Docker Compose would read them, and their parts as processes of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SECRETS = {
    "POSTGRES_PASSWORD": "p" * 32,
    "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
    "AUTODEPTH_DASHBOARD_TOKEN": "d" * 32,
    "GRAFANA_ADMIN_PASSWORD": "g" * 32,
}
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:-|:\?)([^}]*))?\})")


class MissingError(Exception):
    """A variable that must be set is not."""


def read(name: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Read a compose file, its variables filled in.

    Raises:
        MissingError: one that has to be set is not, as `docker compose` refuses it.
    """
    return _filled(yaml.safe_load((DOCKER / name).read_text()), environment)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, how, rest = match.groups()
        if name is None:
            return "$"
        if environment.get(name):
            return environment[name]
        if how == ":-":
            return rest
        raise MissingError(f"{name}: {rest}")

    return _VARIABLE.sub(fill, value)


def translated(
    value: str, service: str, ports: Mapping[tuple[str, int], int], paths: Mapping[str, Path]
) -> str:
    """Return a text of a service with what its container has replaced by what this machine has.

    Args:
        value: a word of its command, health check or environment.
        service: its name.
        ports: by (service, port in its container), a port of this machine.
        paths: by path in its container, a folder of this machine.
    """
    for (other, port), here in ports.items():
        value = value.replace(f"@{other}:{port}", f"@127.0.0.1:{here}")
        value = re.sub(rf"(?<![\w.-]){other}:{port}\b", f"127.0.0.1:{here}", value)
    for (owner, port), here in ports.items():
        if owner == service:
            value = re.sub(rf"(?<=[:=]){port}\b", str(here), value)
    known = "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    value = re.sub(rf"({known})(?![\w.-])", lambda found: str(paths[found[1]]), value)
    return value.replace("0.0.0.0", "127.0.0.1")
