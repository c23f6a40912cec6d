"""The program that times files of networks: `python -m autodepth.trial.device.runtimes.timed`.

It is a process of its own, so that a runtime that crashes, hangs or takes the memory costs one
figure, and so that on one thread the time that this process computed counts: others do not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from autodepth.trial.device.energy import energy_meter
from autodepth.trial.device.runtimes.formats.onnx_session import open_to_time
from autodepth.trial.device.runtimes.formats.openvino_model import open_in_openvino
from autodepth.trial.device.turns import times_by_turns


def main() -> None:
    """Print the latencies of files, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=OPENED)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--warm-up", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args()
    settings = {"threads": given.threads, "batch": given.batch}
    found = times_by_turns(
        [OPENED[given.on](file, **settings) for file in given.files],
        time.process_time if given.threads == 1 else time.perf_counter,
        warm_up=given.warm_up,
        seconds=given.seconds,
        joules=energy_meter(),
    )
    sys.stdout.write(json.dumps([asdict(each) for each in found]))


def _compiled(path: Path, *, threads: int, batch: int) -> Callable[[], object]:
    """Return what runs a program of torch.export, compiled by torch.compile, on zeros."""
    import torch  # noqa: PLC0415 - two seconds, and only here

    from autodepth.trial.device.runtimes.formats.torch_program import read_own_program  # noqa: PLC0415

    torch.set_num_threads(threads)
    program = read_own_program(path)
    images = torch.zeros(batch, *json.loads(path.with_suffix(".json").read_text()))
    compiled = torch.compile(program)

    def run() -> object:
        with torch.inference_mode():
            return compiled(images)

    return run


def _executorch(path: Path, *, threads: int, batch: int) -> Callable[[], object]:
    from autodepth.trial.device.runtimes.formats.executorch_file import (  # noqa: PLC0415 - torch
        open_executorch_to_time,
    )

    return open_executorch_to_time(path, threads=threads, batch=batch)


OPENED: Mapping[str, Callable[..., Callable[[], object]]] = {
    "onnxruntime": open_to_time,
    "openvino": open_in_openvino,
    "torch-compile": _compiled,
    "executorch": _executorch,
}

if __name__ == "__main__":
    main()
