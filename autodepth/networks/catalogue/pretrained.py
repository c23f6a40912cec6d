"""The weights that a library offers for its own networks: `--weights pretrained`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from autodepth.errors import WeightsError
from autodepth.long_work import long_work
from autodepth.networks.catalogue.timm_models import weights_repository
from autodepth.torchvision_door import weights_url

PRETRAINED = "pretrained"
"""What stands in place of a file of weights."""
_TORCHVISION, _TIMM = "torchvision:", "timm:"


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
    raise WeightsError(
        f"weights 'pretrained' are for torchvision:NAME and timm:NAME; give a file of weights for "
        f"{name}"
    )


def _of_torchvision(name: str, url: str | None) -> Path:
    if not url:
        raise WeightsError(f"torchvision offers no weights of {name}: give a file of weights")
    file = _checkpoints() / url.rpartition("/")[2]

    def download() -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        digest = torch.hub.HASH_REGEX.search(file.name)
        torch.hub.download_url_to_file(
            url, str(file), digest[1] if digest else None, progress=False
        )
        return file

    return _fetched(file, url, download)


def _of_timm(name: str, repository: tuple[str, str] | None) -> Path:
    if repository is None:
        raise WeightsError(f"timm offers no weights of {name}: give a file of weights")
    owner_and_name, file = repository
    place = _checkpoints() / f"{owner_and_name.rpartition('/')[2]}{Path(file).suffix}"

    def download() -> Path:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - comes with timm

        return Path(hf_hub_download(owner_and_name, file))

    return _fetched(place, f"{file} of {owner_and_name} (Hugging Face)", download)


def _fetched(place: Path, source: str, download: Callable[[], Path]) -> Path:
    """Return the file at a place, else what is downloaded."""
    if place.is_file():
        return place
    try:
        with long_work(f"downloading {place.name}", None):
            return download()
    except Exception as error:  # whatever libraries and networks come up with
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"pretrained weights could not be fetched ({reason:.200}): put {source} at {place}"
        ) from error


def _checkpoints() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
