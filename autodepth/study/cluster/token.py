"""The token by which Ray knows who may send it work: made here, readable by its owner alone.

Ray makes one too where there is none, but lets every user of the machine read it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

_ELSEWHERE = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # a person keeps it there
_OTHERS = 0o077


def keep_token_private(home: Path | None = None) -> None:
    """See to it that there is a token, in Ray's own place, that only its owner reads.

    Args:
        home: the folder that holds `.ray`; None for that of the person.
    """
    if any(os.environ.get(name) for name in _ELSEWHERE):
        return
    path = (home or Path.home()) / ".ray" / "auth_token"
    with contextlib.suppress(OSError):  # then Ray says what it cannot do without
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        if path.stat().st_mode & _OTHERS:
            path.chmod(0o600)


def _make(path: Path) -> None:
    """Write a token whole, unless another process does first: both must go by the same."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(16)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_hex(32).encode())
        os.fsync(handle)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        os.close(handle)
        draft.unlink()
