"""The one way in to transformers, an extra: `pip install autodepth[hf]`.

Its networks that classify images are built by name (see `hf_files`) and give scores alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from autodepth.errors import NetworkError, did_you_mean
from autodepth.networks.catalogue.libraries import hf_files
from autodepth.networks.catalogue.libraries.hf_files import KIND
from autodepth.networks.catalogue.libraries.importing import import_extra

InputShape = tuple[int, ...]
# Of the files it was made of, and of one number of classes.
_NOT_KEPT = ("transformers_version", "_name_or_path", "id2label", "label2id", "dtype")
_CLASSES, _PIXELS = 1000, 224
_VISION = "vision_config"


def import_transformers() -> ModuleType:
    """Return transformers, which needs a torchvision that imports.

    Raises:
        NetworkError: transformers is not installed.
    """
    return import_extra("transformers", "hf", "Hugging Face")


def hf_module(
    name: str, classes: int, input_shape: InputShape, arguments: Mapping[str, Any]
) -> nn.Module:
    """Build a network of transformers with random weights, which maps images to scores.

    Args:
        name: as `hf_files` has it.
        classes: size of the output.
        input_shape: (C, H, W) of one image.
        arguments: values of its configuration that are to be others; with `model_type` they are
            all of it, and no file is looked for.

    Raises:
        NetworkError: there is no such network, or its configuration is not known.
        ValueError: transformers refuses the configuration, and says why.
    """
    transformers = import_transformers()
    config = _for_images(_config(transformers, name, arguments), input_shape, arguments)
    config.num_labels = classes
    with _quiet(transformers):
        module: nn.Module = _class_for(transformers, config, name)(config)
    made = type(module)
    module.__class__ = type(made.__name__, (_ScoresAlone, made), {"__module__": made.__module__})
    return module


def complete_arguments(
    name: str, input_shape: InputShape, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return arguments by which a network is built again without the files that describe it.

    Raises:
        NetworkError: as of `hf_module`.
    """
    config = _config(import_transformers(), name, arguments)
    config = _for_images(config, input_shape, arguments)
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    return {key: value for key, value in values.items() if key not in _NOT_KEPT}


def default_input(name: str) -> InputShape:
    """Return the image shape (C, H, W) that a network was made for.

    Raises:
        NetworkError: as of `hf_module`.
    """
    config = _as_it_is(name)
    part, size = _for_images_alone(config), hf_files.trained_on(name)
    size = size or hf_files.height_and_width(getattr(part, "image_size", None))
    return getattr(part, "num_channels", 3), *(size or (_PIXELS, _PIXELS))


def default_classes(name: str) -> int:
    """Return the size of the output that a network has; of a kind, that of ImageNet.

    Raises:
        NetworkError: as of `hf_module`.
    """
    if hf_files.is_kind(name):
        return _CLASSES
    return int(_as_it_is(name).num_labels)


def renamed(module: Any, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return weights under the names that this version of transformers has for them.

    A head that is not in the file, as of a network that gives features, is taken from the network.

    Args:
        module: of `hf_module`.
        state: weights by the names of a file, which another version may have written.

    Returns:
        The weights, and the names of those that were taken from the network.
    """
    transformers = import_transformers()
    own = module.state_dict()
    made: Any = type(module).__mro__[2]
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        filled, told = made.from_pretrained(
            None,
            config=module.config,
            state_dict=dict(state),
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    lacking = sorted(told["missing_keys"])
    heads = [key for key in lacking if not key.startswith(f"{module.base_model_prefix}.")]
    found = {key: value for key, value in filled.state_dict().items() if key not in lacking}
    found |= {key: state.get(key, own[key]) for key, *_ in told["mismatched_keys"]}
    return found | {key: own[key] for key in heads}, heads


class _ScoresAlone:
    """Comes before a class of transformers: images in, scores out."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to class scores [B, classes]."""
        told = super().forward(pixel_values=images)  # type: ignore[misc]
        # PP-LCNet's class for images calls what its head gives by another name.
        scores: Tensor = told.logits if hasattr(told, "logits") else told.last_hidden_state
        return scores


def _as_it_is(name: str) -> Any:
    """Return the configuration of a network without arguments.

    Raises:
        NetworkError: as of `hf_module`, or of its own accord it is none.
    """
    try:
        return _config(import_transformers(), name, {})
    except ValueError as error:
        if isinstance(error, NetworkError):
            raise
        raise NetworkError(f"hf:{name} is no network without settings: {error}") from error


def _for_images(config: Any, input_shape: InputShape, arguments: Mapping[str, Any]) -> Any:
    """Return a configuration for images of a shape, unless arguments say another."""
    channels, height, width = input_shape
    part, said = _for_images_alone(config), arguments
    if part is not config:
        said = arguments.get(_VISION, {})
    one_number = height == width and not isinstance(getattr(part, "image_size", 0), list | tuple)
    size = height if one_number else [height, width]  # some kinds refuse one for both
    for key, value in {"num_channels": channels, "image_size": size}.items():
        if hasattr(part, key) and key not in said:
            setattr(part, key, value)
    return config


def _for_images_alone(config: Any) -> Any:
    """Return the part of a configuration that is about images: some kinds read texts as well."""
    return getattr(config, _VISION, config)


def _config(transformers: ModuleType, name: str, arguments: Mapping[str, Any]) -> Any:
    described = {} if KIND in arguments else hf_files.described(name)
    values = {**described, **arguments}
    kind = values.pop(KIND)
    if kind not in transformers.CONFIG_MAPPING:
        if "auto_map" in values:
            raise NetworkError(
                f"hf:{name} is built by code of its repository, which is not run: import that in "
                "code of your own, and name what builds it package.module:callable"
            )
        hint = did_you_mean(kind, _kinds(transformers))
        raise NetworkError(f"transformers has no kind of network {kind!r}{hint}")
    config = _checked(transformers.CONFIG_MAPPING[kind], described)
    if KIND not in arguments:
        for key in arguments:  # it would take any
            if not hasattr(config, key):
                hint = did_you_mean(key, config.to_dict())
                raise NetworkError(f"hf:{name} has no setting {key!r}{hint}")
    return _checked(transformers.CONFIG_MAPPING[kind], values)


def _checked(kind: Any, values: Mapping[str, Any]) -> Any:
    """Return a configuration; whatever is wrong with one comes as a ValueError of one line."""
    try:
        return kind.from_dict(dict(values))
    except Exception as error:
        raise ValueError(" ".join(str(error).split())) from error


def _class_for(transformers: ModuleType, config: Any, name: str) -> Any:
    """Return the class that classifies images, the one the configuration names where it does."""
    mapping = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    if type(config) not in mapping:
        raise NetworkError(
            f"hf:{name} is a {config.model_type}, of which transformers has no network that "
            f"classifies images; it has one of {', '.join(_kinds(transformers))}"
        )
    found = mapping[type(config)]
    classes = found if isinstance(found, tuple) else (found,)
    named = set(getattr(config, "architectures", None) or ())
    return next((each for each in classes if each.__name__ in named), classes[0])


def _kinds(transformers: ModuleType) -> list[str]:
    mapping = transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    return sorted(config.model_type for config in mapping)


@contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """Have transformers tell nothing while it builds and fills networks: what matters is told."""
    logging = transformers.utils.logging
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
