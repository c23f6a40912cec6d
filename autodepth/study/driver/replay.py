"""A study that goes on knows what its earlier parts came to.

A search goes through its own past before it goes on: it decides as it did then, and is told what
came of it. With trials one after the other that is the very search that was broken off, sampler and
all. Trials side by side end in an order that does not come again: there the two part somewhere,
and the rest is taken in as trials of another search would be.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import BEGUN_AGAIN, TrialKind, TrialRecord
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
        self._left: dict[tuple[TrialKind, str], deque[TrialRecord]] = defaultdict(deque)
        self._to_do = {r.number: r for r in records if r.broken_off and r.number not in given_up}
        for record in records:
            if record.of_search and record.number not in self._to_do:
                self._left[record.kind, _key(record.policy)].append(record)

    def take_in(self, *, search_again: bool) -> Proposal | None:
        """Take everything in; return the policy that the search came to next, if it came so far.

        Args:
            search_again: whether to go through the search from its beginning.
        """
        known, next_up, came_again = self._state, None, search_again
        while came_again and any(self._left.values()):
            came_again, next_up = self._step()
        if rest := self._rest():
            self._remember(rest)
            seed = derive_seed(known.space.seed, "sampler", len(self._records))
            known.proposer.sampler.reseed(seed)
            known.proposer.begin_with(self._points_to_do())
            if next_up is not None:
                known.proposer.answer(next_up, None)
                next_up = None
        known.front.look_again()
        return next_up

    def _step(self) -> tuple[bool, Proposal | None]:
        """Go one trial on; return whether it was there, and else what the search came to."""
        known = self._state
        if known.control_turn.control_is_due():
            record = self._take("unpruned", known.control_turn.control)
            if record is not None:
                new_parent = known.control_began(record.number)
                running = ActiveTrial(
                    policy=known.control_turn.control, kind="unpruned", new_parent=new_parent
                )
                self._repeat(record, running)
            return record is not None, None
        proposal = known.proposer.next()
        record = None if proposal is None else self._take("search", proposal.policy)
        if proposal is None or record is None:
            return False, proposal
        if proposal.broken:
            known.proposer.answer(proposal, None, proposal.broken)
            return True, None
        known.proposer.started(proposal, record.number)
        running = ActiveTrial(
            policy=proposal.policy, proposal=proposal, new_parent=proposal.new_parent
        )  # fmt: skip
        self._repeat(record, running)
        return True, None

    def _repeat(self, record: TrialRecord, running: ActiveTrial) -> None:
        """Let a trial come to what it came to, without carrying it out."""
        known, number = self._state, record.number
        known.meter.trial_started()
        for epoch in self._ledger.epochs(number):
            known.take_in(number, running, epoch, known.rungs.note)
        for verdict in self._ledger.verdicts(number):
            if verdict["rung"] == BEGUN_AGAIN:
                continue
            known.rungs.recall(Verdict(**verdict))
        if record.result is None:
            stopped = record.state is TrialState.STOPPED
            known.came_to_nothing(number, running, stopped=stopped)
        else:
            self._note_duration(record, running)
            known.learn(number, running, record.result)

    def _remember(self, records: Sequence[TrialRecord]) -> None:
        """Take in what came of trials, but not how the search came to them."""
        known, proposer = self._state, self._state.proposer
        for record in records:
            if record.result is not None:
                proposer.cost_model.learn(_policy(record), record.result.sensitivities)
        for record in records:
            if record.counts or record.broken_off:  # the latter only where it was given up
                known.meter.trial_started()
            if record.kind == "unpruned":
                known.control_turn.control_begins()
            if record.result is not None:
                self._remember_complete(record)
            elif record.kind == "search" and record.state is TrialState.FAILED:
                proposer.sampler.learn(dict(record.point), None)

    def _remember_complete(self, record: TrialRecord) -> None:
        known, proposer, policy = self._state, self._state.proposer, _policy(record)
        assert record.result is not None
        known.control_turn.any_complete = True
        known.completed += 1
        proposer.improvement.ended(record.number, known.values(record.result.point))
        if record.kind == "unpruned":
            parent = proposer.cost_model.parent(policy)
            new_parent = proposer.parents.state(parent) != "ready" and policy.train.epochs > 0
            proposer.parents.ready(parent, known.unpruned_point)
        else:
            point = record.result.point
            values, violations = known.values(point), known.violations(point)
            new_parent = proposer.remember(dict(record.point), policy, values, violations)
        running = ActiveTrial(policy=policy, new_parent=new_parent)
        for epoch in self._ledger.epochs(record.number):
            running.note(epoch)
        self._note_duration(record, running)

    def _note_duration(self, record: TrialRecord, running: ActiveTrial) -> None:
        assert record.result is not None
        self._state.took(sum(record.result.phase_seconds.values()), running)

    def _points_to_do(self) -> list[dict[str, Any]]:
        """Return the points of the search that were under way when it ended, not settled since."""
        settled = [r.point for r in self._records if r.number not in self._to_do]
        found: list[dict[str, Any]] = []
        for record in self._to_do.values():
            point = dict(record.point)
            if point and point not in [*settled, *found]:
                found.append(point)
        return found

    def _take(self, kind: TrialKind, policy: Policy) -> TrialRecord | None:
        found = self._left.get((kind, _key(policy.to_dict())))
        return found.popleft() if found else None

    def _rest(self) -> list[TrialRecord]:
        left = [record for records in self._left.values() for record in records]
        return sorted(left, key=lambda record: record.number)


def _policy(record: TrialRecord) -> Policy:
    return Policy.from_dict(dict(record.policy))


def _key(policy: Mapping[str, Any]) -> str:
    return json.dumps(policy, sort_keys=True)
