"""Do once, before any training, what every trial does after it, so that errors come early."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from torch.export import ExportedProgram

from autodepth.errors import AutodepthError, BundleError, InputError, NetworkError
from autodepth.export.writing import Format
from autodepth.long_work import long_work
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.networks.running.layout import for_convolutions
from autodepth.networks.weights.own_files import load_saved, save_weights
from autodepth.policy.policy import Policy
from autodepth.study.plan.plan import StudyPlan
from autodepth.trial.device.runtimes.formats.executorch_file import write_executorch
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.torch_program import cause, make_program, write_program

_TRIED = "tried before anything is trained"


def rehearse(
    plan: StudyPlan,
    *,
    branches: Sequence[int] = (),
    narrowed: Policy | None = None,
    formats: Sequence[Format] = (),
) -> None:
    """Copy, thin out, lay out, save, reload and export the untrained network of a plan.

    Args:
        plan: whose network it is; left as it is.
        branches: numbers of those that go for certain; all others are exported, as any may stay.
        narrowed: the policy that says which inner channels go; None where none do.
        formats: what to export to. int8 is made from onnx, and needs trained weights.

    Raises:
        InputError: the network cannot be exported to one of the formats.
        NetworkError: anything else fails.
    """
    network, name = plan.network, plan.context.spec.name
    first = next((b.index for b in network.branches if b.removable), None)
    with tempfile.TemporaryDirectory(prefix="autodepth-") as folder:
        try:
            smaller = network.without(() if first is None else (first,))
            exported = network.without(branches)
            if narrowed is not None:
                gone = narrowed.channels_gone(branch.index for branch in network.branches)
                smaller, exported = (prune_width(n, gone) for n in (smaller, exported))
            _save_and_reload(smaller, Path(folder) / "model.safetensors")
        except AutodepthError:
            raise
        except Exception as error:  # whatever a library raises about this network
            raise NetworkError(
                f"{name} must be fit to be copied, saved and loaded again, but ({_TRIED}) "
                f"{cause(error)}"
            ) from error
        if formats:
            with long_work("trying the export on the untrained network"):
                _export(exported, formats, Path(folder))


def with_formats_tried(plan: StudyPlan, formats: Sequence[Format]) -> StudyPlan:
    """Export the untrained network to each format, and return the plan with a note of that.

    Raises:
        InputError: it does not; the message has each format that fails, and why.
    """
    rehearse(plan, formats=formats)
    later = "; int8 is made of that after training" if "int8" in formats else ""
    named = ", ".join(name for name in formats if name != "int8")
    note = f"the untrained network could be exported to {named}{later}"
    return replace(plan, notes=(*plan.notes, note))


def _save_and_reload(network: ResidualNetwork, path: Path) -> None:
    laid_out = copied(network.module)
    for_convolutions(laid_out)
    save_weights(laid_out, path)
    load_saved(laid_out, path)


def _export(network: ResidualNetwork, formats: Sequence[Format], folder: Path) -> None:
    module, shape = network.module.eval(), network.input_shape
    writers: dict[Format, Callable[[ExportedProgram], object]] = {
        "torch": lambda program: write_program(program, folder / "model.pt2"),
        "onnx": lambda program: write_onnx(program, folder / "model.onnx"),
        "executorch": lambda _: write_executorch(module, shape, folder / "model.pte"),
    }
    try:
        program = make_program(module, shape)
    except BundleError as error:  # every format is made from it
        raise InputError(f"{error} ({_TRIED})") from error
    failed = []
    for name in (name for name in writers if name in formats):
        try:
            writers[name](program)
        except BundleError as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise InputError(f"{'; '.join(failed)} ({_TRIED})")
