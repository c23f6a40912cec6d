"""Latencies of a study are measured again where the study measured them, and nowhere else."""

import pytest
import torch

from autodepth.errors import MeasurementError, StudyError
from autodepth.service.solving.stopwatch import Stopwatch
from autodepth.trial.device.device import cpu_name
from autodepth.trial.device.latency_table import LatencyTable

SPACE = {"version": 1, "network": "resnet20", "data": "digits", "search": {}}
BOARD = {"board": {"on": "command", "command": "stat -c %s {onnx}"}}


def table(device, whole_ms=100.0):
    return LatencyTable(
        device=device, threads=1, whole_ms=whole_ms, around_ms=0.0, branches_ms={1: whole_ms}
    ).to_dict()


def plan(**told):
    return {"device": "cpu", "threads": 1, "space": SPACE, **told}


def test_a_network_is_told_in_the_time_of_when_the_table_was_measured(network):
    watch = Stopwatch(plan(latency_table=table(cpu_name(), 1e6)), network)
    smaller = network.without(range(1, 10))
    assert 0 < watch.latency_ms("latency_ms", smaller) < 0.8e6  # not some milliseconds


def test_another_device_than_the_studys_tells_nothing(network):
    watch = Stopwatch(plan(latency_table=table("an Abacus")), network)
    with pytest.raises(MeasurementError, match=f"measured on an Abacus, but this is {cpu_name()}"):
        watch.latency_ms("latency_ms", network)


def test_a_program_of_a_space_is_run_where_it_is_allowed(network):
    told = plan(
        space={**SPACE, "latency": BOARD}, latency_tables={"latency_ms@board": table("board")}
    )
    with pytest.raises(MeasurementError, match=r"latency\.board\.command .* --own-code"):
        Stopwatch(told, network).latency_ms("latency_ms@board", network)

    watch = Stopwatch(told, network, own_code=True)
    smaller = network.without([9])
    least = 4 * smaller.total_parameters  # what it prints are the bytes of the file
    assert least < watch.latency_ms("latency_ms@board", smaller) < 1.2 * least


def test_what_a_study_did_not_ask_for_is_measured_on_its_own_device_alone(network, monkeypatch):
    watch = Stopwatch(plan(), network)
    with pytest.raises(StudyError, match=r"asked for no latency, not for latency_ms@phone"):
        watch.know("latency_ms@phone", ())

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StudyError, match="the GPU it ran on is not here"):
        Stopwatch(plan(device="gpu"), network).know("latency_ms", ())
    elsewhere = Stopwatch(plan(device="gpu", latency_table=table("a GPU")), network)
    with pytest.raises(MeasurementError, match="measured on a GPU, which is not here"):
        elsewhere.latency_ms("latency_ms", network)


def test_places_that_need_no_gpu_are_measured_where_a_gpu_is_missing(network, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    space = {**SPACE, "latency": BOARD}
    tables = {"latency_ms@board": table("board")}
    watch = Stopwatch(
        plan(device="gpu", space=space, latency_tables=tables), network, own_code=True
    )
    assert watch.latency_ms("latency_ms@board", network) > 0
