"""Networks by name, built from a seed or from given weights."""

from autodepth.networks.catalogue.build import (
    NetworkSpec,
    build_module,
    build_network,
    default_classes,
    default_input,
    is_for_colour,
)

__all__ = [
    "NetworkSpec",
    "build_module",
    "build_network",
    "default_classes",
    "default_input",
    "is_for_colour",
]
