"""Table and plot of the runs that `search_vs_plain_tune.py` kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search_vs_curves import (
    Point,
    Step,
    at,
    curve,
    earliest_ends,
    final,
    kept,
    mean_curve,
    reached,
)
from search_vs_data import DATA

RESULTS = Path(__file__).parent / "results" / "search_vs_plain_tune"
PEERS = ("peer", "expert", "scratch")
OURS = ("autodepth", "everything")
WHO = ("peer", "autodepth", "expert", "everything", "scratch")  # in turn
_COLOURS = {
    "peer": "#7f7f7f",
    "expert": "#d08c2c",
    "scratch": "#b0413e",
    "autodepth": "#1f6fb4",
    "everything": "#2a8f4f",
}
_LEVELS = (0.05, 0.10, 0.25, 0.50, 1.00)  # of the unpruned network's MACs
_MOMENTS = (40, 80, 120, 200, 375, 800, 1800)  # device seconds
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)  # cpu-min
_CONDITIONS = ("processor", "cpus_allowed", "test_images", "versions")
LONG = 1800.0
"""Device seconds of the runs that are told apart as long ones."""
_LONG = ", 1,800 s"
BOARDS = tuple(data + length for data in DATA for length in ("", _LONG))
"""What runs are compared on: a data set, and whether the budget is the long one."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is told of one run.

    Args:
        told: the content of its file.
        steps: test hypervolume over device seconds.
    """

    told: dict[str, Any]
    steps: list[Step]

    @property
    def cell(self) -> tuple[str, str, int]:
        """Board, contestant and seed."""
        board = self.told["data"] + (_LONG if self.told.get("long") else "")
        return board, self.told["who"], self.told["seed"]

    @property
    def budget(self) -> float:
        """Device seconds the run was given."""
        return float(self.told["seconds"] * self.told["cpus"])

    @property
    def processor(self) -> str:
        """What it ran on; times of others say nothing beside its own."""
        return str(self.told["conditions"]["processor"])

    @property
    def device_seconds(self) -> float:
        """Device seconds from reserving to releasing; the peer takes some to stop its trials."""
        return float(self.told["device_s"])

    @property
    def useful(self) -> float:
        """Share of the reserved device time that trials which finished took."""
        if "spending" in self.told:
            lost = sum(self.told["spending"].get(name, 0.0) for name in ("overhead", "failed"))
            return 1 - lost / self.device_seconds
        return sum(trial["device_s"] for trial in self.told["trials"]) / self.device_seconds

    @property
    def parents(self) -> float:
        """Parents that were trained, in whole trainings."""
        if self.told["who"] == "scratch":
            return 0.0
        if self.told["who"] in PEERS:
            return len(self.steps)
        told = self.told["trials"]
        return sum(trial["epochs"].get("parent", 0) for trial in told) / self.told["epochs"]

    def best(self, level: float) -> float | None:
        """Return the test accuracy within a share of the MACs; None where no network has so few."""
        within = [p for p in _points(self.told) if p.macs <= level * self.told["unpruned_macs"]]
        return max(within, key=lambda point: point.validation).test if within else None

    @property
    def last_gain(self) -> float:
        """Device seconds after which the final hypervolume was there."""
        return kept(self.steps, final(self.steps)) or self.budget


def run_path(data: str, who: str, seed: int, *, long: bool = False) -> Path:
    """Return where a run is kept."""
    return RESULTS / f"{data}_{who}{'_long' if long else ''}_seed{seed}.json"


def read_runs() -> list[Run]:
    """Return the runs there are."""
    return [run_of(json.loads(path.read_text())) for path in sorted(RESULTS.glob("*_seed*.json"))]


def run_of(told: dict[str, Any]) -> Run:
    """Return a run from what its file tells."""
    return Run(told=told, steps=curve(_points(told), told["unpruned_macs"]))


def _points(told: dict[str, Any]) -> list[Point]:
    trials = [trial for trial in told["trials"] if "val_acc" in trial]
    if told["who"] in PEERS:
        ends = earliest_ends([trial["device_s"] for trial in trials], told["cpus"])
        moments = [told["cpus"] * end for end in ends]
    else:
        moments = [trial["spent"] for trial in trials]
    return [
        Point(ended=moment, validation=t["val_acc"], macs=t["macs"], test=t.get("test_acc"))
        for moment, t in zip(moments, trials, strict=True)
    ]


def write_report() -> str:
    """Write README.md and curves.png beside the runs; return the text."""
    runs = {run.cell: run for run in read_runs()}
    text = "\n".join(
        [
            "# search_vs_plain_tune",
            "",
            "Written by `python benchmarks/search_vs_plain_tune.py --report`; the script says what",
            "is compared. Hypervolume: test split, front chosen on validation, relative to the",
            "unpruned network, at most 1. Times: device seconds, those of all CPUs that a run had,",
            "one trial on each. Mean ± standard deviation over seeds. Runs on different processors",
            "are not compared.",
            "",
            *_conditions(runs.values()),
            "",
            *_runs_table(runs),
            "",
            *_levels_table(runs),
            "",
            *_moments_table(runs),
            "",
            *_reached_table(runs),
            "",
            "![hypervolume over device time](curves.png)",
            "",
        ]
    )
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "README.md").write_text(text)
    if runs:
        _draw(list(runs.values()), RESULTS / "curves.png")
    return text


def _conditions(runs: Iterable[Run]) -> list[str]:
    """Return a line for each set of conditions that runs were measured under."""
    told = {
        json.dumps({name: run.told["conditions"][name] for name in _CONDITIONS}) for run in runs
    }
    lines = []
    for text in sorted(told):
        values = json.loads(text)
        versions = ", ".join(f"{name} {number}" for name, number in values["versions"].items())
        lines.append(
            f"{values['processor']}, {values['cpus_allowed']} CPUs; at most "
            f"{values['test_images']:,} test images; {versions}."
        )
    return lines


def _by_contestant(
    runs: dict[tuple[str, str, int], Run],
) -> Iterator[tuple[str, str, list[Run]]]:
    """Yield data set, contestant with its processor, and its runs by seed, where there are any."""
    for data in BOARDS:
        for who in WHO:
            mine = [run for (d, w, _), run in sorted(runs.items()) if (d, w) == (data, who)]
            for processor in sorted({run.processor for run in mine}):
                there = [run for run in mine if run.processor == processor]
                yield data, f"{who}, {_short(processor)}", there


def _short(processor: str) -> str:
    return processor.split("(R)", maxsplit=1)[0].removesuffix(" Processor")


def _runs_table(runs: dict[tuple[str, str, int], Run]) -> list[str]:
    lines = [
        "| data | contestant | runs | CPUs | device time | trials | parents | first ended | useful "
        "| hypervolume |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for data, who, mine in _by_contestant(runs):
        firsts = [run.steps[0].ended for run in mine if run.steps]
        cells = [
            data, who, str(len(mine)), "/".join(sorted({str(run.told["cpus"]) for run in mine})),
            _spread([run.device_seconds for run in mine], 0),
            _spread([len(run.steps) for run in mine], 1),
            _spread([run.parents for run in mine], 1),
            _spread(firsts, 0),
            _spread([100 * run.useful for run in mine], 1) + " %",
            _spread([final(run.steps) for run in mine], 4),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _levels_table(runs: dict[tuple[str, str, int], Run]) -> list[str]:
    """Return the test accuracy of the best network by validation that keeps within some MACs."""
    lines = [
        "Test accuracy, %, of the network with the best validation accuracy within a share of the "
        "unpruned network's MACs.",
        "",
        "| data | contestant | " + " | ".join(f"{level:.0%}" for level in _LEVELS) + " |",
        "|---|---|" + "---|" * len(_LEVELS),
    ]
    for data, who, mine in _by_contestant(runs):
        cells = [_spread([100 * a for run in mine if (a := run.best(level)) is not None], 1)
                 for level in _LEVELS]  # fmt: skip
        lines.append(f"| {data} | {who} | {' | '.join(cells)} |")
    return lines


def _moments_table(runs: dict[tuple[str, str, int], Run]) -> list[str]:
    """Return the hypervolume after some device seconds."""
    lines = [
        "Hypervolume after so many device seconds, mean and standard deviation over seeds; blank "
        "where the budget had ended.",
        "",
        "| data | contestant | " + " | ".join(f"{moment} s" for moment in _MOMENTS) + " |",
        "|---|---|" + "---|" * len(_MOMENTS),
    ]
    for data, who, mine in _by_contestant(runs):
        budget = max(run.budget for run in mine)
        cells = [_spread([at(run.steps, moment) for run in mine], 4) if moment <= budget else ""
                 for moment in _MOMENTS]  # fmt: skip
        lines.append(f"| {data} | {who} | {' | '.join(cells)} |")
    return lines


def _reached_table(runs: dict[tuple[str, str, int], Run]) -> list[str]:
    """Return, for each pair and seed, when the peer's final hypervolume was reached, and a mean."""
    lines = [
        "Reached: device seconds until the final hypervolume of the contestant beside it was "
        "there, first and for good. Share: of that one's budget, and of what it had spent at its "
        "own last gain (at the earliest). Mean: of the curves of all seeds, until it is "
        "at the mean of what the other ended with.",
        "",
        "| data | beside | hypervolume | who | seed | reached | for good | share | of its gain |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for data in BOARDS:
        for peer in PEERS:
            for who in OURS:
                seeds = sorted(s for d, w, s in runs if (d, w) == (data, who))
                pairs = [
                    (theirs, runs[data, who, s])
                    for s in seeds
                    if (theirs := runs.get((data, peer, s)))
                    and theirs.processor == runs[data, who, s].processor
                ]
                lines += [_reached_row(*pair) for pair in pairs]
                if len(pairs) > 1:
                    lines.append(_mean_row(pairs))
    return lines


def _reached_row(peer: Run, ours: Run) -> str:
    data, who, seed = ours.cell
    level = final(peer.steps)
    cells = [data, peer.cell[1], f"{level:.4f}", who, str(seed)]
    if not peer.steps:
        return f"| {' | '.join(cells)} | it finished no trial | | | |"
    return _row(cells, [peer], ours.steps, level)


def _mean_row(pairs: Sequence[tuple[Run, Run]]) -> str:
    """Return when the mean of our runs was where theirs ended on average: no seed is left out."""
    peers, ours = [peer for peer, _ in pairs], mean_curve([run.steps for _, run in pairs])
    levels = [final(peer.steps) for peer in peers]
    data, who, _ = pairs[0][1].cell
    cells = [data, peers[0].cell[1], _spread(levels, 4), who, f"mean of {len(pairs)}"]
    return _row(cells, peers, ours, statistics.fmean(levels))


def _row(cells: list[str], peers: Sequence[Run], ours: Sequence[Step], level: float) -> str:
    first, for_good = reached(ours, level), kept(ours, level)
    if first is None:
        return f"| {' | '.join(cells)} | never, {final(ours):.4f} at the end | | | |"
    budget = statistics.fmean(peer.budget for peer in peers)
    gain = statistics.fmean(peer.last_gain for peer in peers)
    cells += [
        f"{first:.0f}",
        "no" if for_good is None else f"{for_good:.0f}",
        f"1/{budget / first:.1f}",
        f"1/{gain / first:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return "none"
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _draw(runs: Sequence[Run], to: Path) -> None:
    """Draw test hypervolume over device time: a panel per data set, a line per run."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, only to draw

    shown = [data for data in BOARDS if any(run.cell[0] == data for run in runs)]
    figure = Figure(figsize=(6.4 * len(shown), 4.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)
    for panel, data in zip(panels[0], shown, strict=True):
        named: set[str] = set()
        for run in (run for run in runs if run.cell[0] == data):
            who = run.cell[1]
            times = [step.ended / 60 for step in run.steps] + [run.budget / 60]
            volumes = [step.hypervolume for step in run.steps] + [final(run.steps)]
            panel.step(
                [times[0], *times], [0.0, *volumes], where="post", color=_COLOURS[who],
                linewidth=1.4, alpha=0.8, label=None if who in named else who,
            )  # fmt: skip
            named.add(who)
        panel.set_xscale("log")
        panel.set_xticks(_TICKS, [f"{minutes:g}" for minutes in _TICKS])
        panel.minorticks_off()
        panel.set_xlim(_TICKS[0], max(run.budget for run in runs if run.cell[0] == data) / 60)
        panel.set_title(data)
        panel.set_xlabel("device time, cpu-min")
        panel.set_ylabel("hypervolume on the test split")
        panel.set_ylim(0, 1)
        panel.grid(visible=True, alpha=0.3)
        panel.legend(loc="best", frameon=False)
    figure.savefig(to)
