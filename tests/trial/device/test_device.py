"""Where a trial computes, and in which precision."""

from pathlib import Path

import pytest
import torch

from autodepth.trial.device import device as devices
from autodepth.trial.device.device import autocast, cpu_name

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "native", "expected"),
    [
        ("bfloat16", False, torch.bfloat16),
        ("float32", True, torch.float32),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_steps_are_in_the_precision_that_was_chosen(monkeypatch, precision, native, expected):
    monkeypatch.setattr(devices, "computes_bfloat16", lambda _: native)
    with autocast(CPU, precision):
        product = torch.ones(2, 2) @ torch.ones(2, 2)

    assert product.dtype is expected


@pytest.mark.parametrize(
    ("told", "native"), [({"avx512_bf16": True}, True), ({"avx2": True}, False), ({}, False)]
)
def test_a_cpu_computes_bfloat16_where_it_says_so(monkeypatch, told, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)

    assert devices.computes_bfloat16(CPU) is native


def test_the_name_of_a_cpu_is_its_makers_or_its_architecture(monkeypatch):
    text = "processor : 0\nmodel name\t: A Fast One @ 3 GHz\nmodel name\t: another\n"
    monkeypatch.setattr(Path, "read_text", lambda _: text)
    assert cpu_name() == "A Fast One @ 3 GHz"

    monkeypatch.setattr(Path, "read_text", lambda _: "processor : 0\n")
    monkeypatch.setattr(devices.platform, "processor", lambda: "")
    monkeypatch.setattr(devices.platform, "machine", lambda: "aarch64")
    assert cpu_name() == "aarch64"
