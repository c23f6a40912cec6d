"""Requests: what a person asks for, the same from the command line and from Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autodepth.errors import BudgetError
from autodepth.study.plan.resource_request import parse_per_trial
from autodepth.units import Budget, parse_budget

if TYPE_CHECKING:
    from autodepth.export.writing import Format
    from autodepth.study.plan.plan import PlanRequest
    from autodepth.study.run import Runner

Concurrency = int | Literal["auto"] | None


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Where trials run, who is told of them, and what is trusted: the same for all requests.

    Args:
        own_code: whether a network or a task `package.module:callable` in a space file may be
            imported and called; a network given as `network` of a search always is.
        tracking_uri: MLflow store; None for a SQLite file beside the studies.
        notify: who else is told when it matters, beside those that the space names: a webhook or
            another URL, or where one is, `env:NAME` or `file:PATH`.
        runner: `ray`, or `in-process` for one trial after the other in this process.
        ray_address: `HOST:PORT` of an existing Ray cluster, or `auto` on one of its nodes; None
            starts a Ray of this study's own.
        storage: folder or URL that all nodes of the cluster reach.
    """

    own_code: bool = False
    tracking_uri: str | None = None
    notify: Sequence[str] = ()
    runner: Runner = "ray"
    ray_address: str | None = None
    storage: str | None = None


@dataclass(frozen=True, kw_only=True)
class SearchRequest(RunRequest):
    """A search that is to begin; what all requests have is told at `RunRequest`.

    Args:
        space: a space file; None takes `autodepth.yaml` in the current folder, else the
            embedded default (ResNet-20 on handwritten digits).
        budget: for example `50gpu-h`, `90cpu-min`, `12h` or `400trials`; several by commas.
        study: name of the study; None makes one from network, data and time.
        data: takes the place of the space's data.
        network: takes the place of the space's network.
        weights: a file to start from, or `pretrained` for those of its library; training
            before pruning is then off unless a setting `train.epochs=N` says otherwise.
        weights_key: where in that file they are, such as `state_dict_ema`; None finds them.
        settings: `path=value` changes to the space, as `--set` on the command line.
        seed: takes the place of the space's seed.
        concurrency: trials at the same time; None or `auto` for one per device.
        per_trial: what one trial reserves, such as `0.25gpu`, `2gpu`, `4cpu` or `2x1cpu`; several
            GPUs, or processes, train it together. None for one device.
        start_from: name of an earlier study; the policies on its front are tried first.
        trust_data: whether to leave out the look at images that are not needed at once, those of
            the test split among them.
        formats: what its networks are to be exported to: tried before anything is trained.
    """

    space: str | Path | None = None
    budget: str
    study: str | None = None
    data: str | None = None
    network: str | None = None
    weights: str | Path | None = None
    weights_key: str | None = None
    settings: Sequence[str] = ()
    seed: int | None = None
    concurrency: Concurrency = None
    per_trial: str | None = None
    start_from: str | None = None
    trust_data: bool = False
    formats: Sequence[Format] = ()

    def plan_request(self) -> PlanRequest:
        """Parse what a plan needs beside the space; from here on no budget is a text.

        Raises:
            BudgetError: the budget cannot be read.
            InputError: what one trial reserves cannot be read.
        """
        from autodepth.study.plan.plan import PlanRequest  # noqa: PLC0415 - torch: seconds

        return PlanRequest(
            budget=parse_budget(self.budget),
            concurrency=None if self.concurrency == "auto" else self.concurrency,
            per_trial=None if self.per_trial is None else parse_per_trial(self.per_trial),
            own_code=self.own_code or self.network is not None,
            own_task=self.own_code,
            trust_data=self.trust_data,
        )


@dataclass(frozen=True, kw_only=True)
class StudyRequest(RunRequest):
    """What is asked of a study that exists; what all requests have is told at `RunRequest`.

    Args:
        study: its name, or `latest`.
        concurrency: trials at the same time; None for as many as before, `auto` for one per
            device that is there now.
        data: where the study's images are now, such as `folder:PATH`; None for where they were.
        weights: where the weights it starts from are now; None for where they were.
        own_task: whether a task may be code of one's own; None for what `own_code` says.
    """

    study: str
    concurrency: Concurrency = None
    data: str | None = None
    weights: str | Path | None = None
    own_task: bool | None = None


@dataclass(frozen=True, kw_only=True)
class BesideRequest(StudyRequest):
    """What is asked of a study beside its search; see also `StudyRequest` and `RunRequest`.

    Args:
        at_most: time that it may take, for example `10cpu-min`; None for what it costs.
    """

    at_most: str | None = None

    @property
    def most(self) -> Budget:
        """What may be taken beside the search.

        Raises:
            BudgetError: it cannot be read, or is a count of trials.
        """
        most = Budget() if self.at_most is None else parse_budget(self.at_most)
        if most.trials is not None:
            raise BudgetError(
                f"what may be taken at most is time such as 10cpu-min, but got {self.at_most!r}"
            )
        return most


@dataclass(frozen=True, kw_only=True)
class ResumeRequest(StudyRequest):
    """A study that is to go on; see also `StudyRequest` and `RunRequest`.

    Args:
        budget: what to add, for example `+10gpu-h`; None goes on with what is left.
        total: what the study may spend in all; takes the place of its budget.
        takeover: whether to go on although a process drives the study that has not shown for
            `LEASE_SECONDS` that it lives; when it wakes up, nothing it has to say is entered.
    """

    budget: str | None = None
    total: str | None = None
    takeover: bool = False

    def limits(self, before: Budget) -> Budget:
        """Return what the study may spend in all.

        Args:
            before: what it might spend so far.

        Raises:
            BudgetError: it cannot be read, or what is to be added is of another kind.
        """
        if self.total is not None:
            return parse_budget(self.total)
        if self.budget is not None:
            return before.plus(parse_budget(self.budget.strip().removeprefix("+")))
        return before


@dataclass(frozen=True, kw_only=True)
class ConfirmRequest(BesideRequest):
    """A front that is to be retrained; see also `BesideRequest` and those above it.

    Args:
        seeds: fresh seeds per member of the front, at least 1.
        roles: controls, see `autodepth.study.confirm.baselines.ROLES`.
        selected: which members, as of `autodepth.front.selection.select`; all where none is.
    """

    seeds: int = 2
    roles: Sequence[str] = ()
    selected: Sequence[str] = ()
