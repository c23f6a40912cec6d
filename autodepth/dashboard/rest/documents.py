"""What is answered to who looks, as models: those of the values that `--json` prints."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from autodepth.report.study_status import StudyStatus

Columns = dict[str, list[Any]]
"""By name one value per trial: a tenth of the text that rows would be."""


def _model(name: str, told: str, of: type, **more: Any) -> type[BaseModel]:
    """Return the model of a data class's fields, and others besides."""
    hints = get_type_hints(of)
    fields = {field.name: (hints[field.name], ...) for field in dataclasses.fields(of)}
    fields |= {key: (kind, ...) for key, kind in more.items()}
    config = ConfigDict(extra="allow")
    made: type[BaseModel] = create_model(name, __config__=config, __doc__=told, **fields)  # type: ignore[call-overload]
    return made


class StudyLine(BaseModel):
    """A study in the list, newest first."""

    study: str
    owner: str | None
    created: str
    outcome: str | None
    running: bool
    trials: int
    network: str
    data: str
    sampler: str | None


StatusAnswer = _model(
    "StatusAnswer", "Where a study stands, as `status --json`, and how its budget burned down.",
    StudyStatus, state=str, now=str, ends_at=str | None, burn_down=dict[str, Any],
)  # fmt: skip


class FrontMember(BaseModel):
    """A network that no other beats, as `front --json`; `confirmed` where there are fresh seeds."""

    model_config = ConfigDict(extra="allow")

    trial: int
    macs: int
    parameters: int
    size_bytes: int
    policy: dict[str, Any]
    removed: list[int]
    confirmed: dict[str, Any] | None = None


class TrialsAnswer(BaseModel):
    """Trials that changed after a revision, in columns."""

    instance: str
    revision: int
    whole: bool
    axes: dict[str, str]
    objectives: list[dict[str, Any]]
    metrics: dict[str, str]
    leading: dict[str, str]
    knee: int | None
    whole_macs: float | None
    front: list[int]
    confirmed: dict[str, Any]
    accuracy_unit: float
    columns: Columns
    dimensions: Columns


class TrialAnswer(BaseModel):
    """Everything about one trial, as `status --why --json` and more."""

    model_config = ConfigDict(extra="allow")

    trial: int
    kind: str
    state: str
    reason: str | None
    policy: dict[str, Any]
    settings: dict[str, str]
    on_front: bool
    dominated_by: list[int]
    verdicts: list[dict[str, Any]]
    lineage: list[dict[str, Any]]
    device_seconds: float
    weights_kept: bool
    export: str | None


class ColumnsAnswer(BaseModel):
    """Trials of a front in columns."""

    columns: Columns


class BranchesRequest(BaseModel):
    """Of which trials branches are told."""

    trials: list[int] | None = Field(None, description="Their numbers; null for all.")


class Document(BaseModel):
    """Plain values, as the command of that name prints them."""

    model_config = ConfigDict(extra="allow")
