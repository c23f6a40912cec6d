"""autodepth beside the literature: ResNets of CIFAR at 75, 50, 35 and 20 % of their MACs.

For each board one search (spaces/rows.yaml) from given weights or from scratch, then its front on
fresh seeds with every control there is, then one export per row whose test split is opened once.
Everything is a command that a person would give: `search`, `confirm`, `export`, `evaluate`.

    python benchmarks/bench_rows.py --data folder:DIR --budget 4gpu-h
    python benchmarks/bench_rows.py --data folder:DIR --budget 4gpu-h --weights resnet56=FILE
    python benchmarks/bench_rows.py --data digits --budget 60cpu-min --scale 0.01

It may be ended at any moment and started again: studies go on, what is there is not made again.
`--scale` shortens trainings, images and budget alike, to see that all of it works. Where weights
are given, half of the test split validates: they know the training images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from literature import Row, beside

from autodepth.errors import StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import HOME_VARIABLE, find_study
from autodepth.units import parse_budget

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "rows"
SHARES = (0.75, 0.5, 0.35, 0.2)
GENTLE = 0.02  # the rate that leaves given weights what they know
_SAME_MACS = 0.02
_LOSSY = {".jpg", ".jpeg"}
Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Board:
    """What a row is measured on.

    Args:
        network: that is made smaller.
        epochs: of training it, where no weights are given.
        fine_tuning: epochs at most, of what is left of it.
    """

    network: str
    epochs: int = 160
    fine_tuning: int = 40


BOARDS = {name: Board(network=name) for name in ("resnet20", "resnet56", "resnet110")}


def search(board: Board, study: str, asked: argparse.Namespace) -> list[Values]:
    """Search, or go on with it; return its front, confirmed, with all controls."""
    outcome = _outcome(study)
    if outcome is None:
        weights = _weights(asked.weights).get(board.network)
        _autodepth(
            "search", str(ROOT / "benchmarks" / "spaces" / "rows.yaml"),
            "--study", study, "--network", board.network, "--data", asked.data,
            "--budget", scaled_budget(asked.budget, asked.scale),
            *(["--weights", weights] if weights else []),
            *(f"--set={name}" for name in settings(board, asked, given=bool(weights))),
        )  # fmt: skip
    elif not outcome:
        _autodepth("resume", study)
    told = _autodepth(
        "confirm", study, "--seeds", str(asked.seeds), "--control", "all", "--json",
        *(f"--select={wish}" for wish in _selected(study)),
    )  # fmt: skip
    front: list[Values] = json.loads(told)["front"]
    return front


def settings(board: Board, asked: argparse.Namespace, *, given: bool) -> list[str]:
    """Return what a board changes in the space, at a scale."""
    shortened = max(1, round(board.fine_tuning * asked.scale))
    least = max(1, shortened // 4)
    tuned = f"{{type: int, min: {least}, max: {shortened}}}" if shortened > least else least
    changes = [f"search.fine_tune_epochs={tuned}"]
    if given:  # such weights know the training images
        changes += ["search.p_L=1.0", "data.validation_from=test", f"train.learning_rate={GENTLE}"]
    else:
        changes.append(f"train.epochs={max(1, round(board.epochs * asked.scale))}")
    if asked.train_images:
        validation = asked.validation or max(50, asked.train_images // 10)
        changes += [f"data.train_images={asked.train_images}", f"data.validation={validation}"]
    if asked.data == "digits":
        changes.append("data.augment=none")
    return changes


def scaled_budget(budget: str, scale: float) -> str:
    """Return a budget of device time, at a scale."""
    parsed = parse_budget(budget)
    if parsed.device_seconds is None:
        raise SystemExit(f"--budget must be device time, such as 4gpu-h, but got {budget}")
    return f"{parsed.device_seconds * scale:g}{parsed.device}-s"


def rows(study: str, front: Sequence[Values], folder: Path) -> list[Values]:
    """Return what a front has at each share: confirmed, beside its controls, and tested once."""
    whole = _whole(study)
    found = []
    for share in SHARES:
        within = [m for m in front if m["raw"]["macs"] <= share * whole["macs"]]
        sure = [m for m in within if m["confirmed"] and m["confirmed"]["accuracy"]]
        if not sure:
            continue
        best = max(sure, key=lambda member: member["confirmed"]["accuracy"]["mean"])
        found.append(
            {
                "share": share,
                "trial": best["trial"],
                "macs": best["confirmed"]["macs"],
                "left": best["raw"]["macs"] / whole["macs"],
                "accuracy": best["confirmed"]["accuracy"],
                "controls": best["controls"],
                "whole": whole["accuracy"],
                "test": _test(study, best["trial"], folder),
            }
        )
    return found


def _selected(study: str) -> list[str]:
    """Return which members of the front there is a row of: the best at each share."""
    whole = _whole(study)["macs"]
    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        costs = [point.point.macs for point in ledger.front()]
    limits = [int(share * whole) for share in SHARES]
    return [f"macs<={limit}" for limit in limits if min(costs) <= limit]


def _whole(study: str) -> Values:
    """Return the MACs of the whole network, and what it came to on the validation split."""
    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        macs = next(o.reference for o in ledger.study.objectives if o.name == "macs")
        whole = [r.result for r in ledger.trials() if r.result and not r.result.removed]
    reached = [r.point.validation_accuracy for r in whole if r.point.macs == macs]
    return {"macs": macs, "accuracy": max(reached, default=None)}


def _test(study: str, trial: int, folder: Path) -> float:
    """Export a trial's network unless it was, and return its accuracy on the test split."""
    to = folder / f"trial{trial}"
    tested = folder / f"trial{trial}.json"
    if not tested.exists():
        if not to.exists():
            _autodepth("export", study, "--select", f"trial:{trial}", "--to", str(to))
        tested.write_text(_autodepth("evaluate", str(to), "--json"))
    return float(json.loads(tested.read_text())["test_accuracy"])


def table(board: Board, found: Sequence[Values], about: str) -> str:
    """Return a board's rows and what the literature tells, as Markdown."""
    roles = list(dict.fromkeys(c["role"] for row in found for c in row["controls"]))
    head = ["at most", "MACs", "confirmed", "beside the whole", "test, one network", *roles]
    lines = [f"## {board.network}", "", about, "", _line(head), "|---" * len(head) + "|"]
    for row in found:
        controls = {control["role"]: control for control in row["controls"]}
        whole = row["whole"]
        lines.append(
            _line(
                [
                    f"{row['share']:.0%}",
                    f"{row['left']:.1%}",
                    _spread(row["accuracy"]),
                    f"{100 * (row['accuracy']['mean'] - whole):+.1f}" if whole else "unknown",
                    f"{row['test']:.1%}",
                    *(_control(controls.get(role), row["macs"]) for role in roles),
                ]
            )
        )
    if told := beside(board.network):
        lines += ["", "What the literature tells, test accuracy on lossless images:", ""]
        lines += [_line(["MACs", "method", "delta", "baseline", "source"]), "|---" * 5 + "|"]
        lines += [_line(_cells(row)) for row in told]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    share = f"{row.left:.1%}" + (" as told" if row.as_told else f", {row.blocks} blocks out")
    base = "not told" if row.base is None else f"{row.base:.2f} %"
    return [share, row.method, f"{row.delta:+.2f}", base, row.source]


def _control(control: Values | None, macs: float) -> str:
    """Say what a control came to, and at how many times the MACs if these are others."""
    if control is None:
        return ""
    times = control["macs"] / macs
    at = "" if abs(times - 1) < _SAME_MACS else f" at {times:.2f} times the MACs"
    return f"{_spread(control['accuracy'])}{at}, ours better: {control['comparison']['verdict']}"


def _spread(value: Values) -> str:
    sd = "" if value["sd"] is None else f" ± {100 * value['sd']:.1f}"
    return f"{100 * value['mean']:.1f}{sd} % ({value['n']})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _outcome(study: str) -> str | None:
    """Return how a study ended, empty where it did not; None where there is none."""
    try:
        folder = find_study(study)
    except StudyError:
        return None
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return ledger.study.outcome or ""


def _weights(given: Sequence[str]) -> dict[str, str]:
    return dict(each.split("=", 1) for each in given)


def _autodepth(*arguments: str) -> str:
    print("autodepth", *arguments, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "autodepth", *arguments],
        check=True, text=True, stdout=subprocess.PIPE if "--json" in arguments else None,
    )  # fmt: skip
    return done.stdout or ""


def about_data(data: str) -> str:
    """Return what has to be known of images beside accuracies that were told elsewhere."""
    folder = Path(data.removeprefix("folder:"))
    names = {path.suffix.lower() for path in folder.rglob("*.*")} if folder.is_dir() else set()
    if names & _LOSSY:
        return "Images are JPEG, so lossy: compare differences, not accuracies."
    return f"Images: {data}."


def main() -> None:
    """Carry out the boards that are asked for, then write the table."""
    asked = _arguments()
    os.environ[HOME_VARIABLE] = str(asked.home.absolute())
    texts = []
    for name in asked.board:
        study = f"rows-{name}-{asked.scale:g}"
        front = search(BOARDS[name], study, asked)
        folder = asked.home / "exports" / study
        folder.mkdir(parents=True, exist_ok=True)
        found = rows(study, front, folder)
        about = (
            f"{about_data(asked.data)} Confirmed: validation accuracy, mean and standard deviation "
            f"of {asked.seeds} fresh seeds; `whole` is the best unpruned network of the study, on "
            f"the same split. Scale {asked.scale:g}, budget {asked.budget}, "
            f"{'given weights' if name in _weights(asked.weights) else 'trained here'}; "
            "made by benchmarks/bench_rows.py."
        )
        texts.append(table(BOARDS[name], found, about))
    asked.to.parent.mkdir(parents=True, exist_ok=True)
    asked.to.write_text("\n".join(texts))
    print("\n".join(texts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="as for autodepth search: folder:DIR, npz:FILE, cifar10, ...")
    add("--budget", required=True, help="of each board's search: device time such as 4gpu-h")
    add("--board", nargs="+", choices=BOARDS, default=["resnet56", "resnet110"])
    add("--weights", nargs="+", default=[], metavar="BOARD=FILE", help="to begin with")
    add("--train-images", type=int, help="of the data; all by default")
    add("--validation", type=int, help="images; with --train-images a tenth of them by default")
    add("--seeds", type=int, default=3, help="fresh seeds of each row and control")
    add("--scale", type=float, default=1.0, help="of trainings and budget, above 0")
    add("--home", type=Path, default=Path("rows"), help="keeps studies and exports")
    add("--to", type=Path, default=RESULTS / "rows.md", help="file for the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
