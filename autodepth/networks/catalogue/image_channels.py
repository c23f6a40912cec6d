"""How many colour channels a network takes, seen by giving it images; grey ones can be repeated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from autodepth.networks.catalogue import NetworkSpec, build_module, is_for_colour
from autodepth.networks.catalogue.build import give_weights
from autodepth.networks.running.one_thread import one_thread

_GREY, _COLOUR = 1, 3


def with_channels(
    spec: NetworkSpec, *, weights: Path | None = None, weights_key: str | None = None
) -> NetworkSpec:
    """Return a description with the channels that a network takes of some images.

    Grey images are repeated to three channels where the network, or the weights it starts from,
    take colour alone; all others are given as they are.

    Args:
        spec: the network, with the channels that the images have.
        weights: a file to start from.
        weights_key: where in that file they are; None finds them.

    Raises:
        NetworkError: the network cannot be built.
    """
    if spec.channels != _GREY:
        return spec
    colour = replace(spec, channels=_COLOUR)
    if is_for_colour(spec.name):
        return colour
    grey_works = _works(spec, weights, weights_key)
    return colour if not grey_works and _works(colour, weights, weights_key) else spec


def _works(spec: NetworkSpec, weights: Path | None, weights_key: str | None) -> bool:
    with one_thread, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_module(spec).eval()
        try:
            if weights is not None:
                give_weights(module, spec, weights, weights_key)
            with torch.no_grad():
                module(torch.zeros(1, *spec.input_shape))
        except Exception:  # noqa: BLE001 - code of anyone; reading the network tells what it is
            return False
    return True
