"""What do eight bits buy? Every member of a front in 32-bit floats and in eight-bit integers.

A search that may quantise, with accuracy, the latency in onnxruntime and the size of the file as
objectives. Then the
counterpart of every member of its front is carried out: the same policy with `quantise: int8`, or
without. One of the eight-bit members is exported, and its policy file carried out anew, with
nothing found again: the files should be the same byte for byte. Latencies are of one image on one
thread, of which the computing time counts, each by turns with the whole network's.

    python benchmarks/eight_bits.py                                    # digits, ten minutes
    python benchmarks/eight_bits.py --data folder:DIR --network resnet20 --weights FILE
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from autodepth.atomic import sha256_of
from autodepth.export.exporting import export_selected
from autodepth.front.dominance import pareto_front
from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.by_hand import role_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, find_study
from autodepth.records.trial_record import TrialRecord
from autodepth.service.one_policy.asked import AskedPolicy, carry_out_asked
from autodepth.service.one_policy.policies import carry_out_policy, read_policy
from autodepth.service.search.requests import SearchRequest, StudyRequest
from autodepth.service.search.search import plan_search, search
from autodepth.trial.device.device import cpu_name

RESULTS = Path(__file__).parent / "results"
LATENCY, ACCURACY, SIZE = "latency_ms@onnxruntime", "validation_accuracy", "size_bytes"
COSTS = f"{{name: {LATENCY}, reference: 100%}}, {{name: {SIZE}, reference: 100%}}"
SETTINGS = (
    "search.quantise={type: choice, values: [none, int8]}",
    f"objectives=[{{name: {ACCURACY}, reference: 0}}, {COSTS}]",
)


def main() -> None:
    """Search, carry counterparts out, and write results/eight_bits_NAME.{json,md,png}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="digits", help="of the study and the results")
    parser.add_argument("--budget", default="14trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data")
    parser.add_argument("--network")
    parser.add_argument("--weights")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    given = parser.parse_args()
    settings = (*SETTINGS, *given.set)
    search(
        budget=given.budget, study=f"int8-{given.name}", seed=given.seed, data=given.data,
        network=given.network, weights=given.weights, settings=settings, runner="in-process",
    )  # fmt: skip
    folder = find_study(f"int8-{given.name}")
    found = {
        "command": f"--budget {given.budget} --seed {given.seed}",
        "set": given.set,
        "settings": settings,
        "cpu": cpu_name(),
        "versions": {name: version(name) for name in ("onnxruntime", "torch")},
        "data": folder.plan["data"]["name"].partition("/")[0],
        "network": folder.plan["network"]["name"],
        "validation_images": folder.plan["data"].get("validation"),
        "unpruned": folder.plan["unpruned"],
        "rows": rows(folder),
        "replay": replayed(folder),
    }
    to = RESULTS / f"eight_bits_{given.name}"
    to.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    to.with_suffix(".md").write_text(table(found))
    plot(found["rows"]).savefig(to.with_suffix(".png"), dpi=130)
    print(table(found))


def rows(folder: StudyFolder) -> list[dict[str, Any]]:
    """Carry out the counterpart of each member of the front, and return both of each."""
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        found = {member.trial for member in ledger.front()}
        trials = [trial for trial in ledger.trials() if trial.number in found]
    pairs = [(trial, counterpart(folder, trial)) for trial in trials]
    both = [trial for pair in pairs for trial in pair]
    values = [tuple(value(trial, name) for name in (ACCURACY, LATENCY, SIZE)) for trial in both]
    goals = ("maximize", "minimize", "minimize")
    front = {both[i].number for i in pareto_front(values, goals)}
    told: dict[tuple[int, int], dict[str, Any]] = {}
    for pair in pairs:
        floats, int8 = sorted(pair, key=lambda trial: trial.in_eight_bits)
        assert floats.result is not None
        told[floats.number, int8.number] = {
            "macs": floats.result.point.macs,
            "removed": floats.result.removed,
            **{
                name: {
                    "trial": trial.number,
                    "accuracy": value(trial, ACCURACY),
                    "latency_ms": round(value(trial, LATENCY), 4),
                    SIZE: value(trial, SIZE),
                    "found": trial.number in found,
                    "on_front": trial.number in front,
                }
                for name, trial in (("floats", floats), ("int8", int8))
            },
        }
    return sorted(told.values(), key=lambda row: -row["macs"])


def counterpart(folder: StudyFolder, trial: TrialRecord) -> TrialRecord:
    """Return the trial of the same policy in the other numbers."""
    policy = {name: told for name, told in trial.carried_out.items() if name != "quantise"}
    if not trial.in_eight_bits:
        policy["quantise"] = "int8"
    asked = AskedPolicy(policy=Policy.from_dict(policy), role=role_of(policy))
    return carry_out_asked(asked, StudyRequest(study=folder.name, runner="in-process"))


def value(trial: TrialRecord, metric: str) -> float:
    """Return what a complete trial measured."""
    assert trial.result is not None, trial.reason
    return trial.result.point.value(metric)


def replayed(folder: StudyFolder) -> dict[str, Any]:
    """Export the most accurate eight-bit member, and carry its policy file out from nothing."""
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        members = {member.trial for member in ledger.front()}
        int8 = [t for t in ledger.trials() if t.number in members and t.in_eight_bits]
    if not int8:
        return {}
    first = max(int8, key=lambda trial: value(trial, ACCURACY))
    assert first.result is not None
    with tempfile.TemporaryDirectory() as scratch:
        one, again = Path(scratch, "one"), Path(scratch, "again")
        export_selected(folder, f"trial:{first.number}", one)
        plan = plan_search(SearchRequest(space=folder.space_path, budget="1trials"))
        policy = read_policy(one / "policy.yaml")
        result = carry_out_policy(plan, policy, to=again, on_epoch=lambda _: None)
        names = ("model.safetensors", "model.onnx", "model.int8.onnx", "policy.yaml")
        return {
            "trial": first.number,
            "accuracy": [first.result.point.validation_accuracy, result.point.validation_accuracy],
            "loss": [first.result.point.validation_loss, result.point.validation_loss],
            "same_bytes": {
                name: sha256_of(one / name) == sha256_of(again / name) for name in names
            },
        }


def table(found: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    replay, versions = found["replay"], found["versions"]
    on_front = sum(row["int8"]["on_front"] for row in found["rows"])
    lines = [
        f"# Eight bits: {found['network']}, {found['data']}",
        "",
        f"`python benchmarks/eight_bits.py {found['command']}{_set(found)}`: every member of the "
        "front of a search that may quantise, and its counterpart. Latency of one image in "
        f"onnxruntime {versions['onnxruntime']}, one thread of {found['cpu']}, of which the "
        "computing time counts; the machine was shared. Accuracy on the validation split, which "
        "the search chose by. Bold: on the joint front of accuracy, latency and size.",
        "",
        "| MACs | removed | 32 bits: accuracy | ms | kB | 8 bits: accuracy | ms | kB | faster |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        cells = []
        for name in ("floats", "int8"):
            one = row[name]
            accuracy = f"{one['accuracy']:.1%}"
            cells += [
                f"**{accuracy}**" if one["on_front"] else accuracy,
                f"{one['latency_ms']:.3f}",
                f"{one['size_bytes'] / 1e3:.0f}",
            ]
        faster = row["floats"]["latency_ms"] / row["int8"]["latency_ms"]
        removed = " ".join(map(str, row["removed"])) or "-"
        lines.append(
            f"| {row['macs'] / 1e6:.3g} M | {removed} | {' | '.join(cells)} | {faster:.2f}x |"
        )
    told = (
        f"{on_front} of {len(found['rows'])} pairs have their eight-bit network on the joint front."
    )
    if replay:
        same = [name for name, equal in replay["same_bytes"].items() if equal]
        told += (
            f" Trial {replay['trial']} carried out anew from its policy file, nothing found again: "
            f"the same bytes in {', '.join(same) or 'no file'}, {len(same)} of "
            f"{len(replay['same_bytes'])} files; accuracy {replay['accuracy'][0]:.4f} and "
            f"{replay['accuracy'][1]:.4f}, loss {replay['loss'][0]!r} and {replay['loss'][1]!r}."
        )
    return "\n".join([*lines, "", told]) + "\n"


def _set(found: dict[str, Any]) -> str:
    return "".join(f" --set '{each}'" for each in found["set"])


def plot(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw both networks of every pair, and the joint front."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color="#e8ebef")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for row in rows:
        axes.plot(
            [row[name]["latency_ms"] for name in ("floats", "int8")],
            [100 * row[name]["accuracy"] for name in ("floats", "int8")],
            "-", color="#aab2bd", linewidth=1, zorder=1,
        )  # fmt: skip
    for name, label, mark, colour in (
        ("floats", "32-bit floats", "o", "#0b63ce"),
        ("int8", "eight-bit integers", "s", "#009e73"),
    ):
        axes.plot(
            [row[name]["latency_ms"] for row in rows],
            [100 * row[name]["accuracy"] for row in rows],
            mark, color=colour, markersize=6, label=label, zorder=2,
        )  # fmt: skip
    front = [one for row in rows for one in (row["floats"], row["int8"]) if one["on_front"]]
    axes.plot(
        [one["latency_ms"] for one in front],
        [100 * one["accuracy"] for one in front],
        "o", color="#1f2933", fillstyle="none", markersize=12, zorder=3,
        label="on the joint front of accuracy, latency and size",
    )  # fmt: skip
    axes.set_xlabel("latency of one image in onnxruntime, one thread (ms)")
    axes.set_ylabel("validation accuracy (%)")
    axes.legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
