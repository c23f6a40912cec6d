"""Lay out a study's status and a trial's story for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from autodepth.report.study_status import RunningTrial, StudyStatus
from autodepth.report.trial_explanation import TrialExplanation
from autodepth.report.wording import shorten
from autodepth.trial.device.latency_table import PredictionError
from autodepth.trial.result import EpochReport, OperatingPoint, TrialState
from autodepth.units import format_device_time, format_duration, format_macs

_MOST_EPOCHS, _MOST_MEMBERS, _MOST_RUNNING = 16, 6, 8
_ALWAYS = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAILED)


def status_view(status: StudyStatus) -> RenderableType:
    """Return a study's status as a terminal shows it: budget, trials, device time, front."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    for name, text in (
        ("study", f"{status.study}: {status.network} on {status.data}"),
        ("state", status.state),
        ("budget", status.budget),
        ("spent", _spent(status)),
        ("trials", _trials(status)),
        ("front", _front(status)),
    ):
        facts.add_row(name, Text(text))  # as text: a name may hold what rich takes for a style
    if status.latency is not None:
        facts.add_row("latency", _predicted(status.latency))
    for metric, error in status.latency_at.items():
        facts.add_row("latency", Text(f"at {metric.partition('@')[2]} {_predicted(error)}"))
    if status.accuracy_error is not None:
        off = f"expected to {100 * status.accuracy_error:.1f} points (mean of the latest trials)"
        facts.add_row("accuracy", off)
    parts: list[RenderableType] = [facts]
    if status.spending:
        parts += ["", _spending_table(status), _useful(status)]
    if status.running:
        parts += ["", _running_table(status.running)]
    return Group(*parts)


def status_line(status: StudyStatus) -> str:
    """Return a study's status as one line, for logs."""
    useful = "" if status.useful_share is None else f", useful {status.useful_share:.0%}"
    return f"{status.study}: {_trials(status)}; {_spent(status)}; {_front(status)}{useful}"


def explanation_view(study: str, told: TrialExplanation) -> RenderableType:
    """Return what is known of one trial."""
    record = told.record
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    about = "" if record.about is None else f" about trial {record.about}"
    facts.add_row("trial", Text(f"{record.number} of {study} ({record.kind}{about})"))
    facts.add_row("state", f"{record.state}, {format_duration(record.device_seconds)} charged")
    for verdict in told.verdicts:
        facts.add_row("reason", Text(verdict))
    for step in told.lineage:
        facts.add_row("origin", Text(str(step)))
    if record.result is not None:
        point = record.result.point
        facts.add_row(
            "result",
            f"{point.shown(digits=2)} {point.metric_in_words} at {format_macs(point.macs)} MACs",
        )
        facts.add_row("removed", f"branches {shorten(record.result.removed)}")
        facts.add_row("front", _place(told))
    parts: list[RenderableType] = [facts]
    if told.dominated_by:
        parts += ["", _members_table(told)]
    if told.epochs:
        parts += ["", _epochs_table(told.epochs)]
    return Group(*parts)


def _spent(status: StudyStatus) -> str:
    text = format_device_time(status.spent_device_seconds, status.device)
    if status.share_spent is not None:
        text += f" ({status.share_spent:.0%} of the budget)"
    if status.driver is not None and status.seconds_left is not None:
        text += f", about {format_duration(status.seconds_left)} left"
    return text


def _trials(status: StudyStatus) -> str:
    counts = [
        f"{status.trials[state]} {state}"
        for state in TrialState
        if status.trials[state] or state in _ALWAYS
    ]
    pace = status.seconds_per_trial
    return ", ".join(counts) + (f"; one every {format_duration(pace)}" if pace else "")


def _front(status: StudyStatus) -> str:
    points = f"{status.front} point{'' if status.front == 1 else 's'}"
    return f"{points}, hypervolume {status.hypervolume:.3f} (validation split)"


def _predicted(error: PredictionError) -> str:
    """Return how far predicted latencies were off as a line; the table is in the plan."""
    rank = error.rank_correlation
    order = "" if rank is None else f", rank correlation {rank:.2f}"
    networks = f"{error.networks} network{'' if error.networks == 1 else 's'}"
    return f"predicted to {error.median_error:.0%} (median of {networks}{order})"


def _spending_table(status: StudyStatus) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("spent on")
    table.add_column("device time", justify="right")
    table.add_column("share", justify="right")
    total = sum(status.spending.values())
    for phase, seconds in status.spending.items():
        time = format_device_time(seconds, status.device)
        share = f"{seconds / total:.1%}" if total else "-"
        table.add_row(phase.replace("_", "-"), time, share)
    return table


def _useful(status: StudyStatus) -> Text:
    share = status.useful_share
    if share is None:
        return Text(" nothing was charged yet")
    note = "; what runs counts as overhead until it ends" if status.running else ""
    return Text(f" {share:.1%} went to training, scoring and measuring{note}")


def _running_table(trials: Sequence[RunningTrial]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("trial", "running for", "phase", "epoch", "accuracy"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for trial in trials[:_MOST_RUNNING]:
        table.add_row(
            str(trial.trial),
            format_duration(trial.seconds),
            (trial.phase or "-").replace("_", "-"),
            str(trial.step),
            trial.leading or "-",
        )
    if len(trials) > _MOST_RUNNING:
        table.add_row("...", f"{len(trials) - _MOST_RUNNING} more")
    return table


def _place(told: TrialExplanation) -> str:
    if told.on_front:
        return "a member"
    if told.equals is not None:
        return f"not a member: trial {told.equals} was there first with equal objectives"
    if told.dominated_by:
        count = len(told.dominated_by)
        return f"not a member: {count} of its members {'is' if count == 1 else 'are'} better"
    return "not a member, though no member is better"


def _members_table(told: TrialExplanation) -> Table:
    assert told.record.result is not None
    own = told.record.result.point
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("better")
    for name in (own.column, "than its own by", "MACs", "of its own"):
        table.add_column(name, justify="right")
    for member in told.dominated_by[:_MOST_MEMBERS]:
        point = member.point
        table.add_row(
            f"trial {member.trial}",
            point.shown(digits=2),
            _ahead(point, own),
            format_macs(point.macs),
            f"{point.macs / own.macs:.0%}" if own.macs else "-",
        )
    if len(told.dominated_by) > _MOST_MEMBERS:
        table.add_row(f"{len(told.dominated_by) - _MOST_MEMBERS} more")
    return table


def _ahead(point: OperatingPoint, own: OperatingPoint) -> str:
    by = point.leading - own.leading
    return f"{100 * by:+.2f} points" if own.unit == "%" else f"{by:+.3g} {own.unit}".rstrip()


def _epochs_table(epochs: Sequence[EpochReport]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    leading = epochs[0].metric.removeprefix("validation_")
    for name in ("epoch", "phase", "loss", leading, "seconds"):
        table.add_column(name, justify="left" if name == "phase" else "right")
    for epoch in _thinned(epochs):
        table.add_row(
            str(epoch.step),
            epoch.phase.replace("_", "-"),
            f"{epoch.train_loss:.3f}",
            epoch.shown(),
            f"{epoch.seconds:.1f}",
        )
    return table


def _thinned(epochs: Sequence[EpochReport]) -> list[EpochReport]:
    """Return evenly chosen epochs, the first and the last among them; `--json` has them all."""
    if len(epochs) <= _MOST_EPOCHS:
        return list(epochs)
    last = len(epochs) - 1
    return [epochs[round(i * last / (_MOST_EPOCHS - 1))] for i in range(_MOST_EPOCHS)]
