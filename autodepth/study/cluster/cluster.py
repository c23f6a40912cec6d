"""An existing Ray cluster: reached, asked what it has, and tried before any trial runs on it."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from autodepth.errors import AccessError, ClusterError, InputError
from autodepth.paths import absolute_location
from autodepth.study.cluster import node_probe
from autodepth.study.cluster.environment import (
    no_code_of_ours,
    prepare_for_ray,
    signal_handlers_kept,
)
from autodepth.study.cluster.nodes import Node, check_storage_given, same_versions

prepare_for_ray()

import ray  # noqa: E402
from ray.exceptions import AuthenticationError, GetTimeoutError, RayError  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from autodepth.study.cluster.shipping import ShippedFiles  # noqa: E402
from autodepth.study.cluster.shutdown import shut_down_ray  # noqa: E402
from autodepth.tasks.own_task import TaskSpec  # noqa: E402

_Answer = TypeVar("_Answer")
_ANSWER_SECONDS = 120.0  # a node may have to start a process and import torch for its answer
_CONNECT_SECONDS = 5.0
_REFUSED = ("InvalidAuthToken", "Unauthenticated")  # in what Ray's core says on its own stderr
_HOW_TO_ENTER = (
    "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster this process is connected to.

    Args:
        nodes: those that trials may run on.
        storage: folder or URL that all of them reach; None where only this host is used.
        notes: what a person should know of the nodes, in sentences.
    """

    nodes: tuple[Node, ...]
    storage: str | None
    notes: tuple[str, ...]

    def run(
        self, function: Callable[..., _Answer], *args: Any, cpus: float, gpus: float
    ) -> _Answer:
        """Run a function on a node that has what it takes, and return its answer.

        Raises:
            AutodepthError: as the function raises it.
            ClusterError: it failed otherwise, or no node has room for it.
        """
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(function)
        try:
            return ray.get(remote.remote(*args), timeout=5 * _ANSWER_SECONDS)  # type: ignore[no-any-return]
        except GetTimeoutError as error:
            raise ClusterError(
                f"a trial needs {cpus:g} CPUs and {gpus:g} GPUs of one node, but none was free"
            ) from error
        except RayError as error:
            cause = getattr(error, "cause", None)
            raise (cause if isinstance(cause, InputError) else ClusterError(str(error))) from error

    def check_sees(self, path: Path) -> None:
        """Refuse nodes that do not have at a path what the driver has there.

        Raises:
            ClusterError: some have not; all of them are named.
        """
        seen = _ask(self.nodes, node_probe.sees, lambda _: (str(path),))
        if blind := [name for name, sees in seen.items() if not sees]:
            raise ClusterError(
                f"images too many for memory stay files, so every node must have {path}, but "
                f"{', '.join(blind)} has not"
            )

    def check_examples(self, learns: TaskSpec, shipped_files: ShippedFiles, known: str) -> None:
        """Refuse nodes whose examples of a task are not the driver's.

        Args:
            learns: a task that reads its examples itself.
            shipped_files: its code.
            known: the fingerprint of the driver's.

        Raises:
            ClusterError: some have none or others; all of them are named.
        """
        others = [node for node in self.nodes if not node.here]
        told = _ask(others, node_probe.examples_of, lambda _: (learns, shipped_files))
        wrong = [
            f"{name}: {error or 'it has others'}"
            for name, (found, error) in told.items()
            if found != known
        ]
        if wrong:
            raise ClusterError(
                f"every node must have the examples of {learns.name} where the driver has them, "
                f"but {'; '.join(wrong)}"
            )


@contextmanager
def connected(address: str, *, storage: str | None = None) -> Iterator[Cluster]:
    """Connect to a cluster, try its nodes, and let go of it in the end; it goes on without us.

    Args:
        address: `HOST:PORT` of its head, or `auto` on one of its nodes.
        storage: folder or URL that all nodes reach; needed where trials run on other hosts.

    Raises:
        AccessError: the cluster wants another token.
        InputError: the address or the storage cannot be used.
        ClusterError: it does not answer, has nothing to run trials on, or a node has another
            autodepth or does not reach the storage.
    """
    storage = None if storage is None else checked_storage(storage)
    _connect(address)
    try:
        nodes = _nodes()
        check_storage_given(nodes, storage)
        notes = same_versions(node_probe.versions(), _versions(nodes))
        if storage is not None:
            _try_storage(nodes, storage)
        yield Cluster(nodes=nodes, storage=storage, notes=tuple(notes))
    finally:
        shut_down_ray()


def checked_storage(storage: str) -> str:
    """Return a storage as every host writes it.

    Raises:
        InputError: it carries a password, which would end up in records.
    """
    if "@" in urlsplit(storage).netloc:
        raise InputError(
            "a storage must be named without user and password (they are read from the "
            "environment of each node), but got one with them"
        )
    return absolute_location(storage)


def _connect(address: str) -> None:
    if address.startswith("ray://"):
        raise InputError(
            f"the driver of a study must run on a node of the cluster, but got {address}; "
            "from elsewhere: autodepth submit --address http://HEAD:8265"
        )
    _knock(address)
    with _stderr_of_core() as said, signal_handlers_kept():
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                job_config=no_code_of_ours(),
            )
        except AuthenticationError as error:
            raise AccessError(
                f"the Ray cluster at {address} wants a token: {_HOW_TO_ENTER}"
            ) from error
        except Exception as error:
            if any(word in said() for word in _REFUSED):
                raise AccessError(
                    f"the Ray cluster at {address} does not take the token it was given, or wants "
                    f"one and was given none: {_HOW_TO_ENTER}"
                ) from error
            raise ClusterError(f"no Ray cluster can be used at {address}: {error}") from error


def _knock(address: str) -> None:
    """Refuse an address that nothing listens at: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if address in {"auto", "local"} or not port.isdecimal():
        if address != "auto":
            raise InputError(
                f"the address of a cluster must be HOST:PORT or auto, but got {address!r}"
            )
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"no Ray cluster answers at {address}: {error.strerror or error}"
        ) from error


@contextmanager
def _stderr_of_core() -> Iterator[Callable[[], str]]:
    """Keep what Ray's core writes to stderr: only there it says that a token was wrong."""
    with tempfile.TemporaryFile() as kept:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)

        def said() -> str:
            kept.seek(0)
            return kept.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)


def _nodes() -> tuple[Node, ...]:
    """Return the living nodes that offer CPUs.

    Raises:
        ClusterError: there is none.
    """
    mine = ray.get_runtime_context().get_node_id()
    found = [
        Node(
            name=node["NodeManagerAddress"],
            id=node["NodeID"],
            cpus=int(node["Resources"].get("CPU", 0)),
            gpus=int(node["Resources"].get("GPU", 0)),
            here=node["NodeID"] == mine,
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]
    offering = tuple(node for node in found if node.cpus)
    if not offering:
        raise ClusterError(
            f"trials need CPUs, but none of the cluster's {len(found)} nodes has any"
        )
    return offering


def _versions(nodes: Sequence[Node]) -> dict[str, dict[str, str]]:
    ray.cloudpickle.register_pickle_by_value(node_probe)  # type: ignore[no-untyped-call]
    try:
        return _ask(nodes, node_probe.versions, lambda _: ())
    finally:
        ray.cloudpickle.unregister_pickle_by_value(node_probe)  # type: ignore[no-untyped-call]


def _try_storage(nodes: Sequence[Node], storage: str) -> None:
    """Let every node read what the driver wrote, and the driver what every node wrote.

    Raises:
        ClusterError: some cannot; all of them are named.
    """
    where, word, me = f"{storage.rstrip('/')}/probe", secrets.token_hex(16), "driver"
    try:
        node_probe.leave_word(where, word, me)
    except OSError as error:
        raise ClusterError(f"the driver's host cannot write to {storage}: {error}") from error
    try:
        answers = _ask(nodes, node_probe.answer_word, lambda node: (where, word, me, node.name))
        for node in nodes:
            if not answers[node.name]:
                try:
                    node_probe.find_word(where, word, node.name)
                except Exception as error:  # noqa: BLE001
                    answers[node.name] = f"the driver does not see what it wrote there ({error})"
    finally:
        for host in (me, *(node.name for node in nodes)):
            node_probe.forget_word(where, word, host)
    if failed := [f"{name}: {why}" for name, why in answers.items() if why]:
        raise ClusterError(f"every node must reach {storage}, but " + "; ".join(failed))


def _ask(
    nodes: Sequence[Node],
    question: Callable[..., _Answer],
    arguments: Callable[[Node], Sequence[Any]],
) -> dict[str, _Answer]:
    """Run a function on each node; return the answers by name of the node.

    Raises:
        ClusterError: a node does not answer.
    """
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
        options: Any = {"num_cpus": 0, "scheduling_strategy": there}  # stubs know fewer
        remote = ray.remote(**options)(question)
        asked[node.name] = remote.remote(*arguments(node))
    answers = {}
    for name, reference in asked.items():
        try:
            answers[name] = ray.get(reference, timeout=_ANSWER_SECONDS)
        except RayError as error:
            raise ClusterError(f"{name} does not answer: {error}") from error
    return answers
