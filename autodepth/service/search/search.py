"""One search, from what a person says to a front: what `autodepth search` and Python share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from autodepth.atomic import write_atomically
from autodepth.errors import AutodepthError, InputError, StorageError
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import Tracker
from autodepth.records.storage import taking
from autodepth.records.studies import StudyFolder, check_free, create_study_folder
from autodepth.report.study_files import write_study_files
from autodepth.service.notify.notifier import telling
from autodepth.service.notify.places import read_places
from autodepth.service.search.one_search import only_search
from autodepth.service.search.rehearsal import rehearse, with_formats_tried
from autodepth.service.search.requests import RunRequest, SearchRequest
from autodepth.service.search.wanted_space import space_of
from autodepth.service.search.warm_start import front_policies
from autodepth.space.file.yaml_text import write_yaml
from autodepth.study.confirm.scheduler import ConfirmationRequest
from autodepth.study.plan.make_plan import make_plan
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.propose.sampling.optuna_export import mirror_path, write_mirror
from autodepth.study.run import Runner, StudyResult, Watch, run_study, start_ledger

if TYPE_CHECKING:
    from autodepth.export.writing import Format
    from autodepth.study.cluster.cluster import Cluster

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
    notify: Sequence[str] = (),
    runner: Runner = "ray",
    ray_address: str | None = None,
    storage: str | None = None,
    watch: Watch = lambda _: nullcontext(),
) -> StudyResult:
    """Search for shallow networks within a budget.

    All arguments but the last are fields of `SearchRequest`, and are told there. `watch` is a
    context that is entered while trials run, given the driver.

    Raises:
        InputError: something that was written cannot be used, or another search runs in this
            process; nothing was started.
        ClusterError: the cluster cannot be used; likewise.
        StorageError: the study's folder is full or read-only.
    """
    request = SearchRequest(
        space=space,
        budget=budget,
        study=study,
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
        tracking_uri=tracking_uri,
        notify=notify,
        runner=runner,
        ray_address=ray_address,
        storage=storage,
    )
    if study is not None:
        check_free(study)  # before data are read and steps are timed
    with on_cluster(request.ray_address, request.storage) as cluster:
        plan = plan_search(request, cluster=cluster)
        return carry_out_plan(plan, request, watch=watch)


@contextmanager
def on_cluster(address: str | None, storage: str | None = None) -> Iterator[Cluster | None]:
    """Connect to a Ray cluster for as long as a study is planned and run on it.

    Args:
        address: `HOST:PORT` of its head, or `auto` on one of its nodes; None for no cluster.
        storage: folder or URL that all its nodes reach.

    Raises:
        InputError: a storage without a cluster, or as of `study.cluster.cluster.connected`.
        ClusterError: as of `study.cluster.cluster.connected`.
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


def plan_search(request: SearchRequest, *, cluster: Cluster | None = None) -> StudyPlan:
    """Resolve everything a search needs and train nothing.

    Args:
        request: what is asked for.
        cluster: where trials run, see `on_cluster`; None for this machine.

    Raises:
        InputError: as of `search`.
    """
    wanted = request.plan_request()
    space = space_of(request)
    if request.start_from is not None:
        first = front_policies(request.start_from, space)
        space = replace(space, start_with=(*first, *space.start_with))
    plan = make_plan(space, wanted, cluster=cluster)
    return with_formats_tried(plan, request.formats) if request.formats else plan


def carry_out_plan(
    plan: StudyPlan, request: SearchRequest, *, watch: Watch = lambda _: nullcontext()
) -> StudyResult:
    """Run a planned study; errors and `watch` as of `search`.

    Args:
        plan: what to do, made from the request.
        request: what name it is to have, who is told of it, and how it runs.
        watch: as of `search`.
    """
    read_places((*plan.space.notify, *request.notify))  # before anything is written
    rehearse(plan)
    folder = create_study_folder(request.study or _study_name(plan))
    with DriverLock(folder):
        # Before the ledger, which makes the folder a study: whoever finds that can go on with it.
        with taking(folder.path):
            write_atomically(folder.space_path, write_yaml(plan.space.to_dict()))
            if (record := plan.context.data.record) is not None:
                write_atomically(folder.images_path, record.to_bytes())
        with start_ledger(plan, folder) as ledger:
            return drive(plan, folder, ledger, request, watch=watch)


def drive(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    request: RunRequest,
    *,
    watch: Watch,
    confirmation: ConfirmationRequest | None = None,
    taken_up: bool = False,
) -> StudyResult:
    """Spend what is left of a study's budget, others being told meanwhile; hold its lock.

    Args:
        plan: what to do.
        folder: the study's folder.
        ledger: its ledger.
        request: by which runner, and who is told.
        watch: as of `search`.
        confirmation: what is asked of the front, with no search; None searches.
        taken_up: whether an earlier driver died.
    """
    token = ledger.begin_driving() if ledger.token is None else ledger.token
    places = read_places((*plan.space.notify, *request.notify))
    with telling(folder, places, token=token, taken_up=taken_up):
        return _drive(plan, folder, ledger, request, watch=watch, confirmation=confirmation)


def _drive(
    plan: StudyPlan,
    folder: StudyFolder,
    ledger: Ledger,
    request: RunRequest,
    *,
    watch: Watch,
    confirmation: ConfirmationRequest | None,
) -> StudyResult:
    """Spend what is left of a study's budget, MLflow being told meanwhile."""
    tracker = tracking(folder, request, ledger.token)
    try:
        result = run_study(
            plan,
            folder,
            ledger,
            runner=request.runner,
            request=confirmation,
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
    return replace(result, unsent=unsent, charts=tracker.charts())


def tracking(folder: StudyFolder, request: RunRequest, token: int | None) -> Tracker:
    """Begin to send a study to MLflow, for the driver that has a token."""
    return Tracker(
        folder, tracking_uri=request.tracking_uri, write_files=write_study_files, token=token
    )


def _study_name(plan: StudyPlan) -> str:
    network, data = plan.space.network.name, plan.to_dict()["data"]["name"]
    kind, _, place = data.partition(":")
    words = [network, Path(place).stem or kind, f"{datetime.now(UTC):%Y%m%d-%H%M%S}"]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words))
    return name[-_LONGEST_NAME:].strip("-.")  # what is cut off may leave a point in front
