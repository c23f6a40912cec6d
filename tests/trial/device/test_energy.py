"""Counters of energy as Linux has them."""

import pytest

from autodepth.trial.device.energy import EnergyMeter


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
    meter = EnergyMeter(tmp_path)
    before = meter.read()
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        zone(name, 350)

    assert len(before) == 2
    assert meter.joules_since(before) == pytest.approx(500e-6)


def test_a_counter_that_began_anew_is_counted_over_its_range(zone, tmp_path):
    zone("intel-rapl:0", 900)
    meter = EnergyMeter(tmp_path)
    before = meter.read()
    zone("intel-rapl:0", 100)  # 999, then 0

    assert meter.joules_since(before) == pytest.approx(200e-6)


def test_where_nothing_can_be_read_nothing_is_present(zone, tmp_path):
    assert not EnergyMeter(tmp_path / "nowhere").present
    zone("intel-rapl:0", "secret")
    assert not EnergyMeter(tmp_path).present
