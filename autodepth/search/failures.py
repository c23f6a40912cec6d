"""When failures tell that going on is no use, for one policy and for the whole study."""

from __future__ import annotations

import json
from collections import Counter

from autodepth.policy.policy import Policy

# When so many trials fail and none has succeeded, the rest would too; likewise when twice as many
# did and they are more than those that succeeded.
_HOPELESS = 4
_MOST_ATTEMPTS = 3  # of a policy whose workers die


class Failures:
    """The failed trials of a study.

    Args:
        borne: how many failures the space bears, those `before` counted; None leaves it to the rule
            above.
        before: how many trials failed in earlier parts of the study.
    """

    def __init__(self, *, borne: int | None, before: int = 0) -> None:
        self._borne, self._before = borne, before
        self._reasons: list[str] = []
        self._attempts: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Count a trial that failed for a reason of its own."""
        self._reasons.append(reason)

    def hopeless(self, completed: int, *, any_complete: bool) -> str:
        """Return why going on would only spend the budget on more failures; empty if it would not.

        Args:
            completed: trials completed since this part of the study began.
            any_complete: whether any trial of the study ever was.
        """
        failed = len(self._reasons)
        if self._borne is not None:
            every = failed + self._before
            last = f": {self._reasons[-1]}" if self._reasons else ""
            trials = "trial" if every == 1 else "trials"
            told = f"{every} {trials} failed, and limits.failed_trials bears {self._borne}{last}"
            return told if every > self._borne else ""
        if failed >= _HOPELESS and not any_complete:
            return f"the first {failed} trials all failed, the last one: {self._reasons[-1]}"
        if failed >= 2 * _HOPELESS and failed > completed:
            ended = failed + completed
            return f"{failed} of {ended} trials failed, the last one: {self._reasons[-1]}"
        return ""

    def may_try_again(self, policy: Policy) -> bool:
        """Count a worker that died; return whether its policy is not to blame yet."""
        key = json.dumps(policy.to_dict(), sort_keys=True)
        self._attempts[key] += 1
        return self._attempts[key] < _MOST_ATTEMPTS
