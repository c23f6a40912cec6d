"""Who may what: names, tokens, roles and allowances, from a file that its owner alone may read.

[alice]
token = "at least sixteen characters"
role = "steer"
allowance = "50gpu-h"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autodepth.errors import BudgetError, InputError, did_you_mean
from autodepth.units import Budget, parse_budget

Role = Literal["read", "steer"]
ROLES: tuple[Role, ...] = ("read", "steer")
SHORTEST_TOKEN = 16
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_FIELDS = ("token", "role", "allowance")
_OTHERS = 0o077  # of a file's mode


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Somebody who asks.

    Args:
        name: whose works are which.
        role: `read` looks only; `steer` queues searches and steers those of its own.
        token: what is shown; None where everybody who reaches the server is this one.
        allowance: device time that all works of its together may take; None without a limit.
    """

    name: str
    role: Role
    token: str | None = None
    allowance: Budget | None = None


LOCAL = Owner(name="local", role="steer")
"""Whoever reaches a server on this machine that has no tokens."""


def read_owners(path: Path) -> tuple[Owner, ...]:
    """Read a file of tokens.

    Raises:
        InputError: it is missing, others may read it, or it holds something else.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
        told = tomllib.loads(text)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"a file of tokens must be TOML that can be read, but {path}: {error}"
        ) from error
    if mode & _OTHERS:
        raise InputError(
            f"a file of tokens must be readable by its owner alone, but {path} has mode "
            f"{mode & 0o777:o}: chmod 600 {path}"
        )
    owners = tuple(_owner(path, name, values) for name, values in told.items())
    if not owners:
        raise InputError(f"a file of tokens must name somebody, but {path} is empty")
    if len({owner.token for owner in owners}) < len(owners):
        raise InputError(f"{path}: every token must be another one")
    return owners


def _owner(path: Path, name: str, values: Any) -> Owner:
    where = f"{path}: {name}"
    if not _NAME.fullmatch(name):
        raise InputError(f"{path}: a name must be 1 to 64 of A-Z a-z 0-9 . _ -, but got {name!r}")
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a table with {', '.join(_FIELDS)}, but got {values!r}")
    for key, value in values.items():
        if key not in _FIELDS:
            raise InputError(
                f"{where} has {', '.join(_FIELDS)}, but got {key!r}{did_you_mean(key, _FIELDS)}"
            )
        if not isinstance(value, str):
            raise InputError(f"{where}.{key} must be a text, but got {value!r}")
    token, role = values.get("token", ""), values.get("role", "read")
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise InputError(f"{where}.token must be {SHORTEST_TOKEN} ASCII characters or more")
    if role not in ROLES:
        raise InputError(f"{where}.role must be {' or '.join(ROLES)}, but got {role!r}")
    return Owner(name=name, role=role, token=token, allowance=_allowance(where, values))


def _allowance(where: str, values: Mapping[str, str]) -> Budget | None:
    if (text := values.get("allowance")) is None:
        return None
    try:
        budget = parse_budget(text)
    except BudgetError as error:
        raise InputError(f"{where}.allowance: {error}") from error
    if budget.device_seconds is None or (budget.wall_seconds, budget.trials) != (None, None):
        raise InputError(f"{where}.allowance must be device time such as 50gpu-h, but got {text!r}")
    return budget
