"""A Ray cluster of three hosts, and a fourth that studies are submitted from."""

import tempfile
from pathlib import Path

import pytest
from cluster.hosts import hosts, start_head, start_worker, why_no_hosts


@pytest.fixture(scope="module")
def cluster():
    """Hosts by name: desk, head, one, two; and Ray on the last three."""
    if reason := why_no_hosts():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="adc", dir="/tmp"))  # sockets take short paths only
    with hosts(("head", "one", "two", "desk"), folder) as made:
        (folder / "shared").mkdir()
        start_head(made["head"])
        for name in ("one", "two"):
            start_worker(made[name], made["head"])
        yield made
