"""Where a trial computes, and in which precision."""

from __future__ import annotations

import contextlib

import torch

from autodepth.policy.training_settings import Precision


def choose_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[None]:
    """Return the context training steps run in: bfloat16 where chosen, float32 otherwise."""
    if precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device)):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 natively; emulation would only be slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    cpu = torch.cpu.get_capabilities()
    return bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16") or cpu.get("bf16"))
