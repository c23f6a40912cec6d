"""What images are normalised with for a network, and who says so."""

from __future__ import annotations

from pathlib import Path

from autodepth.data.load import ImageData
from autodepth.data.prepare import resolve_normalisation
from autodepth.data.settings import Normalisation
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.catalogue.pixel_constants import PixelConstants, constants_of

_COLOUR = 3


def choose_normalisation(
    data: ImageData, spec: NetworkSpec, weights: Path | None
) -> tuple[Normalisation, list[str]]:
    """Return the constants for images, and a note of them where the network has given weights.

    Args:
        data: the images, whose settings may say the constants.
        spec: the network.
        weights: the file it starts from, if any.

    Raises:
        DataError: the constants are for another number of channels.
        WeightsError: the file cannot be read.
    """
    asked = data.settings.normalisation
    told = None
    if asked == "auto" and weights is not None and spec.channels == _COLOUR:
        told = constants_of(spec.name, weights)
    known = told and len(told.mean) in {1, spec.channels} and Normalisation(told.mean, told.std)
    chosen = resolve_normalisation(
        data.settings,
        data.train,
        pretrained=weights is not None,
        channels=spec.channels,
        known=known or None,
    )
    if weights is None:
        return chosen, []
    if asked != "auto":
        source = "as data.normalisation says"
    elif told and known:
        source = told.source
    elif spec.channels == _COLOUR:
        source = "ImageNet's, as most public weights have them; data.normalisation may say others"
    else:
        source = "of the training images; data.normalisation may say others"
    constants = PixelConstants(mean=chosen.mean, std=chosen.std, source=source)
    return chosen, [f"normalisation: {constants}"]
