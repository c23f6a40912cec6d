"""What the ledger knows of a study and of one trial. Plain values: no database here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, Literal

from autodepth.front.objective import Objective
from autodepth.front.selection import FrontPoint, front_points
from autodepth.trial.result import TrialResult, TrialState

TrialKind = Literal["search", "unpruned", "confirm", "control"]
LOST = "its driver ended while it ran"
"""Why a trial failed that is found running though nothing drives its study."""
SPENT = "the budget was spent"
"""How a study ends that ran to its end."""
EXHAUSTED = "nothing is left to try: every policy that was suggested came to a known network"
"""How a study ends whose space is smaller than its budget."""
INTERRUPTED = "interrupted"
"""How a study ends that a person or the system ended early."""
BEGUN_AGAIN = "begun again"
EXPECTED = "expected"
NO_RUNGS = (BEGUN_AGAIN, EXPECTED)
"""Names of verdicts that compare a trial with no other."""
"""Takes the place of a rung where a trial had to begin anew, which is no verdict on it."""
WORKER_DIED = "its worker died"
"""How the reason begins of a trial whose process is gone while its study goes on."""
WEIGHTS_LOST = "its weights did not arrive"
"""How the reason begins of a trial on another node whose result came without its weights."""
NODE_LEAVES = "its node leaves the cluster"
"""Why a trial failed that was put down in time, to go on elsewhere."""


BROKEN_OFF = (LOST, WORKER_DIED, WEIGHTS_LOST, NODE_LEAVES)
"""How the reasons begin of trials that failed through no doing of their own."""


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, milliseconds; texts sort as the times do."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """What a study is, fixed when it starts, and how it ended.

    Args:
        name: the study's name.
        seed: the seed every draw of the study derives from.
        objectives: what is optimised, with the corner of the hypervolume.
        plan: everything else needed to carry the study on: space, budget, data, device. JSON only.
        created_at: ISO 8601, UTC.
        ended_at: the same; None while the study may go on.
        outcome: why it ended, in words; None while the study may go on.
    """

    name: str
    seed: int
    objectives: tuple[Objective, ...]
    plan: Mapping[str, Any]
    created_at: str = field(default_factory=utc_now)
    ended_at: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial as the ledger has it.

    Args:
        number: dense from 0, in the order of starting.
        state: where the trial is in its life.
        kind: `search`, `unpruned` for the control that removes nothing, `confirm` for a policy of
            the front on fresh seeds, `control` for what a member of the front is compared with.
        point: the searched dimensions, flat, by the names of the space file.
        policy: the policy as `Policy.to_dict` writes it.
        reason: why the trial did not complete, or which constraints its result breaks; else None.
        about: number of the front member that a `confirm` or `control` trial belongs to.
        role: which control it is, or which bounds a person had solved; empty for others.
        replicate: which seeds it ran on; 0 in the search itself.
        started_at: ISO 8601, UTC.
        ended_at: the same; None while it runs.
        spent: device seconds the study had spent when the trial ended; None while it runs.
        device_seconds: all device time charged to the trial so far.
        result: what it brought back; None unless complete.
        node: address of the node of a cluster that it ran on; None on the driver's host, and
            where its worker died before it said so.
    """

    number: int
    state: TrialState
    kind: TrialKind
    point: Mapping[str, Any]
    policy: Mapping[str, Any]
    reason: str | None
    about: int | None = None
    role: str = ""
    replicate: int = 0
    started_at: str
    ended_at: str | None
    spent: float | None = None
    device_seconds: float
    result: TrialResult | None
    node: str | None = None

    @property
    def of_search(self) -> bool:
        """Whether it belongs to the search, not to what is asked of a member of its front."""
        return self.about is None

    @property
    def in_eight_bits(self) -> bool:
        """Whether its network computes in eight-bit integers."""
        return bool(self.policy.get("quantise", "none") == "int8")

    @property
    def broken_off(self) -> bool:
        """Whether it ended through no doing of its own, so that its policy is still to be tried."""
        lost = self.reason is not None and self.reason.startswith(BROKEN_OFF)
        return self.state is TrialState.CANCELLED or (self.state is TrialState.FAILED and lost)

    @property
    def counts(self) -> bool:
        """Whether it counts in a budget of trials: of the search, begun, and not broken off."""
        refused = self.state is TrialState.INFEASIBLE and self.device_seconds == 0
        chosen = self.of_search and not self.asked_for
        return chosen and not refused and not self.broken_off

    @property
    def asked_for(self) -> bool:
        """Whether a person had it carried out as the answer for some bounds: `role` says which."""
        return self.kind == "search" and bool(self.role)

    @property
    def carried_out(self) -> Mapping[str, Any]:
        """The policy as it was carried out: with smaller batches where memory did not suffice."""
        if self.result is None or self.result.batch_size is None:
            return self.policy
        train = {**self.policy["train"], "batch_size": self.result.batch_size}
        return {**self.policy, "train": train}

    @property
    def front_point(self) -> FrontPoint | None:
        """This trial as a candidate for the front: of the search, complete and within bounds."""
        if self.result is None or self.reason is not None or not self.of_search:
            return None
        return FrontPoint(
            trial=self.number,
            point=self.result.point,
            policy=self.carried_out,
            removed=self.result.removed,
        )


def front_of(records: Sequence[TrialRecord], objectives: Sequence[Objective]) -> list[FrontPoint]:
    """Return the front of the complete records, by number."""
    return front_points([p for record in records if (p := record.front_point)], objectives)


def confirmed_means(records: Sequence[TrialRecord]) -> dict[int, float]:
    """Return the mean validation accuracy on fresh seeds by trial, of those confirmed."""
    found: dict[int, list[float]] = {}
    for record in records:
        if record.kind == "confirm" and record.about is not None and record.result is not None:
            accuracy = record.result.point.validation_accuracy
            found.setdefault(record.about, []).append(accuracy)
    return {trial: fmean(accuracies) for trial, accuracies in found.items()}
