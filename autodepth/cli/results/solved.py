"""What `autodepth front --solve` prints, and what it carries out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autodepth.cli.console import give, give_json, say
from autodepth.errors import InputError
from autodepth.long_work import each

if TYPE_CHECKING:
    from autodepth.records.trial_record import TrialRecord
    from autodepth.service.solving.answer import Answer
    from autodepth.service.solving.expectation import Expectation

_REMOVAL_ONLY = (
    "branches go or stay whole: no trial of this study judged narrower ones, as removal "
    "joint_widths does"
)


def solve(
    study: str, wishes: Sequence[str], *, carry_out: bool, own_code: bool, json: bool
) -> None:
    """Answer bounds from what a study knows; carry the answer out where that is asked for.

    Args:
        study: its name, or `latest`.
        wishes: bounds, as `read_bounds` reads them.
        carry_out: whether to fine-tune the network.
        own_code: whether the study's network may be built by code of a person's own.
        json: whether to print JSON.
    """
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.service.solving.answer import read_bounds
    from autodepth.service.solving.evidence import read_evidence
    from autodepth.service.solving.solve import Solver

    if carry_out and len(wishes) != 1:
        raise InputError(f"--carry-out takes one --solve, but got {len(wishes)}")
    asked = [read_bounds(wish) for wish in wishes]
    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        solver = Solver(read_evidence(ledger), own_code=own_code)
    answers = [solver.answer(bounds) for bounds in each(asked, "solving for bounds", len(asked))]
    trial = _carried_out(folder.name, answers[0], own_code=own_code) if carry_out else None
    if json:
        give_json({"widths": solver.widths, **_document(answers, solver.expectation, trial)})
        return
    print_answers(answers, solver.unpruned)
    say(_how_sure(solver.expectation))
    if not solver.widths:
        say(_REMOVAL_ONLY)
    if trial is not None:
        give(_told(trial))


def _carried_out(study: str, answer: Answer, *, own_code: bool) -> TrialRecord:
    from autodepth.service.search.requests import BesideRequest
    from autodepth.service.solving.carry_out import carry_out_answer

    request = BesideRequest(study=study, own_code=own_code, concurrency=1, runner="in-process")
    say(f"fine-tuning it for {answer.policy.fine_tune_epochs} epochs, as a trial of {study}")
    return carry_out_answer(answer, request)


def _document(
    answers: Sequence[Answer], expectation: Expectation, trial: TrialRecord | None
) -> dict[str, Any]:
    return {
        "answers": [answer.to_dict() for answer in answers],
        "learned_from": expectation.trials,
        "off_by": expectation.off_by,
        "trial": None if trial is None else {"number": trial.number, **_result(trial)},
    }


def _result(trial: TrialRecord) -> dict[str, Any]:
    told = None if trial.result is None else trial.result.to_dict()
    return {"state": trial.state, "reason": trial.reason, "result": told}


def print_answers(answers: Sequence[Answer], unpruned: Mapping[str, float]) -> None:
    """Print a row for each answer, and what is to be said of latencies.

    Args:
        answers: at least one.
        unpruned: what the whole network costs, by metric.
    """
    from rich.console import Console
    from rich.table import Table

    from autodepth.units import format_macs

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("asked for", overflow="fold", min_width=11)
    for name in ("expected", "MACs", "params"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("latency", justify="right", overflow="fold", min_width=8)
    table.add_column("on front", justify="right", no_wrap=True)
    table.add_column("removed / width", overflow="fold", min_width=8)
    for answer in answers:
        costs, beside = answer.costs, answer.measured
        table.add_row(
            answer.asked,
            _expected(answer),
            format_macs(costs["macs"]),
            format_macs(costs["parameters"]),
            _latencies(answer),
            "-" if beside is None else f"{beside.point.shown()} ({beside.trial})",
            _changed(answer),
        )
    Console().print(table)
    for line in _of_latencies(answers, unpruned):
        say(line)


def _latencies(answer: Answer) -> str:
    """Return each latency in lines: its place, as it was measured, as it was predicted before."""
    from autodepth.service.solving.answer import is_latency
    from autodepth.space.objectives import place_of

    lines = []
    for metric, predicted in answer.costs.items():
        if is_latency(metric):
            place, own = place_of(metric), answer.times.get(metric)
            lines += [] if place is None else [place]
            lines += [] if own is None else [f"{own:.3g} ms"]
            lines.append(f"~{predicted:.3g} ms")
    return "\n".join(lines) or "-"


def _of_latencies(answers: Sequence[Answer], unpruned: Mapping[str, float]) -> list[str]:
    """Return what is to be said of the latencies of answers."""
    if all(_latencies(answer) == "-" for answer in answers):
        return []
    why = {metric: told for answer in answers for metric, told in answer.predicted_only.items()}
    return [
        "latency: ~ as the table of branches predicts it, else as measured here",
        *(f"{metric} is predicted only: {told}" for metric, told in why.items()),
        *(
            f"{answer.asked}: nothing was found that keeps it; of {answer.tries} networks that "
            f"were measured this one is over it least, by {over:.1%}"
            for answer in answers
            if (over := answer.over(unpruned))
        ),
    ]


def _changed(answer: Answer) -> str:
    """Return which branches go, and behind a slash which are narrower."""
    from autodepth.report.wording import shorten

    removed, widths = shorten(answer.policy.branches or ()), answer.policy.widths
    return removed + (" / " + " ".join(f"{b}:{width:g}" for b, width in widths) if widths else "")


def _expected(answer: Answer) -> str:
    if answer.expected is None or answer.spread is None:
        return "-"
    return f"{answer.expected:.1%}±{100 * answer.spread:.1f}"


def _how_sure(expectation: Expectation) -> str:
    told = (
        "expected after fine-tuning as the best such trial was, learned from "
        f"{expectation.trials} networks of this study"
    )
    if expectation.off_by is not None:
        told += f", off by {100 * expectation.off_by:.1f} points on average on others of them"
    return f"{told}; on front: the best there that keeps the bounds (its trial)"


def _told(trial: TrialRecord) -> str:
    if trial.result is None:
        return f"trial {trial.number} {trial.state}: {trial.reason}"
    point = trial.result.point
    return (
        f"trial {trial.number}: {point.shown(digits=2)} {point.metric_in_words}, "
        f"{point.macs:,} MACs, {point.parameters:,} parameters, {point.latency_ms:.2f} ms"
    )
