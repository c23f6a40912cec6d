"""What a node says of itself, and whether it reaches the storage."""

import pytest

from autodepth.study.cluster import node_probe

MINE = {"autodepth": "0.1.0", "python": "3.11.2", "torch": "2.13.0"}


def test_the_probe_tells_what_runs_here():
    assert set(node_probe.versions()) == set(MINE)
    assert all(node_probe.versions().values())


def test_a_node_answers_the_drivers_word(tmp_path):
    where = f"file://{tmp_path}/probe"
    node_probe.leave_word(where, "word", "driver")

    assert node_probe.answer_word(where, "word", "driver", "10.0.0.2") == ""
    node_probe.find_word(where, "word", "10.0.0.2")
    node_probe.forget_word(where, "word", "10.0.0.2")
    with pytest.raises(FileNotFoundError):
        node_probe.find_word(where, "word", "10.0.0.2")


def test_a_node_that_sees_another_place_says_so(tmp_path):
    node_probe.leave_word(f"{tmp_path}/a", "word", "driver")

    told = node_probe.answer_word(f"{tmp_path}/b", "word", "driver", "10.0.0.2")
    assert told == "it does not see what the driver wrote there"
    assert "InputError" in node_probe.answer_word("nosuch://x", "word", "driver", "10.0.0.2")
