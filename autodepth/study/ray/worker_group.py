"""The other ranks of a trial that computes on several devices, as Ray actors.

Ray Tune reserves a bundle of resources per rank, all on one node. In the first of them is the
worker that carries the trial out; here it starts the others, which stay with it from trial to
trial. Ray Train would start a controller and all ranks anew for each trial, and cannot be made to
stop one without losing what it reserved (docs/scaling.md).
"""

from __future__ import annotations

import os
import socket
import tempfile
import traceback
from pathlib import Path
from typing import Any

import ray
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from autodepth.errors import AutodepthError
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.rank_worker import follow
from autodepth.trial.training.data_parallel import Ranks

_REASON_SECONDS = 10.0


class RankLostError(AutodepthError):
    """A rank of a trial is gone: the attempt is lost, and worth another."""


class WorkerGroup:
    """The ranks of one worker; its process ends with the worker's.

    Args:
        size: how many ranks, this process included.
        context: what all trials share.
        cpus: CPUs of each rank.
        gpus: GPUs of each rank.
    """

    def __init__(self, size: int, context: TrialContext, *, cpus: float, gpus: float) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="autodepth-ranks-"))
        group, shared = get_current_placement_group(), ray.put(context)
        assert group is not None, "a trial with several ranks is placed as a group"
        self._others: list[Any] = []
        for rank in range(1, size):
            strategy = PlacementGroupSchedulingStrategy(
                placement_group=group, placement_group_bundle_index=rank
            )
            place = ray.remote(num_cpus=cpus, num_gpus=gpus, scheduling_strategy=strategy)
            actor: Any = place(_Rank).remote()
            self._others.append((actor, actor.follow.remote(rank, size, self._place, shared)))
        _listen_here_alone()
        self.ranks = Ranks.join(0, size, self._place / "meeting", context.device)

    def check(self) -> None:
        """See whether all ranks are there.

        Raises:
            RankLostError: one is gone.
        """
        calls = [call for _, call in self._others]
        gone, _ = ray.wait(calls, timeout=_REASON_SECONDS if self.ranks.broken else 0)
        if not gone:
            return
        rank = 1 + calls.index(gone[0])
        told = self._place / f"rank{rank}"
        why = told.read_text().strip().splitlines()[-1] if told.exists() else "it was killed"
        raise RankLostError(f"rank {rank} of {self.ranks.size} is gone: {why}")

    def check_step(self) -> None:
        """See whether the ranks can go on with another trial; else this worker has to be replaced.

        Raises:
            RankLostError: they are no longer at the same step.
        """
        if self.ranks.broken:
            raise RankLostError("the ranks of a trial are no longer at the same step")


class _Rank:
    """A process that trains with the first rank of a trial."""

    def follow(self, rank: int, size: int, place: Path, context: TrialContext) -> None:
        """Join the others and do what the first rank does; ends with the process."""
        try:
            context.limit_threads()
            _listen_here_alone()
            ranks = Ranks.join(rank, size, place / "meeting", context.device)
            follow(ranks, context)
        except BaseException:  # noqa: BLE001 - whatever it is, the others must not wait for this one
            (place / f"rank{rank}").write_text(traceback.format_exc())
        os._exit(1)  # connections close with the process, and the other ranks learn of it


def _listen_here_alone() -> None:
    """Let ranks, which are on one machine, talk over its loopback interface."""
    if any(name == "lo" for _, name in socket.if_nameindex()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
