"""Where a network comes from is told from its first ancestor on."""

import pytest

from autodepth.records.ledger import Ledger
from autodepth.report.lineage import lineage, origins, shown_lineage

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


@pytest.fixture
def chain(make_recorded, recorded_result):
    """The ledger of a network from scratch that was grown, pruned, and is gone on with."""
    once, twice = {"origin": "member", "base": SCRATCH}, TWICE
    with Ledger.open(make_recorded("digits", []).ledger_path) as ledger:
        for base, policy, macs in (
            (None, SCRATCH, 20_000_000), (0, once, 30_000_000), (1, twice, 9_000_000),
            (1, twice, 30_000_000),
        ):  # fmt: skip
            point = {"origin": policy["origin"]} | ({} if base is None else {"base": base})
            number = ledger.start_trial("search", point, policy)
            ledger.complete_trial(number, recorded_result(0.9, macs), 1.0)
        ledger.start_trial("search", {"origin": "member", "base": 0}, once)
        ledger.start_trial("confirm", {}, twice, about=2, replicate=1)
        yield ledger


def told(ledger, number):
    return [str(step) for step in lineage(ledger.trial(number), ledger.trial)]


def test_each_trial_of_a_chain_has_a_sentence(chain):
    scratch = "trial 0: trained from scratch, 3 branches gone, 90.0% at 20,000,000 MACs"
    grown = "trial 1: grown from trial 0, 3 branches gone, 90.0% at 30,000,000 MACs"

    assert told(chain, 2) == [
        scratch,
        grown,
        "trial 2: pruned from trial 1, 3 branches gone, 90.0% at 9,000,000 MACs",
    ]
    assert told(chain, 3)[-1].startswith("trial 3: trained on from trial 1")
    assert told(chain, 4) == [scratch, "trial 4: gone on from trial 0"]


def test_on_fresh_seeds_only_the_last_of_a_chain_is_a_trial(chain):
    assert told(chain, 5) == ["trained from scratch", "gone on", "trial 5: gone on"]


def test_a_chain_is_told_in_a_few_words(chain):
    assert [shown_lineage(lineage(chain.trial(n), chain.trial)) for n in (0, 2, 5)] == [
        "scratch",
        "scratch 0, grown 1, pruned 2",
        "scratch, gone on, gone on 5",
    ]


def test_the_network_left_whole_is_told_as_such(make_recorded):
    with Ledger.open(make_recorded("whole", [(0.9, 40_000_000, 4.0)]).ledger_path) as ledger:
        assert told(ledger, 0) == [
            "trial 0: trained as a whole, 3 branches gone, 90.0% at 40,000,000 MACs"
        ]
