"""Counters of energy as Linux has them."""

import pytest

from autodepth.trial.device.energy import energy_meter, no_energy


@pytest.fixture
def zone(tmp_path):
    def zone(name, count, most=999):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "energy_uj").write_text(f"{count}\n")
        (folder / "max_energy_range_uj").write_text(f"{most}\n")

    return zone


def test_packages_are_added_and_their_parts_are_not(zone, tmp_path):
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        zone(name, 100)
    joules = energy_meter(tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        zone(name, 350)

    assert joules() == pytest.approx(500e-6)


def test_a_counter_that_began_anew_is_counted_over_its_range(zone, tmp_path):
    zone("intel-rapl:0", 900)
    joules = energy_meter(tmp_path)
    zone("intel-rapl:0", 100)  # 999, then 0

    assert joules() == pytest.approx(200e-6)


def test_where_nothing_can_be_read_there_is_no_meter(zone, tmp_path):
    assert energy_meter(tmp_path / "nowhere") is None
    zone("intel-rapl:0", 100, most="secret")
    assert energy_meter(tmp_path) is None
    assert no_energy(tmp_path).endswith("energy_uj may be read by root alone")
    assert no_energy(tmp_path / "nowhere").startswith("no counter here")
