"""README's figures stand in result files, and results older than their code are told as such."""

import evidence
import pytest
from evidence import README, ROOT, digest, measured, read_claims, table, with_table


@pytest.mark.parametrize("claim", read_claims(), ids=lambda claim: claim.name)
def test_every_figure_stands_in_its_result_and_in_the_claim(claim):
    assert claim.missing == []
    told = claim.ours + claim.others
    assert [f for f in claim.figures if " | " not in f and f not in told] == []


@pytest.mark.parametrize("claim", read_claims(), ids=lambda claim: claim.name)
def test_every_claim_names_code_that_is_there_and_when_it_was_measured(claim):
    assert [path for path in claim.code if not (ROOT / path).exists()] == []
    assert claim.at
    assert claim.digest


def test_the_table_of_the_readme_is_as_the_code_is_now():
    text = README.read_text()
    assert with_table(text, read_claims()) == text, "run python benchmarks/evidence.py"


def test_a_result_is_stale_as_soon_as_its_code_changes(tmp_path, monkeypatch):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text("a = 1\n")
    monkeypatch.setattr(evidence, "ROOT", tmp_path)
    text = """
[one]
what = "speed"
ours = "2"
others = "1"
figures = []
result = "none.md"
command = "make it"
code = ["room"]
at = ""
digest = ""
"""
    text = measured(text, "one", "abc1234")
    assert "| as now |" in table(read_claims(text))
    before = digest(tmp_path, ["room"])
    (tmp_path / "room" / "a.py").write_text("a = 2\n")

    assert digest(tmp_path, ["room"]) != before
    assert "| changed since abc1234 |" in table(read_claims(text))
