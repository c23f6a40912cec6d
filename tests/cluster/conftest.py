"""A Ray cluster of three hosts, and a fourth that studies are submitted from."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from cluster.hosts import hosts, run, start_head, start_worker


def why_not() -> str:
    """Say why this machine cannot have hosts of its own; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2's `ip`"
    name = f"adc{os.getpid()}t"
    try:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "add", "br0", "type", "bridge")
    except AssertionError as error:
        return f"no network namespaces with a bridge here: {error}"
    finally:
        run("ip", "netns", "del", name, check=False)
    return ""


@pytest.fixture(scope="module")
def cluster():
    """Hosts by name: desk, head, one, two; and Ray on the last three."""
    if reason := why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="adc", dir="/tmp"))  # sockets take short paths only
    with hosts(("head", "one", "two", "desk"), folder) as made:
        (folder / "shared").mkdir()
        start_head(made["head"])
        for name in ("one", "two"):
            start_worker(made[name], made["head"])
        yield made
