"""Networks by name, built from a seed or from given weights."""

from autodepth.networks.catalogue.build import (
    NetworkSpec,
    build_module,
    build_network,
    complete,
    default_classes,
    default_input,
    from_root,
    is_for_colour,
    trained_on,
)

__all__ = [
    "NetworkSpec",
    "build_module",
    "build_network",
    "complete",
    "default_classes",
    "default_input",
    "from_root",
    "is_for_colour",
    "trained_on",
]
