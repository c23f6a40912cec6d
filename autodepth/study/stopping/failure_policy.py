"""When failures tell that going on is no use, for one policy and for the whole study."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from autodepth.records.trial_record import LOST, NODE_LEAVES, TrialRecord
from autodepth.trial.result import TrialState

# When so many trials fail and none has succeeded, the rest would too; likewise when twice as many
# did and they are more than those that succeeded.
_HOPELESS = 4
_MOST_ATTEMPTS = 3  # of a policy whose workers die
_NOBODY_IS_TO_BLAME = (NODE_LEAVES, LOST)


class FailurePolicy:
    """The failed trials of a study, counted alike while it runs and after a resume.

    Args:
        max_failures: how many the space allows, earlier parts of the study counted; None leaves it
            to the rule above, which counts those of this part alone.
        records: trials of earlier parts, by number.
    """

    def __init__(self, *, max_failures: int | None, records: Sequence[TrialRecord] = ()) -> None:
        self._max_failures = max_failures
        self._reasons: list[str] = []
        self._attempts: Counter[str] = Counter()
        self.given_up: list[int] = []
        """Trials of earlier parts whose workers died once too often, so that they stay failed."""
        for record in records:
            if record.state is not TrialState.FAILED:
                continue
            lost, reason = record.broken_off, record.reason or ""
            if not self.is_tried_again(record.policy, reason, lost=lost) and lost:
                self.given_up.append(record.number)
        self._before = len(self._reasons)

    def is_tried_again(self, policy: Mapping[str, Any], reason: str, *, lost: bool) -> bool:
        """Count a trial that failed; return whether its policy is carried out once more.

        Args:
            policy: what it carried out, as `Policy.to_dict` writes it.
            reason: why it failed.
            lost: whether its worker died or its weights did not arrive.
        """
        if lost and reason.startswith(_NOBODY_IS_TO_BLAME):
            return True
        key = json.dumps(dict(policy), sort_keys=True)
        self._attempts[key] += lost
        if lost and self._attempts[key] < _MOST_ATTEMPTS:
            return True
        self._reasons.append(reason)
        return False

    def reason_to_stop(self, completed: int) -> str:
        """Return why going on would only spend the budget on more failures; empty if it would not.

        Args:
            completed: trials of the study completed so far.
        """
        every, failed = len(self._reasons), len(self._reasons) - self._before
        last = f": {self._reasons[-1]}" if self._reasons else ""
        if self._max_failures is not None:
            trials = "trial" if every == 1 else "trials"
            rule = f"limits.failed_trials allows {self._max_failures}"
            told = f"{every} {trials} failed, and {rule}{last}"
            return told if every > self._max_failures else ""
        if failed >= _HOPELESS and not completed:
            return f"the first {failed} trials all failed, the last one{last}"
        if failed >= 2 * _HOPELESS and failed > completed:
            ended = failed + completed
            return f"{failed} of {ended} trials failed, the last one{last}"
        return ""
