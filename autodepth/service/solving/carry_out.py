"""Carrying an answer out: one more trial of a study that has ended."""

from __future__ import annotations

from contextlib import nullcontext

from autodepth.records.trial_record import EXPECTED, TrialRecord
from autodepth.service.one_policy.asked import AskedPolicy, carry_out_asked
from autodepth.service.search.requests import BesideRequest
from autodepth.service.solving.answer import Answer
from autodepth.study.run import Watch


def carry_out_answer(
    answer: Answer, request: BesideRequest, *, watch: Watch = lambda _: nullcontext()
) -> TrialRecord:
    """Carry the policy of an answer out as a trial of its study, and return that.

    Args:
        answer: of a `Solver` of that study.
        request: as of `carry_out_asked`, and so are the errors.
        watch: likewise.
    """
    expected = None
    if answer.expected is not None:
        told = f"expected {answer.expected:.1%} +- {answer.spread:.1%} when it was solved for"
        expected = {"rung": EXPECTED, "accuracy": answer.expected, "reason": told}
    asked = AskedPolicy(policy=answer.policy, role=answer.asked, expected=expected)
    return carry_out_asked(asked, request, watch=watch)
