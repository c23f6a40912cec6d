"""What is looked at first where a GPU is lent: nine minutes, kept as they come.

Each part is a process of its own with a time limit, so one that hangs, or for which something is
not installed, leaves the others:

- steps: time of a training step in bfloat16 under stochastic depth (p_L = 0.5, linear), batch and
  sample mode and with compiled branches, beside constant depth; contestants take turns;
- loop: images per second of autodepth's training beside a bare loop, on images as small as
  CIFAR's, and how long the host works for a step;
- waits: how often more steps of training wait for the device;
- tests: those that need a GPU;
- search: a real search of 90 seconds on handwritten digits.

    python benchmarks/gpu_check.py                          # on a GPU
    python benchmarks/gpu_check.py --device cpu --short     # that it runs, in minutes

Needs torch, torchvision and numpy, for `tests` pytest, for `search` what a search needs.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from gpu_parts import PARTS, ROOT, Values

LIMITS = {"steps": 200, "loop": 90, "waits": 60, "tests": 100, "search": 180}  # seconds


def conditions(device: torch.device) -> Values:
    """Return what the numbers are measured with."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    return {
        "device": name or device.type,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def table(told: Values) -> str:
    """Return what was found as Markdown."""
    about = ", ".join(f"{name} {value}" for name, value in told["conditions"].items())
    lines = [f"benchmarks/gpu_check.py: {about}.", "", "| part | what | found |", "|---|---|---|"]
    for part, found in told["parts"].items():
        lines += [f"| {part} | {what} | {_shown(value)} |" for what, value in found.items()]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return "; ".join(f"{who} {each['ms']} ms ({each['ratio']})" for who, each in value.items())


def _apart(part: str, arguments: argparse.Namespace) -> Values:
    """Return what a part finds in a process of its own, or how that ended."""
    command = [sys.executable, __file__, "--part", part, "--device", arguments.device]
    try:
        done = subprocess.run(
            [*command, *(["--short"] if arguments.short else [])],
            capture_output=True, text=True, check=True, timeout=LIMITS[part],
        )  # fmt: skip
        found: Values = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"failed": f"no end within {LIMITS[part]} s"}
    except subprocess.CalledProcessError as error:
        return {"failed": " ".join(error.stderr.strip().splitlines()[-1:])}
    return found


def main() -> None:
    """Carry out all parts, or one, and write what they find."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--short", action="store_true", help="that it runs, and no figures")
    parser.add_argument("--part", choices=PARTS, help="this one alone, told as JSON")
    parser.add_argument("--to", type=Path, default=ROOT / "benchmarks" / "results" / "gpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if arguments.part:
        print(json.dumps(PARTS[arguments.part](device, short=arguments.short)))
        return
    told: Values = {"conditions": conditions(device), "parts": {}}
    if arguments.short:
        told["conditions"]["short"] = "shows that it runs, and no figures"
    arguments.to.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        told["parts"][part] = _apart(part, arguments)
        (arguments.to / "gpu_check.json").write_text(json.dumps(told, indent=1) + "\n")
        (arguments.to / "gpu_check.md").write_text(table(told))
    print(table(told))


if __name__ == "__main__":
    main()
