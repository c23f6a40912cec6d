"""Slots have shares of the machine: all of it together, none of it twice."""

import pytest

from autodepth.service.queue.carrying.machine import devices_here, share_of


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_slots_share_a_machine_out(slots):
    cpus, gpus = list(range(7)), ["0", "1", "2", "3", "4"]
    shares = [share_of(slot, slots, cpus, gpus) for slot in range(slots)]
    assert sorted(cpu for share, _ in shares for cpu in share) == cpus
    assert sorted(gpu for _, share in shares for gpu in share) == gpus
    assert all(share for share, _ in shares)


def test_more_slots_than_devices_share_them():
    assert [share_of(slot, 3, [4, 5], ["0"]) for slot in range(3)] == [
        ([4], ["0"]), ([5], ["0"]), ([4], ["0"]),
    ]  # fmt: skip
    assert share_of(0, 2, [1, 2], []) == ([1], [])


def test_what_is_hidden_from_us_is_not_shared_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    cpus, gpus = devices_here()
    assert gpus == ["3", "5"]
    assert cpus
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices_here()[1] == []
