"""Rungs: at which epochs a running trial is compared with others, and what came of it.

At a rung a trial is compared with all that reached the same share of their own schedules, on two
objectives: accuracy and cost. `stop_rule.py` says when it is hopeless. It is judged on what is
known at that moment and nobody waits, as in ASHA (Li et al. 2020, arXiv 1810.05934).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from autodepth.errors import InputError
from autodepth.study.stopping.stop_rule import RungPoint, RungRule, check_accuracy

PHASES = ("parent", "fine_tune", "scratch")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a rung said of one trial.

    Args:
        trial: its number.
        rung: phase and share of its schedule, such as `fine_tune 25 %`.
        rank: non-dominated rank among the trials compared, 1 on the first front.
        of: how many trials were compared, itself included.
        stop: whether the trial is given up.
        reason: why, in words.
    """

    trial: int
    rung: str
    rank: int
    of: int
    stop: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class _Phase:
    """What is known of one phase: points by rung and trial, and where trials ended."""

    at: dict[float, dict[int, RungPoint]] = field(default_factory=dict)
    ends: dict[int, float] = field(default_factory=dict)


class Rungs:
    """Compares trials at rungs and says which to stop; keeps what it said.

    Args:
        at: shares of a phase's epochs in (0, 1), rising. A rung is the first epoch at or past its
            share, unless that is the last one. Empty: nothing is judged.
        keep: share of the trials at a rung, in [0, 1], that goes on for its rank alone.
        margin: by how many standard deviations a trial has to be expected behind, at least 0;
            higher stops fewer.
        fewest: nobody is stopped at a rung before so many that passed it came to the end; at
            least 4.

    Raises:
        InputError: a value is out of its range.
    """

    def __init__(
        self,
        *,
        at: Sequence[float] = (0.25, 0.5),
        keep: float = 0.12,
        margin: float = 0.3,
        fewest: int = 5,
    ) -> None:
        if list(at) != sorted(set(at)) or not all(0 < share < 1 for share in at):
            raise InputError(f"rungs must rise and lie in (0, 1), but got {tuple(at)}")
        self.at = tuple(at)
        self.rule = RungRule(keep=keep, margin=margin, fewest=fewest)
        self._phases = {phase: _Phase() for phase in PHASES}
        self._verdicts: dict[tuple[int, str], Verdict] = {}

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts in the order they were given; a trial that repeats a rung has its last."""
        return tuple(self._verdicts.values())

    def report(
        self,
        trial: int,
        phase: str,
        epoch: int,
        epochs: int,
        accuracy: float,
        cost: float,
        *,
        rate: float = 1.0,
    ) -> Verdict | None:
        """Take in an epoch, and judge the trial where the epoch is a rung.

        Args:
            trial: number of the trial.
            phase: `parent`, `fine_tune`, or `scratch` where what is trained on was not trained.
            epoch: of this phase, from 1.
            epochs: of the phase in all, as the trial plans it.
            accuracy: validation accuracy, a fraction; at a rung, one that is not a number stops
                the trial.
            cost: of the network, in one unit per phase: MACs where it is fine-tuned; for a parent
                the share of branches it is expected to compute, so that its accuracy is read
                beside that of parents which drop as much or more.
            rate: highest learning rate of the phase's schedule, for all trials or for none; it
                tells what a one-cycle schedule still holds in store.

        Returns:
            The verdict, or None where the epoch is no rung.

        Raises:
            InputError: the phase is unknown, or a number is out of its range.
        """
        share = self.note(trial, phase, epoch, epochs, accuracy, cost, rate=rate)
        if share is None:
            return None
        verdict = self._judge(trial, phase, share)
        self.recall(verdict)
        return verdict

    def note(
        self,
        trial: int,
        phase: str,
        epoch: int,
        epochs: int,
        accuracy: float,
        cost: float,
        *,
        rate: float = 1.0,
    ) -> float | None:
        """Take in an epoch without judging it, as after a resume; arguments as for `report`.

        An epoch that is repeated replaces the earlier one.

        Returns:
            The share whose rung the epoch is, or None.

        Raises:
            InputError: the phase is unknown, or a number is out of its range.
        """
        if phase not in PHASES:
            raise InputError(
                f"a rung's phase must be one of {', '.join(PHASES)}, but got {phase!r}"
            )
        if not 1 <= epoch <= epochs:
            raise InputError(f"an epoch must be in 1..{epochs}, but got {epoch}")
        point = RungPoint(accuracy=accuracy, cost=cost, rate=rate)
        if epoch == epochs:
            self._end(phase, trial, accuracy)
            return None
        share = self._share(epoch, epochs)
        if share is not None:
            there = self._phases[phase].at.setdefault(share, {})
            there.pop(trial, None)
            if not math.isnan(accuracy):
                there[trial] = point
        return share

    def final(self, trial: int, accuracy: float) -> None:
        """Take in how accurate a completed trial is, one that ended before its last epoch too.

        Raises:
            InputError: the accuracy is out of its range.
        """
        check_accuracy(accuracy)
        self._end("fine_tune", trial, accuracy)

    def recall(self, verdict: Verdict) -> None:
        """Take in a verdict that was given before, as after a resume."""
        key = (verdict.trial, verdict.rung)
        self._verdicts.pop(key, None)
        self._verdicts[key] = verdict

    def _end(self, phase: str, trial: int, accuracy: float) -> None:
        if not math.isnan(accuracy):
            self._phases[phase].ends[trial] = accuracy

    def _share(self, epoch: int, epochs: int) -> float | None:
        """Return the share whose rung an epoch is; of two that fall together, the later."""
        # The tolerance keeps a share of 0.07 at the 7th of 100 epochs: 0.07 * 100 > 7.
        due = [share for share in self.at if math.ceil(share * epochs - 1e-9) == epoch]
        return due[-1] if due else None

    def _judge(self, trial: int, phase: str, share: float) -> Verdict:
        known, rung = self._phases[phase], f"{phase} {100 * share:.3g} %"
        there = known.at[share]
        if trial in there:
            of = len(there)
            rank, stop, why = self.rule.judge(trial, there, known.ends)
        else:
            of = len(there) + 1
            rank, stop, why = of, True, "its accuracy is not a number"
        reason = f"rank {rank} at {rung}: {why} ({of} trials compared)"
        return Verdict(trial=trial, rung=rung, rank=rank, of=of, stop=stop, reason=reason)
