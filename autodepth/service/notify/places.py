"""Where people are told: webhooks by HTTP, and whatever apprise knows.

A URL may be a secret. So a place has a name that may be shown, and nothing else of it is kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autodepth.errors import InputError, TrackingError

_ANSWER_SECONDS = 10.0
_REDIRECT = 300
_OF_WEB = ("http", "https")


@dataclass(frozen=True, kw_only=True)
class NotifyPlace:
    """Where people are told.

    Args:
        name: what may be shown: `env:NAME`, `file:PATH`, or scheme and host of a webhook.
        key: what the ledger calls it.
        url: where messages go.
    """

    name: str
    key: str
    url: str = field(repr=False)


def read_places(told: Iterable[str]) -> list[NotifyPlace]:
    """Read places as people give them, each once.

    Args:
        told: `env:NAME` of a variable or `file:PATH` of a file that holds a URL, or a URL.

    Raises:
        InputError: one cannot be read, or no message can go there; no URL is in the text.
    """
    return [_read(text) for text in dict.fromkeys(told)]


def _read(told: str) -> NotifyPlace:
    kind, _, rest = told.partition(":")
    if kind == "env":
        url = os.environ.get(rest, "")
    elif kind == "file":
        try:
            url = Path(rest).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{told} must be a file that holds a URL, but: {error}") from None
    else:
        url = told
    url = url.strip()
    name = told if kind in {"env", "file"} else _without_secrets(url)
    if "://" not in url:
        raise InputError(
            f"a place to notify must be a URL, env:NAME or file:PATH, but {name} has no URL"
        )
    if not _of_web(url):
        _apprise(url, name)
    return NotifyPlace(name=name, key=hashlib.sha256(told.encode()).hexdigest()[:16], url=url)


def deliver(place: NotifyPlace, message: Mapping[str, Any]) -> None:
    """Send one message; a webhook gets it as JSON, its key also as `Idempotency-Key`.

    One that a webhook took in and did not answer in time counts as delivered: sent again, it
    would be there twice.

    Raises:
        TrackingError: it was not taken; no URL is in the text.
    """
    if not _of_web(place.url):
        title = f"autodepth: {message['study']}"
        if not _apprise(place.url, place.name).notify(body=message["text"], title=title):
            raise TrackingError("not taken")
        return
    import requests  # noqa: PLC0415 - a hundred modules, on the way to every trial otherwise

    try:
        answer = requests.post(
            place.url,
            json=dict(message),
            headers={"Idempotency-Key": message["key"]},
            timeout=_ANSWER_SECONDS,
            allow_redirects=False,  # followed, a message would become a question
            stream=True,  # what it says does not matter
        )
    except requests.ReadTimeout:
        return
    except requests.RequestException as error:
        raise TrackingError(type(error).__name__) from None
    answer.close()
    if answer.status_code >= _REDIRECT:
        raise TrackingError(f"status {answer.status_code}")


def _of_web(url: str) -> bool:
    return urlsplit(url).scheme in _OF_WEB


def _without_secrets(url: str) -> str:
    """Return what may be shown of a URL: of a webhook its host, of others the scheme alone."""
    scheme, _, rest = url.partition("://")
    host = urlsplit(url).hostname if scheme in _OF_WEB else None
    return f"{scheme}://{host or ''}..." if rest else "it"


def _apprise(url: str, name: str) -> Any:
    try:
        from apprise import Apprise  # noqa: PLC0415 - an extra
    except ImportError:
        raise InputError(
            f"{name} must be a webhook (https://...), or apprise be there for all else: "
            "pip install 'autodepth[notify]'"
        ) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would write URLs
    opened = Apprise()
    if not opened.add(url):
        raise InputError(f"{name} must be a URL that apprise knows")
    return opened
