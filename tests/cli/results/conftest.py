"""The study that bounds are asked of."""

from service.solving.conftest import network, scored

__all__ = ["network", "scored"]
