"""What flows on the residual streams of two networks, compared addition by addition."""

from __future__ import annotations

import torch
from torch import Tensor

from autodepth.networks.gates.gates import GatedNetwork


class Features:
    """The features that two networks computed last.

    A dropped branch counts as well: what flows past it is to be what would flow with it.

    Args:
        student: a gated network.
        teacher: another one with all branches of the student and as wide a stream, gated in the
            same mode.
    """

    def __init__(self, student: GatedNetwork, teacher: GatedNetwork) -> None:
        teachers = teacher.remembering_gates()
        self._pairs = [(gate, teachers[n]) for n, gate in student.remembering_gates().items()]

    def apart(self) -> Tensor | float:
        """Return |student - teacher|^2 / |teacher|^2, mean over the batch, then over additions.

        Both networks must have run on the same batch; what they gave is forgotten then.
        """
        far = []
        for pair in self._pairs:
            given, wanted = (gate.last for gate in pair)
            assert given is not None
            assert wanted is not None
            far.append(_relative_error(given, wanted))
            for gate in pair:
                gate.last = None
        return sum(far) / max(1, len(far))


def _relative_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Return the error of features [B, ...] as a share of their size, mean over the batch."""
    rows, wanted_rows = given.float().flatten(1), wanted.float().flatten(1)
    error, size = (rows - wanted_rows).square().sum(1), wanted_rows.square().sum(1)
    relative: Tensor = error / size.clamp_min(torch.finfo(size.dtype).tiny)
    return relative.mean()
