"""When training ends before its last epoch, and which epoch's weights are taken then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from autodepth.trial.training.evaluation import Evaluation


class EarlyStopping:
    """The weights of the epoch with the lowest validation loss, where patience asks for them.

    Args:
        module: the network.
        patience: epochs without a better loss after which training ends; None never ends it.
    """

    def __init__(self, module: nn.Module, patience: int | None) -> None:
        self._module, self._patience = module, patience
        self._loss, self._waited = math.inf, 0
        self._weights: dict[str, Tensor] = {}

    @property
    def waited_enough(self) -> bool:
        """Whether training is to end."""
        return self._patience is not None and self._waited >= self._patience

    def update(self, evaluation: Evaluation) -> None:
        """Hear of an epoch that has just ended."""
        if self._patience is None:
            return
        self._waited += 1
        if evaluation.loss < self._loss:
            self._loss, self._waited = evaluation.loss, 0
            self._weights = {k: v.clone() for k, v in self._module.state_dict().items()}

    def restore(self) -> None:
        """Put the best epoch's weights back."""
        if self._weights:
            self._module.load_state_dict(self._weights)

    def state_dict(self) -> tuple[Mapping[str, Tensor], dict[str, Any]]:
        """Return its weights, and the rest as plain values fit for JSON."""
        return self._weights, {"loss": self._loss, "waited": self._waited}

    def load_state_dict(self, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Be as when `state_dict` gave these."""
        self._weights = dict(weights)
        self._loss, self._waited = values["loss"], values["waited"]
