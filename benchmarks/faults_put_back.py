"""Whether the state machine of a study finds faults that it once had, when they are put back.

    python benchmarks/faults_put_back.py            # some minutes

Each fault is put back by itself, and the machine of tests/search/test_study_machine.py runs on one
seed after the other until it fails, at most on ten.
"""

import sys
import unittest.mock
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from autodepth.records.trial_record import LOST
from autodepth.search.failures import Failures
from autodepth.search.foresight import Foresight
from autodepth.search.knowledge import Knowledge
from autodepth.search.study_driver import StudyDriver
from autodepth.trial.result import TrialState
from search.test_study_machine import StudyMachine

_SEEDS = range(10)
_init, _end, _began = Failures.__init__, Foresight.end, Knowledge.control_began


def _preemptions_count(self, *, borne, records=()):
    _init(self, borne=borne, records=records)
    failed = [r for r in records if r.state is TrialState.FAILED and r.reason != LOST]
    self._reasons += ["made up"] * (len(failed) - len(self._reasons))
    self._before = len(self._reasons)


def _waits_for_new_ones_only(self):
    if self.stop_requested or not self._running:
        return False
    if self._confirming.waits or self._at_wished_concurrency():
        return True
    return self.meter.may_start() and not self.proposals.exhausted


def _known_where_branches_go_at_once(self, policy):
    return _end(self, policy) if policy.removal == "one_shot" else None


def _always_trains_a_parent(self, number):
    _began(self, number)
    return True


def _counts_for_confirmation_too(self):
    if self.stop_requested or self._at_wished_concurrency() or not self.meter.may_start():
        return None
    return _next_task(self)


_next_task = StudyDriver.next_task
FAULTS = {
    "2 preemptions are failures after a resume": (Failures, "__init__", _preemptions_count),
    "3 a worker that asked in vain is not asked again": (
        StudyDriver, "waiting", property(_waits_for_new_ones_only),
    ),
    "4 greedy policies are never known": (Foresight, "end", _known_where_branches_go_at_once),
    "8 the control always counts as training a parent": (
        Knowledge, "control_began", _always_trains_a_parent,
    ),
    "11 a count of trials ends confirmation": (
        StudyDriver, "next_task", _counts_for_confirmation_too,
    ),
}  # fmt: skip


def found(number: int) -> str:
    """Return what the machine says on a seed; empty where it finds nothing."""
    machine = seed(number)(StudyMachine)
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=15,
                stateful_step_count=25,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
    except AssertionError as error:
        frame = error.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        return frame.tb_frame.f_code.co_name if frame else "an assertion"
    return ""


def main() -> None:
    """Print, for each fault, the seed it was found on and by what."""
    for name, (owner, attribute, faulty) in FAULTS.items():
        with unittest.mock.patch.object(owner, attribute, faulty):
            told = next(((n, what) for n in _SEEDS if (what := found(n))), None)
        print(f"{name}: {'not found' if told is None else f'seed {told[0]}, {told[1]}'}")
    told = next(((n, what) for n in _SEEDS if (what := found(n))), None)
    print(f"none put back: {'nothing found' if told is None else told}")


if __name__ == "__main__":
    main()
