"""Where stages of trials are kept for later trials, of other studies too."""

from __future__ import annotations

import os

from autodepth.paths import absolute_location
from autodepth.records.studies import CACHE, studies_root
from autodepth.trial.cache.cache import LIMIT_BYTES
from autodepth.units import parse_bytes

CACHE_VARIABLE = "AUTODEPTH_CACHE"
LIMIT_VARIABLE = "AUTODEPTH_CACHE_LIMIT"


def cache_location(storage: str | None = None) -> str:
    """Return the folder or URL of the cache: $AUTODEPTH_CACHE, else `cache` beside the studies.

    Args:
        storage: where nodes of a cluster write; the cache is then there, whatever this host sets.
    """
    if storage is not None:
        return f"{storage.rstrip('/')}/{CACHE}"
    return absolute_location(os.environ.get(CACHE_VARIABLE) or str(studies_root() / CACHE))


def cache_limit_bytes() -> int:
    """Return what entries may take: $AUTODEPTH_CACHE_LIMIT, else 4 GB.

    Raises:
        InputError: it is no size.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    return parse_bytes(text) if text else LIMIT_BYTES
