"""Resume: replay a study's ledger into a fresh state.

A search goes through its own past before it goes on: it decides as it did then, and is told what
came of it. With trials one after the other that is the very search that was broken off, sampler and
all. Trials side by side end in an order that does not come again: there the two part somewhere,
and the rest is taken in as trials of another search would be. What was broken off waits in the
ledger to be tried again, and is tried first.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import NO_RUNGS, TrialKind, TrialRecord
from autodepth.seeding import derive_seed
from autodepth.study.driver.search_state import ActiveTrial, SearchState
from autodepth.study.propose.proposer import Proposal
from autodepth.study.stopping.rungs import Verdict
from autodepth.trial.result import TrialState


class Replay:
    """Takes in the past of a study.

    Args:
        state: of a study that was just begun.
        ledger: knows what was.
        records: all trials, none running.
        given_up: numbers of trials whose workers died so often that they are not tried again.
    """

    def __init__(
        self,
        state: SearchState,
        ledger: Ledger,
        records: Sequence[TrialRecord],
        *,
        given_up: Collection[int] = (),
    ) -> None:
        self._state, self._ledger, self._records = state, ledger, records
        self._waiting = [r for r in ledger.waiting() if r.number not in given_up]
        self._asked = [r for r in records if r.asked_for and not r.broken_off]
        self._left: dict[tuple[TrialKind, str], deque[TrialRecord]] = defaultdict(deque)
        for record in records:
            # What was broken off counts as if it had not been begun, unless it was given up.
            if (
                record.of_search
                and not record.asked_for
                and (record.number in given_up or not record.broken_off)
            ):
                self._left[record.kind, _key(record.policy)].append(record)

    def run(self, *, search_again: bool) -> Proposal | None:
        """Take everything in; return the policy that the search came to next, if it came so far.

        Args:
            search_again: whether to go through the search from its beginning.
        """
        state, next_up, came_again = self._state, None, search_again
        while came_again and any(self._left.values()):
            came_again, next_up = self._step()
        waiting = [dict(record.point) for record in self._waiting if record.point]
        if rest := self._rest():
            self._adopt(rest)
            seed = derive_seed(state.space.seed, "sampler", len(self._records))
            state.proposer.sampler.reseed(seed)
            state.proposer.begin_with(waiting)
            if next_up is not None:
                state.proposer.answer(next_up, None)
                next_up = None
        elif next_up is not None and next_up.point in waiting:
            waiting.remove(next_up.point)
            state.proposer.were_lost(waiting)
        else:
            # What there was time for then is not known now, so the search may come to something
            # else than what was lost.
            state.proposer.were_lost(waiting)
            if next_up is not None and waiting:
                state.proposer.set_back(next_up)
                next_up = None
        for record in self._asked:  # no search came to them
            policy = Policy.from_dict(dict(record.policy))
            self._tell(record, ActiveTrial(policy=policy, new_parent=False))
        state.front.look_again()
        return next_up

    def _step(self) -> tuple[bool, Proposal | None]:
        """Go one trial on; return whether it was there, and else what the search came to."""
        state = self._state
        if state.control_is_due():
            record = self._take("unpruned", state.control)
            if record is not None:
                self._repeat(record, self._control(record))
            return record is not None, None
        proposal = state.proposer.next()
        record = None if proposal is None else self._take("search", proposal.policy)
        if proposal is None or record is None:
            return False, proposal
        self._carry_out(record, proposal)
        return True, None

    def _adopt(self, records: Sequence[TrialRecord]) -> None:
        """Take in trials, but not how the search came to them."""
        proposer = self._state.proposer
        for record in records:  # so that each is known by the network it ends with
            if record.result is not None:
                policy = Policy.from_dict(dict(record.policy))
                result = record.result
                proposer.cost_model.learn(policy, result.sensitivities, result.masks)
        for record in records:
            if record.kind == "unpruned":
                self._repeat(record, self._control(record))
            else:
                policy = Policy.from_dict(dict(record.policy))
                self._carry_out(record, proposer.adopt(dict(record.point), policy))

    def _carry_out(self, record: TrialRecord, proposal: Proposal) -> None:
        """Let a policy of the search come to what it came to."""
        if record.state is TrialState.INFEASIBLE and not record.device_seconds:  # never begun
            self._state.proposer.answer(proposal, None, proposal.broken)
            return
        self._state.proposer.started(proposal, record.number)
        running = ActiveTrial(
            policy=proposal.policy, proposal=proposal, new_parent=proposal.new_parent
        )
        self._repeat(record, running)

    def _control(self, record: TrialRecord) -> ActiveTrial:
        policy, new_parent = self._state.control, self._state.control_began(record.number)
        return ActiveTrial(policy=policy, kind="unpruned", new_parent=new_parent)

    def _repeat(self, record: TrialRecord, running: ActiveTrial) -> None:
        """Let a trial of the search come to what it came to, without carrying it out."""
        self._state.meter.trial_started()
        self._tell(record, running)

    def _tell(self, record: TrialRecord, running: ActiveTrial) -> None:
        state, number = self._state, record.number
        for epoch in self._ledger.epochs(number):
            state.on_epoch(number, running, epoch, judged=True)
        for verdict in self._ledger.verdicts(number):
            if verdict["rung"] not in NO_RUNGS:
                state.rungs.recall(Verdict(**verdict))
        stopped = record.state is TrialState.STOPPED
        state.on_end(number, running, record.result, stopped=stopped)

    def _take(self, kind: TrialKind, policy: Policy) -> TrialRecord | None:
        found = self._left.get((kind, _key(policy.to_dict())))
        return found.popleft() if found else None

    def _rest(self) -> list[TrialRecord]:
        left = [record for records in self._left.values() for record in records]
        return sorted(left, key=lambda record: record.number)


def _key(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, sort_keys=True)
