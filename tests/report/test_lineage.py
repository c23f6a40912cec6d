"""Where a network comes from is told from its first ancestor on."""

import pytest

from autodepth.records.ledger import Ledger
from autodepth.report.lineage import lineage, origins

SCRATCH = {"origin": "scratch"}
TWICE = {"origin": "member", "base": {"origin": "member", "base": SCRATCH}}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, ("parent",)),  # of a ledger of before there were others
        ({"origin": "parent", "base": None}, ("parent",)),
        (TWICE, ("scratch", "member", "member")),
    ],
)
def test_origins_come_in_the_order_they_were_carried_out(policy, expected):
    assert origins(policy) == expected


def test_each_trial_of_a_chain_has_a_sentence(make_recorded, recorded_result):
    with Ledger.open(make_recorded("digits", []).ledger_path) as ledger:
        first = ledger.start_trial("search", {"origin": "scratch"}, SCRATCH)
        ledger.complete_trial(first, recorded_result(0.9, 20_000_000), 1.0)
        second = ledger.start_trial(
            "search", {"origin": "member", "base": first}, {"origin": "member", "base": SCRATCH}
        )
        told = lineage(ledger, ledger.trial(second))

    assert told == (
        "trial 0: trained from scratch, 3 branches gone, 90.0% at 20,000,000 MACs",
        "trial 1: goes on from that",
    )
