"""How a trial ended, as it travels from a worker to the driver."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from autodepth.atomic import NO_ROOM
from autodepth.errors import DivergenceError, InfeasibleError
from autodepth.policy.policy import Policy
from autodepth.trial.context import TrialContext
from autodepth.trial.device.memory import free_memory, is_out_of_memory, memory_limit
from autodepth.trial.result import TrialResult, TrialState
from autodepth.trial.run_trial import OnEpoch, run_trial


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """A trial to be carried out.

    Args:
        number: its number in the ledger.
        policy: what to do.
        folder: where its files go.
        replicate: which seeds it runs on; 0 in the search itself.
        bounded: whether it may end where the study's bounds are broken; controls go on.
        hangs_after: seconds after which it must hang if it has not ended; None where it may take
            any.
    """

    number: int
    policy: Policy
    folder: Path
    replicate: int = 0
    bounded: bool = True
    hangs_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """The end of a trial: a result, or a state with its reason.

    Args:
        state: how it ended.
        reason: why, where it did not complete.
        result: what it brought back, where it did.
        lost: whether its worker died or its weights did not arrive, so that the policy may well
            succeed when tried again.
        halts: whether any other trial would end like it: the disk takes no more.
    """

    state: TrialState
    reason: str = ""
    result: TrialResult | None = None
    lost: bool = False
    halts: bool = False

    def to_json(self) -> str:
        """Return the outcome as text."""
        result = None if self.result is None else self.result.to_dict()
        return json.dumps(
            {
                "state": self.state,
                "reason": self.reason,
                "result": result,
                "lost": self.lost,
                "halts": self.halts,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> TrialOutcome:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        result = values["result"]
        return cls(
            state=TrialState(values["state"]),
            reason=values["reason"],
            result=None if result is None else TrialResult.from_dict(result),
            lost=values["lost"],
            halts=values["halts"],
        )


ERROR_FILE = "error.txt"
_SMALLEST_BATCH = 2  # below it there is no batch norm


Again = Callable[[str], None]
"""Hears that a trial begins anew, and why; nothing it told before counts."""


class StopTrial(BaseException):
    """Raised by a trial's callback to end the trial; not an error of the trial."""


def carry_out(
    task: TrialTask, context: TrialContext, on_epoch: OnEpoch, on_again: Again = lambda _: None
) -> TrialOutcome:
    """Run a trial and return how it ended; an error of its own never ends the study.

    Args:
        task: what to do.
        context: what all trials share.
        on_epoch: told of every epoch; what it raises ends the trial.
        on_again: told where memory ran out, before the trial begins anew with half the batch.
    """
    context = replace(
        context,
        replicate=task.replicate,
        constraints=context.constraints if task.bounded else (),
    )
    try:
        task.folder.mkdir(parents=True, exist_ok=True)
        with memory_limit(context.memory_bytes):
            result = _run(task, context, on_epoch, on_again)
    except (DivergenceError, InfeasibleError) as error:
        return TrialOutcome(state=TrialState.INFEASIBLE, reason=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this trial
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            reason = f"{task.folder.parent.parent} takes no more files: {error.strerror}"
            return TrialOutcome(state=TrialState.CANCELLED, reason=reason, halts=True)
        with contextlib.suppress(OSError):
            (task.folder / ERROR_FILE).write_text(traceback.format_exc())
        return TrialOutcome(state=TrialState.FAILED, reason=f"{type(error).__name__}: {error}")
    return TrialOutcome(state=TrialState.COMPLETE, result=result)


def _run(task: TrialTask, context: TrialContext, on_epoch: OnEpoch, on_again: Again) -> TrialResult:
    """Carry a policy out; where memory runs out, once more with half the batch.

    That is another policy: it has keys of its own for the stages that trials share.
    """
    policy, size = task.policy, task.policy.train.batch_size
    try:
        return run_trial(policy, context, folder=task.folder, on_epoch=on_epoch)
    except Exception as error:
        if not is_out_of_memory(error) or size < 2 * _SMALLEST_BATCH:
            raise
    # Only here: the error held on to every tensor of the calls it came through.
    free_memory()
    half = size // 2
    on_again(f"memory ran out with batches of {size}, so it began again with batches of {half}")
    result = run_trial(
        replace(policy, train=replace(policy.train, batch_size=half)),
        replace(context, evaluation_batch=context.evaluation_batch // 2),
        folder=task.folder,
        on_epoch=on_epoch,
    )
    return replace(result, batch_size=half)
