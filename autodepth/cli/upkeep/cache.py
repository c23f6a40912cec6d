"""`autodepth cache`: show or clean up what earlier trials keep for later ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodepth.cli.console import give, give_json
from autodepth.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autodepth.trial.cache.cache import CacheEntry, StageCache


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Take everything away.")] = False,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Take the least recently used away until no more than this is left.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what is kept of the phases of earlier trials, or clean it up.

    Cleaning costs time, not results: what is missing is computed again.
    The cache is beside the studies, or at $AUTODEPTH_CACHE: a folder, or a
    URL such as s3://bucket/cache. It may take $AUTODEPTH_CACHE_LIMIT, else 4 GB.

    Example: autodepth cache --limit 1GB
    """
    from autodepth.errors import AutodepthError, InputError
    from autodepth.units import format_bytes, parse_bytes

    if clear and limit is not None:
        raise InputError(f"at most one of --clear and --limit may be given, but got {limit}")
    wanted = None if limit is None else parse_bytes(limit)
    kept = _opened()
    try:
        freed = kept.clear() if clear else 0 if wanted is None else kept.trim(wanted)
        entries = kept.entries()
    except OSError as error:
        raise AutodepthError(f"the cache {kept.location} cannot be read: {error}") from error
    if json:
        give_json(_summary(kept, entries, freed))
        return
    if clear or limit is not None:
        give(f"{format_bytes(freed)} freed")
    _print(kept, entries)


def _opened() -> StageCache:
    from autodepth.records.cache_place import cache_limit_bytes, cache_location
    from autodepth.trial.cache.cache import StageCache

    return StageCache(cache_location(), limit_bytes=cache_limit_bytes())


def _summary(kept: StageCache, entries: Sequence[CacheEntry], freed: int) -> dict[str, Any]:
    from autodepth.records.cache_place import cache_limit_bytes

    kinds = sorted({entry.kind for entry in entries})
    return {
        "location": kept.location,
        "limit_bytes": cache_limit_bytes(),
        **_totals(entries),
        "freed_bytes": freed,
        "kinds": {
            kind: _totals([entry for entry in entries if entry.kind == kind]) for kind in kinds
        },
    }


def _totals(entries: Sequence[CacheEntry]) -> dict[str, Any]:
    used = max((entry.used for entry in entries), default=0.0)
    return {
        "entries": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "last_used": datetime.fromtimestamp(used, UTC).isoformat(timespec="seconds")
        if used
        else None,
    }


def _print(kept: StageCache, entries: Sequence[CacheEntry]) -> None:
    from rich.console import Console
    from rich.table import Table

    from autodepth.units import format_bytes

    found = _summary(kept, entries, 0)
    size = f"{format_bytes(found['bytes'])} of at most {format_bytes(found['limit_bytes'])}"
    give(f"{kept.location}: " + (size if entries else "empty"))
    if not entries:
        return
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("kind")
    table.add_column("entries", justify="right")
    table.add_column("size", justify="right")
    table.add_column("last used (UTC)")
    for kind, total in found["kinds"].items():
        last = (total["last_used"] or "-")[:16].replace("T", " ")
        table.add_row(kind, str(total["entries"]), format_bytes(total["bytes"]), last)
    Console().print(table)
