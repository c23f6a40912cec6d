"""Whatever happens in whatever order, the ledger says what a model of ten lines says."""

import math
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from autodepth.errors import InputError, StudyInUseError
from autodepth.front.objective import Objective
from autodepth.records.driver_lock import heartbeat
from autodepth.records.driver_lock import lock as control
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.fsck import broken_invariants, end_lost_trials, sweep
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.cursor import Outbox, Progress
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import LOST, StudyRecord
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult, TrialState

seconds = st.floats(0, 100)
EXAMPLES = 5 if "AUTODEPTH_FAULT_SHARE" not in os.environ else 100  # with it in `make faults`
accuracies = st.integers(0, 60).map(lambda right: right / 60)


def make_study():
    return StudyRecord(
        name="digits",
        seed=7,
        objectives=(
            Objective(name="validation_accuracy", goal="maximize", reference=0.0),
            Objective(name="macs", goal="minimize", reference=10.0),
        ),
        plan={},
    )


def make_result(accuracy, macs):
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy, validation_loss=0.3, macs=macs, effective_macs=macs,
            parameters=2, size_bytes=8, latency_ms=2.5,
        ),
        removed=(), sensitivities={}, survival=(1.0,), parent_accuracy=0.9, pruned_accuracy=0.8,
        phase_seconds={"parent": 4.0},
    )  # fmt: skip


class LedgerMachine(RuleBasedStateMachine):
    """A driver that asks, hears, ends, dies, goes on and tells a tracking store."""

    running = Bundle("running")

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="ledger-machine-"))
        self.folder = StudyFolder(self.root / "digits")
        self.folder.path.mkdir()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(control, "_PATIENCE_SECONDS", 0.0)  # nobody merely looks here
        self.lock = DriverLock(self.folder).__enter__()
        self.ledger = Ledger.create(self.folder.ledger_path, make_study())
        self.ledger.begin_driving()
        self.states, self.results, self.told = {}, {}, {}
        self.spent = 0.0

    def teardown(self):
        self.ledger.close()
        self.lock.__exit__(None, None, None)
        self.patch.undo()
        shutil.rmtree(self.root)

    @rule(target=running, parents=st.integers(0, 3))
    def ask(self, parents):
        number = self.ledger.start_trial("search", {}, {"number": len(self.states), "p": parents})
        assert number == len(self.states)
        self.states[number] = TrialState.RUNNING
        return number

    @rule(number=running, accuracy=accuracies)
    def report(self, number, accuracy):
        step = len(self.ledger.epochs(number)) + 1
        epoch = EpochReport(
            phase="parent", step=step, train_loss=0.3, train_accuracy=0.9,
            validation_accuracy=accuracy, branches_expected=8.0, branches_computed=8.0,
            gradient_norms={}, images_per_second=9.0, seconds=1.0,
        )  # fmt: skip
        if self.states[number] is TrialState.RUNNING:
            self.ledger.record([(number, epoch)])
        else:  # a late word of an attempt that was given up
            with pytest.raises(InputError, match="must be running to change"):
                self.ledger.record([(number, epoch)])

    @rule(number=consumes(running), took=seconds, accuracy=accuracies, macs=st.integers(1, 9))
    def finish(self, number, took, accuracy, macs):
        if self.states[number] is not TrialState.RUNNING:
            return
        self.spent += took
        self.ledger.complete_trial(number, make_result(accuracy, macs), took, spent=self.spent)
        self.states[number], self.results[number] = TrialState.COMPLETE, (accuracy, macs)

    @rule(
        number=consumes(running), took=seconds,
        state=st.sampled_from([TrialState.FAILED, TrialState.STOPPED, TrialState.CANCELLED]),
    )  # fmt: skip
    def fail(self, number, took, state):
        if self.states[number] is not TrialState.RUNNING:
            return
        self.spent += took
        self.ledger.end_trial(number, state, "because", took, spent=self.spent)
        self.states[number] = state

    @rule(target=running, left=st.booleans())
    def crash_and_resume(self, left):
        """The driver dies: its lock and connection are gone, files may stay half written."""
        self.ledger.close()
        self.lock.__exit__(None, None, None)
        if left:
            (self.folder.path / f".front.html.{'0b' * 16}").write_text("<ht")
        found = {breach.mend is None for breach in broken_invariants(self.folder)}
        assert True not in found
        self.lock = DriverLock(self.folder).__enter__()
        self.ledger = Ledger.open(self.folder.ledger_path)
        self.ledger.begin_driving()
        self._end_lost()
        sweep(self.folder.path)
        return multiple()

    def _end_lost(self):
        end_lost_trials(self.ledger, 1.0)
        for number, state in self.states.items():
            if state is TrialState.RUNNING:
                assert self.ledger.trial(number).reason == LOST
                self.states[number] = TrialState.FAILED

    @rule()
    def start_beside(self):
        with pytest.raises(StudyInUseError), DriverLock(self.folder):
            pass
        with pytest.raises(StudyInUseError), DriverLock(self.folder, takeover=True):
            pass  # it lives

    @rule(number=running)
    def take_over(self, number):
        """The driver hangs, another goes on without it, and it wakes up with something to say."""
        hung_lock, hung = self.lock, self.ledger
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(heartbeat, "LEASE_SECONDS", -1.0)
            self.lock = DriverLock(self.folder, takeover=True).__enter__()
        self.ledger = Ledger.open(self.folder.ledger_path)
        self.ledger.begin_driving()
        self._end_lost()
        for late in (
            lambda: hung.start_trial("search", {}, {}),
            lambda: hung.complete_trial(number, make_result(1.0, 1), 1.0),
            lambda: hung.balance(99.0),
        ):
            with pytest.raises(StudyInUseError):
                late()
        hung.close()
        hung_lock.__exit__(None, None, None)
        with pytest.raises(StudyInUseError), DriverLock(self.folder):
            pass

    @rule(up=st.booleans())
    def send(self, up):
        """A tracking store, which may be down, hears of all once it is up, of each end once."""
        outbox = Outbox(self.ledger, "store")
        for number in outbox.pending() if up else ():
            state = self.ledger.trial(number).state
            ended = state.value if state.ended else None
            if ended:
                assert number not in self.told
                self.told[number] = ended
            outbox.save(number, Progress(run_id=f"run-{number}", state_sent=ended))

    @invariant()
    def says_what_happened(self):
        records = self.ledger.trials()
        assert {record.number: record.state for record in records} == self.states
        best = {
            number
            for number, (accuracy, macs) in self.results.items()
            if not any(
                (a >= accuracy and m <= macs and (a, m) != (accuracy, macs))
                or ((a, m) == (accuracy, macs) and other < number)
                for other, (a, m) in self.results.items()
            )
        }
        assert {member.trial for member in self.ledger.front()} == best
        assert math.isclose(self.ledger.spent(), self.spent, abs_tol=1e-6)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
