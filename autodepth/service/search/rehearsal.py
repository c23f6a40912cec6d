"""What every trial does after training, done once before: no library's error comes at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from autodepth.errors import AutodepthError, BundleError, InputError, NetworkError
from autodepth.export.formats.executorch_file import write_executorch
from autodepth.export.formats.onnx_file import write_onnx
from autodepth.export.formats.torch_program import cause, make_program, write_program
from autodepth.export.writing import Format
from autodepth.long_work import long_work
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.networks.running.layout import for_convolutions
from autodepth.networks.weights.own_files import load_saved, save_weights
from autodepth.study.plan.plan import StudyPlan


def rehearse(
    plan: StudyPlan,
    *,
    branches: Sequence[int] = (),
    filter_sparsity: float = 0.0,
    formats: Sequence[Format] = (),
) -> None:
    """Copy, thin out, lay out, save, reload and export the untrained network of a plan.

    Args:
        plan: whose network it is; left as it is.
        branches: numbers of those that go for certain; all others are exported, as any may stay.
        filter_sparsity: share of inner channels to take out; 0 takes none.
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
            if filter_sparsity:
                smaller, exported = (prune_width(n, filter_sparsity) for n in (smaller, exported))
            _save_and_reload(smaller, Path(folder) / "model.safetensors")
        except AutodepthError:
            raise
        except Exception as error:  # whatever a library raises about this network
            raise NetworkError(
                f"{name} must be fit to be copied, saved and loaded again, but (tried before "
                f"anything is trained) {cause(error)}"
            ) from error
        if formats:
            with long_work("trying the export on the untrained network"):
                _export(exported, formats, Path(folder))


def _save_and_reload(network: ResidualNetwork, path: Path) -> None:
    laid_out = copied(network.module)
    for_convolutions(laid_out)
    save_weights(laid_out, path)
    load_saved(laid_out, path)


def _export(network: ResidualNetwork, formats: Sequence[Format], folder: Path) -> None:
    module, shape = network.module.eval(), network.input_shape
    try:
        program = make_program(module, shape)
        if "torch" in formats:
            write_program(program, folder / "model.pt2")
        if "onnx" in formats:
            write_onnx(program, folder / "model.onnx")
        if "executorch" in formats:
            write_executorch(module, shape, folder / "model.pte")
    except BundleError as error:
        raise InputError(f"{error} (tried before anything is trained)") from error
