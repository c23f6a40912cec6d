"""The weights that a library offers for its own networks: `--weights pretrained`."""

from __future__ import annotations

from pathlib import Path

import torch

from autodepth.errors import WeightsError
from autodepth.networks.catalogue.libraries import hf_files
from autodepth.networks.catalogue.libraries.hub_files import checkpoints, fetched, of_repository
from autodepth.networks.catalogue.libraries.timm_models import weights_repository
from autodepth.torchvision_door import weights_url

PRETRAINED = "pretrained"
"""What stands in place of a file of weights."""
_TORCHVISION, _TIMM, _HF = "torchvision:", "timm:", "hf:"
_WHAT = "pretrained weights"


def weights_file(name: str, weights: Path) -> Path:
    """Return the file of weights that is meant: that of the library for `pretrained`.

    It is looked for in torch's folder of checkpoints first, and fetched where it is not there.

    Args:
        name: a network of the catalogue.
        weights: a file as it is given; a file that is itself called `pretrained` has to be given
            with its folder.

    Raises:
        WeightsError: the library has none for the network, or they cannot be fetched.
    """
    if str(weights) != PRETRAINED:
        return weights
    if name.startswith(_TORCHVISION):
        return _of_torchvision(name, weights_url(name.removeprefix(_TORCHVISION)))
    if name.startswith(_TIMM):
        return _of_timm(name, weights_repository(name.removeprefix(_TIMM)))
    if name.startswith(_HF):
        return hf_files.weights_of(name.removeprefix(_HF))
    raise WeightsError(
        "weights 'pretrained' are for torchvision:NAME, timm:NAME and hf:NAME; give a file of "
        f"weights for {name}"
    )


def _of_torchvision(name: str, url: str | None) -> Path:
    if not url:
        raise WeightsError(f"torchvision offers no weights of {name}: give a file of weights")
    file = checkpoints() / url.rpartition("/")[2]

    def download() -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = torch.hub.HASH_REGEX.search(file.name)
        torch.hub.download_url_to_file(
            url, str(file), digest[1] if digest else None, progress=False
        )
        return file

    return fetched(file, url, download, what=_WHAT)


def _of_timm(name: str, repository: tuple[str, str] | None) -> Path:
    if repository is None:
        raise WeightsError(f"timm offers no weights of {name}: give a file of weights")
    owner_and_name, file = repository
    place = checkpoints() / f"{owner_and_name.rpartition('/')[2]}{Path(file).suffix}"
    return of_repository(owner_and_name, file, place, what=_WHAT)
