"""The whole space file as pydantic models; the JSON Schema is generated from them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    Strict,
    model_validator,
)

from autodepth.errors import InputError
from autodepth.policy.values import shown
from autodepth.space.objectives import (
    AT_PATTERN,
    CONSTRAINT_PATTERN,
    METRICS,
    OF_TASK_PATTERN,
    QUANTITY_PATTERN,
    Constraint,
    Goal,
    KnownMetric,
    Quantity,
    check_quantity,
    goal_of,
    is_known,
    is_of_task,
    parse_constraint,
    parse_quantity,
    unknown_metric,
)
from autodepth.space.sections.latency_section import LatencySection, Places
from autodepth.space.sections.search_models import (
    ConfirmationSection,
    LimitsSection,
    RungsSection,
    SamplerSection,
    StartPoints,
)
from autodepth.space.sections.section import Count, Name, Place, Section, must, one_of, several
from autodepth.space.sections.setting_models import PolicySection, TrainSection
from autodepth.space.sections.task_section import TaskSection

TASK_DATA = "task"
"""Name of the examples that a task brings along itself."""
CIFAR_RESNET = re.compile(r"resnet\d+")
"""Names of the networks that have a choice of shortcut."""


class NetworkSection(Section):
    """The network to thin out."""

    name: Name = Field(
        description="resnet20, resnet56, ..., torchvision:NAME, timm:NAME, hf:NAME, "
        "or package.module:callable"
    )
    shortcut: Annotated[Literal["A", "B"], one_of("A", "B")] = Field(
        "A", description="option of the CIFAR ResNets: A pads with zeros, B projects"
    )
    weights: Annotated[str | None, must("a file name or null")] = Field(
        None,
        description="file of weights to start from, or `pretrained` for those that torchvision, "
        "timm or Hugging Face offer",
    )
    weights_key: Annotated[str | None, must("a key of that file or null")] = Field(
        None, description="where in that file they are, such as state_dict_ema; null finds them"
    )
    arguments: Annotated[
        Mapping[str, JsonValue], Strict(strict=False), must("a mapping from names to plain values")
    ] = Field(default_factory=dict, description="what the network's builder is called with besides")

    protect: Annotated[
        tuple[Count, ...], Strict(strict=False), must("a list of branch numbers, from 1")
    ] = Field(default=(), description="numbers of branches that always stay, as inspect has them")
    free: Annotated[
        tuple[Annotated[str, must("a name")], ...],
        Strict(strict=False),
        must("a list of names of operators, functions or classes"),
    ] = Field(
        default=(),
        description="operators (mylib::scan), functions and classes (package.module.name) of "
        "one's own that count as 0 MACs",
    )
    channel_multiple: Count = Field(
        1,
        description="what the channels that pruning leaves to a layer are multiples of, where it "
        "has more than that; kernels are often fastest at multiples of 4, 8 or 32",
    )

    @model_validator(mode="after")
    def _settings_belong(self) -> NetworkSection:
        if "shortcut" in self.model_fields_set and not CIFAR_RESNET.fullmatch(self.name):
            raise ValueError(
                f"shortcut is for the CIFAR ResNets (resnet20, resnet56, ...), "
                f"but the network is {shown(self.name)}"
            )
        if self.arguments and CIFAR_RESNET.fullmatch(self.name):
            raise ValueError(f"{self.name} takes no arguments")
        return self


class NormalisationSection(Section):
    """Mean and standard deviation by channel, of pixels in [0, 1]."""

    mean: Annotated[tuple[float, ...], Strict(strict=False), Field(min_length=1)]
    std: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...], Strict(strict=False), Field(min_length=1)
    ]

    @model_validator(mode="after")
    def _same_channels(self) -> NormalisationSection:
        if len(self.mean) != len(self.std):
            raise ValueError("mean and std must have one number per channel each")
        return self


class DataSection(Section):
    """The images, and how they are split and prepared."""

    name: Name = Field(
        description="digits, cifar10, cifar100, svhn, fashion-mnist, folder:PATH, npz:FILE, "
        "hf-data:OWNER/NAME or PATH, coco:PATH or voc:PATH of boxes, masks:PATH, csv:FILE of "
        "numbers, or unlabelled:PATH, whose labels are the answers of the network given; left out "
        "where the task brings its own"
    )
    root: Annotated[str, must("a folder")] = Field(
        "data", description="where downloads and packed images are kept"
    )
    validation: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | Count,
        must("a share in (0, 1) or a whole number of images"),
    ] = Field(0.1, description="images split off for validation: a share, or how many")
    validation_from: Annotated[Literal["train", "test"], one_of("train", "test")] = Field(
        "train",
        description="the part they are split off; test takes half of the test part, for given "
        "weights that were trained on all of the training part",
    )
    train_images: Annotated[
        Count | Literal["auto"] | None, must("a whole number of at least 1, auto or null", "auto")
    ] = Field(None, description="images to train on; null takes all, auto what the budget affords")
    image_size: Annotated[Count | None, must("a whole number of pixels or null")] = Field(
        None, description="height and width in pixels; null keeps the images as they are"
    )
    packed_size: Annotated[Count | None, must("a whole number of pixels or null")] = Field(
        None,
        description="height and width in pixels that training images of a folder too large for "
        "memory are kept decoded at, at least image_size; null decodes them at each pass",
    )
    augment: Annotated[
        Literal["auto", "none", "flip-crop"], one_of("auto", "none", "flip-crop")
    ] = Field(
        "auto", description="of training images; auto takes what the data bear: none for digits"
    )
    normalisation: Annotated[
        Literal["auto", "data", "imagenet"] | NormalisationSection,
        must("auto, data, imagenet, or mean and std with a number per channel, std above 0"),
    ] = Field("auto", description="auto is imagenet with given weights, else from the data")
    split_seed: Annotated[int, Field(ge=0), must("a whole number of at least 0")] = Field(
        0, description="seed the splits are drawn by"
    )


def _metric(name: object) -> object:
    if isinstance(name, str) and (is_known(name) or is_of_task(name)):
        return name
    raise ValueError(unknown_metric(name) if isinstance(name, str) else _no_metric(name))


def _no_metric(value: object) -> str:
    return f"must be one of {', '.join(METRICS)}, but got {shown(value)}"


class ObjectiveSection(Section):
    """A metric to make better, and the corner hypervolume is measured from."""

    name: Annotated[
        str,
        PlainValidator(
            _metric,
            json_schema_input_type=KnownMetric
            | Annotated[str, Field(pattern=f"^({OF_TASK_PATTERN}|{AT_PATTERN})$")],
        ),
    ] = Field(
        description="what is measured; validation_NAME is the metric NAME of a task, "
        "latency_ms@NAME the latency at a place, peak_memory_mb@32 the memory of batches of 32"
    )
    goal: Annotated[Goal, one_of("maximize", "minimize")] = Field(
        default_factory=lambda section: goal_of(section["name"]),
        description="the one that makes the metric better; it may be left out",
    )
    reference: Annotated[
        Quantity,
        PlainValidator(
            parse_quantity,
            json_schema_input_type=float | Annotated[str, Field(pattern=QUANTITY_PATTERN)],
        ),
        PlainSerializer(Quantity.to_plain),
    ] = Field(description="the worst value that counts: a number, or a % of the unpruned network's")

    @model_validator(mode="after")
    def _makes_sense(self) -> ObjectiveSection:
        if is_known(self.name) and self.goal != goal_of(self.name):
            message = f"goal of {self.name} must be {goal_of(self.name)}, but got {self.goal!r}"
            raise several([(("goal",), message)])
        try:
            check_quantity(self.name, self.reference)
        except InputError as error:
            raise several([(("reference",), str(error))]) from None
        return self


class SensitivitySection(Section):
    """How branches are scored."""

    images: Annotated[Count | None, must("a whole number of at least 1 or null")] = Field(
        512, description="validation images each branch is scored on; null takes all"
    )


def _named(value: object) -> object:
    """Read `resnet20` as `{name: resnet20}`."""
    return {"name": value} if isinstance(value, str) else value


def _distinct(objectives: tuple[ObjectiveSection, ...]) -> tuple[ObjectiveSection, ...]:
    names = [objective.name for objective in objectives]
    mistakes: list[tuple[Place, str]] = [
        ((i, "name"), f"there is an objective {name!r} already")
        for i, name in enumerate(names)
        if name in names[:i]
    ]
    if not names:
        mistakes.append(((), "must hold at least one objective"))
    if mistakes:
        raise several(mistakes)
    return objectives


DEFAULT_OBJECTIVES = (
    ObjectiveSection.model_validate({"name": "validation_accuracy", "reference": 0.0}),
    ObjectiveSection.model_validate({"name": "macs", "reference": "100%"}),
)


class SpaceModel(Section):
    """What may be searched: a network, its data, what is asked of it, and the settings."""

    version: Annotated[Literal[1], must("1, the only version there is")]
    network: Annotated[
        NetworkSection, BeforeValidator(_named, json_schema_input_type=str | NetworkSection)
    ]
    data: Annotated[
        DataSection, BeforeValidator(_named, json_schema_input_type=str | DataSection)
    ] = DataSection(name=TASK_DATA)
    task: Annotated[
        TaskSection, BeforeValidator(_named, json_schema_input_type=str | TaskSection)
    ] = TaskSection()
    objectives: Annotated[
        tuple[ObjectiveSection, ...], Strict(strict=False), AfterValidator(_distinct)
    ] = Field(DEFAULT_OBJECTIVES, description="what to make better; at least one")
    constraints: Annotated[
        tuple[
            Annotated[
                Constraint,
                PlainValidator(
                    parse_constraint,
                    json_schema_input_type=Annotated[str, Field(pattern=CONSTRAINT_PATTERN)],
                ),
                PlainSerializer(str),
            ],
            ...,
        ],
        Strict(strict=False),
    ] = Field((), description="bounds every network of the front keeps, such as 'macs <= 70%'")
    latency: Places = Field(
        default_factory=dict,
        description="places where networks are timed, by name; torch, torch-compile, onnxruntime, "
        "openvino and executorch are there without a word",
    )
    search: PolicySection
    train: TrainSection = Field(default_factory=TrainSection)
    sensitivity: SensitivitySection = SensitivitySection()
    sampler: SamplerSection = SamplerSection()
    start_with: StartPoints = Field(
        ("shallow",),
        description="policies to try first: shallow, unpruned, linear_rule, constant_depth, mild, "
        "strong or settings; none where networks from scratch are searched",
    )
    rungs: RungsSection = RungsSection()
    confirmation: ConfirmationSection = ConfirmationSection()
    limits: LimitsSection = LimitsSection()
    seed: Annotated[int, Field(ge=0), must("a whole number of at least 0")] = Field(
        0, description="every draw of the study derives from it"
    )
    notify: Annotated[
        tuple[
            Annotated[
                str,
                Field(pattern=r"^(env:\w+|file:.+)$"),
                must("env:NAME or file:PATH of what holds a URL, which may be a secret"),
            ],
            ...,
        ],
        Strict(strict=False),
        must("a list of env:NAME and file:PATH"),
    ] = Field((), description="who is told when it matters: variables or files that hold a URL")


SECTIONS: dict[str, type[Section]] = {
    "": SpaceModel,
    "network": NetworkSection,
    "data": DataSection,
    "task": TaskSection,
    "objectives": ObjectiveSection,
    "latency": LatencySection,
    "search": PolicySection,
    "train": TrainSection,
    "sensitivity": SensitivitySection,
    "sampler": SamplerSection,
    "rungs": RungsSection,
    "confirmation": ConfirmationSection,
    "limits": LimitsSection,
}
"""The models of mappings by the key they stand under; the file itself under an empty name."""
