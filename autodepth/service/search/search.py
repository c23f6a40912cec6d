"""One search, from what a person says to a front: what `autodepth search` and Python share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodepth.atomic import write_atomically
from autodepth.errors import AutodepthError, InputError, StorageError
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import Tracker
from autodepth.records.storage import taking
from autodepth.records.studies import StudyFolder, check_free, create_study_folder
from autodepth.report.study_files import write_study_files
from autodepth.service.search.one_search import only_search
from autodepth.service.search.rehearsal import rehearse, with_formats_tried
from autodepth.service.search.warm_start import front_policies
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import load_space
from autodepth.space.file.yaml_text import write_yaml
from autodepth.space.search_space import SearchSpace
from autodepth.study.confirm.scheduler import ConfirmationRequest
from autodepth.study.plan.make_plan import make_plan
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.plan.resource_request import parse_per_trial
from autodepth.study.propose.optuna_export import mirror_path, write_mirror
from autodepth.study.run import Runner, StudyResult, Watch, run_study, start_ledger
from autodepth.units import parse_budget

if TYPE_CHECKING:
    from autodepth.export.writing import Format
    from autodepth.study.cluster.cluster import Cluster

LOCAL_SPACE = Path("autodepth.yaml")
_LONGEST_NAME = 64  # of a study


@only_search()
def search(  # noqa: PLR0913 - a wish each, all but one optional
    space: str | Path | None = None,
    *,
    budget: str,
    study: str | None = None,
    data: str | None = None,
    network: str | None = None,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    concurrency: int | None = None,
    per_trial: str | None = None,
    start_from: str | None = None,
    own_code: bool = False,
    trust_data: bool = False,
    formats: Sequence[Format] = (),
    tracking_uri: str | None = None,
    runner: Runner = "ray",
    ray_address: str | None = None,
    storage: str | None = None,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Search for shallow networks within a budget.

    Args:
        space: a space file; None takes `autodepth.yaml` in the current folder, else the
            embedded default (ResNet-20 on handwritten digits).
        budget: for example `50gpu-h`, `90cpu-min`, `12h` or `400trials`; several by commas.
        study: name of the study; None makes one from network, data and time.
        data: takes the place of the space's data.
        network: takes the place of the space's network.
        weights: a file to start from; training before pruning is then off unless a setting
            `train.epochs=N` says otherwise.
        weights_key: where in that file they are, such as `state_dict_ema`; None finds them.
        settings: `path=value` changes to the space, as `--set` on the command line.
        seed: takes the place of the space's seed.
        concurrency: trials at the same time; None for one per device.
        per_trial: what one trial reserves, such as `0.25gpu`, `2gpu`, `4cpu` or `2x1cpu`; several
            GPUs, or processes, train it together. None for one device.
        start_from: name of an earlier study; the policies on its front are tried first.
        own_code: whether a network `package.module:callable` in the space file may be imported
            and called; one given as `network` always is.
        trust_data: whether to leave out the look at images that are not needed at once, those of
            the test split among them.
        formats: what its networks are to be exported to: tried before anything is trained.
        tracking_uri: MLflow store; None for a SQLite file beside the studies.
        runner: `ray`, or `in-process` for one trial after the other in this process.
        ray_address: `HOST:PORT` of an existing Ray cluster, or `auto` on one of its nodes; None
            starts a Ray of this study's own.
        storage: folder or URL that all nodes of the cluster reach.
        watch: a context entered while trials run, given the driver.

    Raises:
        InputError: something that was written cannot be used, or another search runs in this
            process; nothing was started.
        ClusterError: the cluster cannot be used; likewise.
        StorageError: the study's folder is full or read-only.
    """
    if study is not None:
        check_free(study)  # before data are read and steps are timed
    with on_cluster(ray_address, storage) as cluster:
        plan = plan_search(
            space,
            budget=budget,
            data=data,
            network=network,
            weights=weights,
            weights_key=weights_key,
            settings=settings,
            seed=seed,
            concurrency=concurrency,
            per_trial=per_trial,
            start_from=start_from,
            own_code=own_code,
            trust_data=trust_data,
            formats=formats,
            cluster=cluster,
        )
        return carry_out_plan(
            plan, study=study, tracking_uri=tracking_uri, runner=runner, watch=watch
        )


@contextmanager
def on_cluster(address: str | None, storage: str | None = None) -> Iterator[Cluster | None]:
    """Connect to a Ray cluster for as long as a study is planned and run on it.

    Args:
        address: `HOST:PORT` of its head, or `auto` on one of its nodes; None for no cluster.
        storage: folder or URL that all its nodes reach.

    Raises:
        InputError: a storage without a cluster, or as of `ray_cluster.connected`.
        ClusterError: as of `ray_cluster.connected`.
    """
    if address is None:
        if storage is not None:
            raise InputError(
                "--storage is where nodes of a Ray cluster write, so it needs --ray-address; on "
                "one machine AUTODEPTH_HOME and AUTODEPTH_CACHE say where things are"
            )
        yield None
        return
    from autodepth.study.cluster.cluster import connected  # noqa: PLC0415 - seconds

    with connected(address, storage=storage) as cluster:
        yield cluster


def plan_search(  # noqa: PLR0913 - a wish each
    space: str | Path | None = None,
    *,
    budget: str,
    data: str | None = None,
    network: str | None = None,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
    concurrency: int | None = None,
    per_trial: str | None = None,
    start_from: str | None = None,
    own_code: bool = False,
    trust_data: bool = False,
    formats: Sequence[Format] = (),
    cluster: Cluster | None = None,
) -> StudyPlan:
    """Resolve everything a search needs and train nothing; arguments as for `search`."""
    limits = parse_budget(budget)
    chosen = space_of(
        space,
        data=data,
        network=network,
        weights=weights,
        weights_key=weights_key,
        settings=settings,
        seed=seed,
    )
    if start_from is not None:
        first = front_policies(start_from, chosen)
        chosen = replace(chosen, start_with=(*first, *chosen.start_with))
    plan = make_plan(
        chosen,
        limits,
        concurrency=concurrency,
        per_trial=None if per_trial is None else parse_per_trial(per_trial),
        own_code=own_code or network is not None,
        cluster=cluster,
        trust_data=trust_data,
    )
    return with_formats_tried(plan, formats) if formats else plan


def space_of(
    space: str | Path | None = None,
    *,
    data: str | None = None,
    network: str | None = None,
    weights: str | Path | None = None,
    weights_key: str | None = None,
    settings: Sequence[str] = (),
    seed: int | None = None,
) -> SearchSpace:
    """Read the space a person means; arguments as for `search`."""
    overrides = _overrides(
        settings, data=data, network=network, weights=weights, weights_key=weights_key, seed=seed
    )
    return load_space(choose_space(space), overrides)


def choose_space(space: str | Path | None = None) -> Path:
    """Return the space file a search takes: the one named, else the folder's, else the default."""
    if space is not None:
        return Path(space)
    return LOCAL_SPACE if LOCAL_SPACE.exists() else default_space()


def carry_out_plan(
    plan: StudyPlan,
    *,
    study: str | None = None,
    tracking_uri: str | None = None,
    runner: Runner = "ray",
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Run a planned study; arguments as for `search`."""
    rehearse(plan)
    folder = create_study_folder(study or _study_name(plan))
    with DriverLock(folder):
        # Before the ledger, which makes the folder a study: whoever finds that can go on with it.
        with taking(folder.path):
            write_atomically(folder.space_path, write_yaml(plan.space.to_dict()))
            if (record := plan.context.data.record) is not None:
                write_atomically(folder.images_path, record.to_bytes())
        with start_ledger(plan, folder) as ledger:
            return drive(
                plan, folder, ledger, tracking_uri=tracking_uri, runner=runner, watch=watch
            )


def drive(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    *,
    tracking_uri: str | None,
    runner: Runner,
    watch: Watch,
    request: ConfirmationRequest | None = None,
) -> StudyResult:
    """Spend what is left of a study's budget, MLflow being told meanwhile; hold its lock."""
    token = ledger.begin_driving() if ledger.token is None else ledger.token
    tracker = Tracker(folder, tracking_uri=tracking_uri, write_files=write_study_files, token=token)
    try:
        result = run_study(
            plan,
            folder,
            ledger,
            runner=runner,
            request=request,
            unsent=tracker.unsent_events,
            watch=watch,
        )
    except BaseException:
        with suppress(AutodepthError):  # it may find the same: a folder that is gone
            tracker.close()
        raise
    unsent = tracker.close()
    if mirror_path(folder).exists():
        with suppress(StorageError):  # `fsck` tells, and mends it
            write_mirror(folder)
    return replace(result, unsent=unsent)


def _overrides(
    settings: Sequence[str],
    *,
    data: str | None,
    network: str | None,
    weights: str | Path | None,
    weights_key: str | None,
    seed: int | None,
) -> list[str]:
    """Return the changes to a space in the order they apply: a person's own settings last."""
    changes: list[tuple[str, Any]] = []
    if network is not None:
        changes.append(("network", {"name": network}))
    if weights is not None:
        changes += [("network.weights", str(weights)), ("train.epochs", 0)]
    if weights_key is not None:
        changes.append(("network.weights_key", weights_key))
    if data is not None:
        # The space's own split and limits were made for other images.
        changes.append(("data", {"name": data, "train_images": "auto"}))
    if seed is not None:
        changes.append(("seed", seed))
    return [f"{path}={json.dumps(value)}" for path, value in changes] + list(settings)


def _study_name(plan: StudyPlan) -> str:
    network, data = plan.space.network.name, plan.space.data.name
    kind, _, place = data.partition(":")
    words = [network, Path(place).stem or kind, f"{datetime.now(UTC):%Y%m%d-%H%M%S}"]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words))
    return name[-_LONGEST_NAME:].strip("-.")  # what is cut off may leave a point in front
