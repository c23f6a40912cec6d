"""The nodes of a cluster as plain values: what each has, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autodepth.errors import ClusterError


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node that trials may run on.

    Args:
        name: its address, as people know it.
        id: Ray's name for it.
        cpus: CPUs it offers.
        gpus: GPUs it offers.
        here: whether the study's driver runs on it.
    """

    name: str
    id: str
    cpus: int
    gpus: int
    here: bool = False


def same_versions(mine: Mapping[str, str], theirs: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Compare what nodes run with what the driver runs; return what differs but may.

    Args:
        mine: version by name: `autodepth`, `python`, `torch`.
        theirs: the same by node; a version that is empty is not installed there.

    Raises:
        ClusterError: a node has no autodepth, another one, or no torch; all such nodes are named.
    """
    wrong, notes = [], []
    for node, versions in sorted(theirs.items()):
        if not versions["autodepth"]:
            wrong.append(f"{node} has no autodepth")
        elif versions["autodepth"] != mine["autodepth"]:
            wrong.append(f"{node} has autodepth {versions['autodepth']}")
        elif not versions["torch"]:
            wrong.append(f"{node} has no torch")
        notes += [
            f"{node} has {name} {versions[name]}, and the driver {mine[name]}: results may differ"
            for name in ("python", "torch")
            if versions[name] and versions[name] != mine[name]
        ]
    if wrong:
        raise ClusterError(
            f"all nodes must run autodepth {mine['autodepth']}, the driver's, but "
            + "; ".join(wrong)
        )
    return notes


def check_storage_given(nodes: Sequence[Node], storage: str | None) -> None:
    """Refuse trials on other hosts than the driver's without a place that all of them reach.

    Raises:
        ClusterError: there is none.
    """
    others = [node.name for node in nodes if not node.here]
    if others and storage is None:
        raise ClusterError(
            f"trials on other nodes ({', '.join(others[:4])}{', ...' if others[4:] else ''}) need "
            "a place that every node reaches for what they write: "
            "--storage file:///shared/folder or s3://bucket/folder"
        )
