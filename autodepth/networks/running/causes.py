"""Why a network cannot be read, and the way out of each cause."""

from __future__ import annotations

import re
from traceback import extract_tb
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.proxy import TraceError

from autodepth.errors import NetworkError
from autodepth.networks.running.as_given import WRAPPER, scores_of
from autodepth.networks.running.modes import evaluating
from autodepth.networks.running.preserve import left_as_it_was, undisturbed

OF_MODES = (
    "it differs between training and evaluation; write what differs as a submodule of its own, or "
    "turn it off in the builder"
)
OF_DRAWS = (
    "it goes by random numbers that Python looks at; set its rate to 0 in the builder, or draw "
    "with torch in a submodule without weights"
)
OF_DRAWS_IN_EVALUATION = (
    "it draws random numbers in evaluation; turn that off there, so that it gives one answer"
)
OF_OUTPUTS = (
    "it gives another kind of output in training, as with auxiliary heads; turn those off in the "
    "builder (torchvision's: --argument aux_logits=False), or wrap it, so that it gives the "
    "scores alone:"
    + WRAPPER.format(call="self.network(images)[0] if self.training else self.network(images)")
)
OF_NO_GRADIENT = (
    "a part of its forward runs without gradients (torch.no_grad), which a graph does not keep; "
    "move that part, torch.no_grad with it, into a submodule of its own, or freeze its weights in "
    "the builder (part.requires_grad_(False))"
)
OF_BUFFERS = (
    "its forward puts another tensor in place of a buffer, as `self.calls += 1` does; change the "
    "buffer itself (`self.calls.add_(1)`), or do it in a submodule outside the residual branches"
)
OF_WEIGHTS = (
    "its forward changes weights itself, as a teacher that follows by momentum does; build the "
    "network without that, since what gives no scores is not searched"
)
OF_BACKWARD_HOOKS = (
    "it has a backward hook, which acts on the module as a whole; take it off in the builder, or "
    "put it on the layers inside"
)
OF_SCRIPT = (
    "it is scripted or traced by torch.jit, which leaves no Python code to read; give the part "
    "that it was made from"
)
_ELSEWHERE = (
    "into a function marked with torch.fx.wrap, or into a submodule outside the residual branches"
)
MOVE = f"move that {_ELSEWHERE}"
_INPUTS = (
    (r"to have (?P<channels>\d+) channels, but got", "it takes images of {channels} channels"),
    (
        r"Kernel size can't be greater|Output size is too small|Padding size should be less",
        "the images are too small for it",
    ),
    (r"shapes cannot be multiplied|doesn't match model", "it is made for images of another size"),
    (
        r"should be the same|same dtype|expected scalar type|Float did not match",
        "parts of it are in another precision: build all of it in float32, and let it convert "
        "nothing itself",
    ),
    (r"same device|Expected all tensors", "parts of it are made on another device than the CPU"),
)


def told(error: BaseException) -> str:
    """Return an error's first line, and the line of the network's code it comes from."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    frames = [(f.filename.replace("\\", "/"), f.lineno) for f in extract_tb(error.__traceback__)]
    own = [f for f in frames if "/torch/" not in f[0] and "/autodepth/networks/" not in f[0]]
    if not own:
        return first
    file, line = own[-1]
    return f"{first} ({file.rpartition('/')[2]}, line {line})"


def advice(error: BaseException) -> str:
    """Return the way out of what running a network on stand-ins for tensors raised."""
    text = str(error)
    if isinstance(error, TraceError) or "control flow" in text:
        return f"move what depends on the values of tensors {_ELSEWHERE}"
    if "not installed as a submodule" in text:
        return "assign the layer to an attribute of the network, so that it is one of its modules"
    return f"it cannot be recorded there: move it {_ELSEWHERE}"


def told_misfit(error: BaseException, input_shape: tuple[int, ...]) -> str:
    """Return why a network does not run on images of a shape, and which it might take."""
    shape = "x".join(map(str, input_shape))
    return f"the network does not take images of {shape}: {told(error)}{_cause(error)}"


def _cause(error: BaseException) -> str:
    """Return what an error of a layer means, as the end of a sentence; empty if not known."""
    for pattern, cause in _INPUTS:
        if found := re.search(pattern, str(error)):
            other = " (--input CxHxW gives another shape)" * ("images" in cause)
            return f"; {cause.format(**found.groupdict())}{other}"
    return ""


def told_output(output: Any) -> str:
    """Return what a network gave, and how to come to scores."""
    if isinstance(output, Tensor):
        return f"{tuple(output.shape)}"
    kinds = [k for k in type(output).__mro__ if not k.__module__.startswith("torch.fx.")]
    kind = kinds[0].__name__
    parts = f" of {', '.join(map(str, output))}" if isinstance(output, dict) else ""
    call = f"self.network(images){scores_of(output)}"
    return f"a {kind}{parts}, no tensor; wrap it:{WRAPPER.format(call=call)}"


def misread(module: nn.Module, input_shape: tuple[int, ...], error: BaseException) -> NetworkError:
    """Return why what was recorded of a network does not run, after running that itself."""
    try:
        with left_as_it_was(module), torch.no_grad(), evaluating(module):
            module(torch.zeros(1, *input_shape))
    except Exception as real:  # noqa: BLE001 - whatever it is, it is told
        return NetworkError(told_misfit(real, input_shape))
    return NetworkError(
        f"{type(module).__name__} cannot be traced: it runs, but what was recorded of it does not "
        f"({told(error)}); it may ask what a value is (isinstance, type) and take a stand-in for "
        f"something else; {MOVE}"
    )


def told_not_finite(module: nn.Module, input_shape: tuple[int, ...], output: object) -> list[str]:
    """Return a sentence if a network gives NaN or infinity, for an image of zeros and for others.

    Args:
        module: the network; it is left as it was.
        input_shape: (C, H, W) of one image.
        output: what it gave for an image of zeros.
    """
    if not isinstance(output, Tensor) or output.isfinite().all():
        return []
    images = torch.randn(2, *input_shape, generator=torch.Generator().manual_seed(0))
    with undisturbed(module), torch.no_grad(), evaluating(module):
        if module(images).isfinite().all():
            return []  # it divides by the spread of an image, say
    return [
        "it gives NaN or infinity in evaluation for images of zeros and of noise, though its "
        "weights are finite; look for what it divides by, or takes the root or logarithm of"
    ]


def refusal(
    module: nn.Module, input_shape: tuple[int, ...] | None, error: BaseException
) -> NetworkError:
    """Return why a network cannot be traced, after running it as it is.

    Args:
        module: the network; it is left as it was.
        input_shape: (C, H, W) of one image.
        error: what tracing it raised.
    """
    name = type(module).__name__
    if input_shape is not None:
        try:
            with left_as_it_was(module), torch.no_grad(), evaluating(module):
                output = module(torch.zeros(1, *input_shape))
        except Exception as real:  # noqa: BLE001 - whatever it is, it is told
            if _cause(real):
                return NetworkError(told_misfit(real, input_shape))
            shape = "x".join(map(str, input_shape))
            return NetworkError(
                f"{name} cannot be traced, since it fails by itself on images of {shape}: "
                f"{type(real).__name__}: {real}"
            )
        if not isinstance(output, Tensor):
            return NetworkError(
                f"{name} must give scores per image, but gave {told_output(output)}"
            )
    return NetworkError(f"{name} cannot be traced: {told(error)}; {advice(error)}")
