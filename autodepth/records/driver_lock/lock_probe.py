"""Whether the locks of a file system keep other processes out: those of a network may do nothing.

A file system that is not known to lock is tried from another process, since some let the process
that holds a lock have it again and some let everybody. Mount options that keep locks on one machine
cannot be tried from that machine; they are read.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from autodepth.errors import StudyError

_MOUNTS = Path("/proc/self/mountinfo")
_KNOWN_TO_LOCK = frozenset(
    ("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs")
)
# nfs, cifs, lustre, gfs2 and ocfs2, as their manuals name them.
_ON_ONE_MACHINE = frozenset(
    ("local_lock=all", "local_lock=flock", "localflock", "localflocks", "nobrl", "noflock",
     "nolock")
)  # fmt: skip
_TRY = """
import fcntl, os, sys
try:
    fcntl.flock(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit(3)
"""
_ADVICE = "set AUTODEPTH_HOME to a folder on a local disk"


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a folder lies.

    Args:
        kind: type of the file system, such as `ext4` or `nfs4`; empty where nothing tells.
        options: all mount options.
    """

    kind: str = ""
    options: frozenset[str] = frozenset()


def check_locks_work(path: Path) -> None:
    """Make sure that a lock which this process holds keeps others out.

    Args:
        path: the file that this process has locked.

    Raises:
        StudyError: it does not, or only on this machine.
    """
    mount = mount_of(path.parent, _MOUNTS.read_text() if _MOUNTS.exists() else "")
    if only_here := mount.options & _ON_ONE_MACHINE:
        raise StudyError(
            "a study's folder must be on a file system whose locks hold for every machine, but "
            f"{path.parent} is on {mount.kind} mounted with {', '.join(sorted(only_here))}: "
            + _ADVICE
        )
    if mount.kind not in _KNOWN_TO_LOCK and _another_process_gets(path):
        raise StudyError(
            "a study's folder must be on a file system whose locks keep others out, but on "
            f"{path.parent} ({mount.kind or 'of an unknown type'}) a second process got a lock "
            f"that was taken: {_ADVICE}"
        )


def mount_of(folder: Path, table: str) -> Mount:
    """Return where a folder lies, by a table such as /proc/self/mountinfo: the last, longest match.

    A line is `id parent device root PLACE OPTIONS [tags] - KIND source OPTIONS`, octal escapes for
    blanks in places.
    """
    best, found = -1, Mount()
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        place = Path(before.split()[4].encode().decode("unicode_escape"))
        if folder.is_relative_to(place) and len(place.parts) >= best:
            kind, _, options = after.split(" ", 2)
            best = len(place.parts)
            every = {*before.split()[5].split(","), *options.split(",")}
            found = Mount(kind=kind, options=frozenset(every))
    return found


def _another_process_gets(path: Path) -> bool:
    done = subprocess.run(  # noqa: S603 - a fixed text
        [sys.executable, "-I", "-S", "-c", _TRY, str(path)], capture_output=True, check=False
    )
    return done.returncode == 0
