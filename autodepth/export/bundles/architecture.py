"""How to build an exported network again, and what to feed it: `architecture.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from autodepth.data.settings import Normalisation
from autodepth.errors import BundleError
from autodepth.export.bundles.seal import to_json
from autodepth.networks.catalogue import NetworkSpec
from autodepth.tasks.own_task import TaskSpec

_FORMAT = "autodepth-bundle-2"
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How to build an exported network and what to feed it.

    Args:
        network: the network before anything was removed; images have its size.
        removed: numbers (1..L) of the branches to remove from it.
        widths: shape of every tensor that another width of branches or of the residual stream gave
            another shape, by state-dict key; numbers in the graph follow from these.
        normalisation: per channel, of pixels in [0, 1].
        classes: name of each class, in the order of the scores.
        macs: multiply-accumulates per image, checked when it is loaded.
        learns: which task it learned; one of a person's own prepares its inputs itself.
    """

    network: NetworkSpec
    removed: tuple[int, ...]
    widths: Mapping[str, tuple[int, ...]]
    normalisation: Normalisation
    classes: tuple[str, ...]
    macs: int
    learns: TaskSpec = field(default_factory=TaskSpec)

    def to_json(self) -> str:
        """Return the content of `architecture.json`."""
        values = asdict(self)
        del values["learns"]
        if not self.learns.is_plain:
            values["task"] = self.learns.to_dict()
        return to_json({"format": _FORMAT, **values, "network": self.network.to_dict()})

    @classmethod
    def from_json(cls, text: str, *, own_code: bool = False) -> Architecture:
        """Read what `to_json` wrote; `own_code` says whether code of one's own may build it.

        Raises:
            BundleError: the content is of another format.
        """
        try:
            values = json.loads(text)
            assert values.pop("format") == _FORMAT
            constants = values["normalisation"]
            return cls(
                network=NetworkSpec.from_dict(values["network"], own_code=own_code),
                removed=tuple(values["removed"]),
                widths={name: tuple(shape) for name, shape in values["widths"].items()},
                normalisation=Normalisation(
                    mean=tuple(constants["mean"]), std=tuple(constants["std"])
                ),
                classes=tuple(values["classes"]),
                macs=values["macs"],
                learns=TaskSpec.from_dict(values.get("task"), own_code=own_code),
            )
        except _MALFORMED as error:
            raise BundleError(
                f"architecture.json is not of the format {_FORMAT}: {error}"
            ) from error
