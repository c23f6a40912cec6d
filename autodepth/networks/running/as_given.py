"""What a network must be to be read: called as `network(images)`, in float32, on the CPU.

What can simply be made so is made so, and told; what cannot is refused with its own way out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from autodepth.errors import NetworkError
from autodepth.networks.running.copying import copied
from autodepth.networks.running.modes import evaluating

_QUANTISED = ("torch.ao.nn.quantized.", "torch.ao.nn.intrinsic.quantized.", "torch.nn.quantized.")
WRAPPER = """
    class Scores(nn.Module):
        def __init__(self, network): super().__init__(); self.network = network
        def forward(self, images): return {call}"""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A network that can be read.

    Args:
        module: the network; the very one that was given where nothing had to be changed.
        notes: what was changed, a sentence each.
    """

    module: nn.Module
    notes: tuple[str, ...]


def as_given(module: nn.Module, input_shape: tuple[int, ...]) -> Given:
    """Unwrap, initialise and convert a network where it takes no more than that to read it.

    Args:
        module: what was given as a network. Its lazy layers are initialised, by one image and
            from the global generator; whatever else has to change does so in a copy.
        input_shape: (C, H, W) of one image.

    Raises:
        NetworkError: it is no network that is called with images alone, is scripted or quantised,
            lies on the meta device, or has weights that are not finite.
    """
    notes = []
    if not isinstance(module, nn.Module):
        raise NetworkError(_no_network(module))
    while (inner := _inside_wrapper(module)) is not None:
        notes.append(f"{type(module).__name__} is taken off: the network inside it is read")
        module = inner
    _refuse_unreadable(module)
    _check_signature(module)
    if any(is_lazy(tensor) for tensor in _tensors(module)):
        _initialise(module, input_shape)
        shape = "x".join(map(str, input_shape))
        notes.append(f"its lazy layers were initialised by an image of {shape}")
    for name, parameter in module.named_parameters():
        if not parameter.is_meta and not _is_finite(parameter):
            raise NetworkError(
                f"{type(module).__name__} has weights that are not finite (NaN or infinity), first "
                f"in {name}; build it or load its weights anew"
            )
    devices = {tensor.device.type for tensor in _tensors(module)}
    if "meta" in devices:
        raise NetworkError(
            f"{type(module).__name__} has weights on the meta device, which have no values; build "
            "it on the CPU, or load its weights with assign=True before it is given"
        )
    if devices - {"cpu"}:
        module = copied(module).cpu()
        notes.append(f"it was on {', '.join(sorted(devices))}; a copy on the CPU is read")
    types = {tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()}
    if types and torch.float32 not in types:
        module = copied(module).float()
        told = " and ".join(sorted(str(each).removeprefix("torch.") for each in types))
        notes.append(f"its weights are {told}; they are read, trained and exported as float32")
    return Given(module=module, notes=tuple(notes))


def _tensors(module: nn.Module) -> Iterable[Tensor]:
    return chain(module.parameters(), module.buffers())


def _is_finite(tensor: Tensor) -> bool:
    # A sum is much faster than a look at each; it may be too large where all are finite.
    return bool(tensor.detach().sum().isfinite()) or bool(tensor.isfinite().all())


def _no_network(given: object) -> str:
    if isinstance(given, type) and issubclass(given, nn.Module):
        return f"a network must be an instance, but got the class {given.__name__}: call it"
    return f"a network must be a torch.nn.Module, but got {given!r:.80}"


def _inside_wrapper(module: nn.Module) -> nn.Module | None:
    """Return what torch.compile, or a container for several devices, was put around."""
    inner = getattr(module, "_orig_mod", None)  # of torch.compile
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = module.module
    return inner if isinstance(inner, nn.Module) else None


def _refuse_unreadable(module: nn.Module) -> None:
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise NetworkError(
            f"{getattr(module, 'original_name', name)} is scripted or traced by torch.jit, which "
            "leaves no Python code to read; give the network it was made from, and load the "
            "weights into that: network.load_state_dict(scripted.state_dict())"
        )
    for part_name, part in module.named_modules():
        if type(part).__module__.startswith(_QUANTISED) and hasattr(part, "_weight_bias"):
            raise NetworkError(
                f"{name} is quantised ({part_name} is {type(part).__name__}), and cannot be "
                "trained or thinned out; give the network with its floating-point weights, and "
                "let the export quantise it: --formats onnx,int8"
            )


def _check_signature(module: nn.Module) -> None:
    """Refuse a network that cannot be called with images alone."""
    try:
        signature = inspect.signature(module.forward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None)
    except TypeError:
        pass
    else:
        return
    kinds = inspect.Parameter
    parameters = signature.parameters.values()
    needed = [p.name for p in parameters if p.default is kinds.empty]
    by_name = [p.name for p in parameters if p.kind is kinds.KEYWORD_ONLY]
    if len(needed) > 1:
        others = ", ".join(f"{name}=..." for name in needed[1:])
        why = f"forward needs {len(needed)} inputs ({', '.join(needed)})"
        call = f"self.network(images, {others})"
    elif by_name:
        why = f"forward takes its inputs by name only ({', '.join(by_name)})"
        call = f"self.network({(needed or by_name)[0]}=images)"
    else:
        why, call = "forward takes no input", "self.network(...)"
    raise NetworkError(
        f"{type(module).__name__} must be called as network(images), but its {why}; wrap it, and "
        f"give what the wrapper builds:{WRAPPER.format(call=call)}"
    )


def _initialise(module: nn.Module, input_shape: tuple[int, ...]) -> None:
    try:
        with torch.no_grad(), evaluating(module):
            module(torch.zeros(2, *input_shape))
    except Exception as error:
        shape = "x".join(map(str, input_shape))
        raise NetworkError(
            f"{type(module).__name__} has lazy layers that an image of {shape} does not "
            f"initialise: {error}; run it once in its builder"
        ) from error


def scores_of(output: Any) -> str:
    """Return how to get the scores out of what a network gives, as the end of `output`."""
    if isinstance(output, dict):
        key = next((k for k in ("logits", "out", "scores") if k in output), next(iter(output), ""))
        return f"[{key!r}]"
    if hasattr(output, "logits"):
        return ".logits"
    return "[0]" if isinstance(output, tuple | list) else "..."
