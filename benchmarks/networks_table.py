"""Which networks autodepth finds residual branches in: writes docs/networks.md.

Every classification model of torchvision, one of each module of `timm.models`, and one of each kind
that transformers classifies images with, is built with random weights, traced and measured. Those
that are small enough are checked further, image size reduced where they allow it:

- same: the traced network gives what the original gives, bit for bit;
- bypass (of some): for every identity branch, removing it gives what leaving it out gives, bit
  for bit;
- zero (of Hugging Face's): for every identity branch, removing it gives what the whole network
  gives with zeros in place of the branch, bit for bit;
- thin: with one branch left in each stage it trains a step, and its state dict reloads;
- stream: with the residual stream narrowed to a half and a quarter, where it can be, it runs
  forward and backward;
- export (of some): torch.export gets through it;
- sum (of all): stem, branches, between and head add up to the network's MACs and parameters.

All are made narrower by half, and the CPU seconds told that reading and narrowing take.

Run: python benchmarks/networks_table.py   (25 minutes on one core; needs the extras timm and hf)
With --rows FILE a run that was broken off goes on: rows are kept there, a line of JSON each. With
--as-is nothing is examined: the page has the rows that are there, and says how many are not. With
--streams what rows of before lack about streams is found out, of small networks first.
"""

from __future__ import annotations

import argparse
import fnmatch
import platform
import resource
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch
from networks_examined import CHECK_SIZE, Row, add_stream_apart, examine_apart
from networks_listed import HF, SMALLER, TIMM, TORCHVISION, WITHOUT
from networks_rows import KeptRows

from autodepth.networks.catalogue import NetworkSpec, default_input
from autodepth.networks.catalogue.libraries.hf_models import import_transformers
from autodepth.networks.catalogue.libraries.timm_models import import_timm
from autodepth.torchvision_door import import_torchvision

PAGE = Path(__file__).parents[1] / "docs" / "networks.md"
SEED = 0
PATIENCE = 60  # CPU seconds
ROWS = KeptRows(None)
AS_IS = False  # whether networks without a row are left out
LEFT_OUT: list[str] = []
PLAIN = ("vgg*", "alexnet", "squeezenet*", "densenet*")
HEADER = (
    "| network | image | branches | stages | million MACs | planning, CPU s | widths | stream | "
    "checks | remark |\n" + "|---" * 10 + "|"
)


def torchvision_rows(only: str) -> Iterator[Row]:
    """Yield a row for each classification model of torchvision."""
    models = import_torchvision().models
    for name in fnmatch.filter(models.list_models(module=models), only):
        if (row := examined(f"torchvision:{name}")) is None:
            continue
        identity, projection = TORCHVISION.get(name, (0, 0))
        defined = f"{identity}+{projection}" if name in TORCHVISION else "none"
        yield row if row.branches == defined else replace(row, remark=f"DEFINED {defined}")


def timm_rows(only: str) -> Iterator[tuple[str, Row]]:
    """Yield module and row for one model of each module of timm."""
    timm = import_timm()
    for module in fnmatch.filter(sorted(timm.list_modules()), only):
        models = timm.list_models(module=module)
        name = next((name for name in TIMM if name in models), models[0])
        if (row := examined(f"timm:{name}")) is not None:
            yield module, row


def hf_rows(only: str) -> Iterator[Row]:
    """Yield a row for each kind of network of transformers that classifies images."""
    for kind in fnmatch.filter(sorted(HF), only):
        if (row := examined(f"hf:{kind}")) is not None:
            yield row


def examined(name: str) -> Row | None:
    """Return the row of a network, from the file of rows where it is there."""
    if name not in ROWS and AS_IS:
        LEFT_OUT.append(name)
        return None
    if name not in ROWS:
        ROWS[name] = examine_apart(spec_of(name))
    return ROWS[name]


def spec_of(name: str) -> NetworkSpec:
    """Return a network with its usual input and 1000 classes."""
    channels, height, width = default_input(name)
    library, _, known = name.partition(":")
    arguments = dict(HF[known]) if library == "hf" else {}
    size = SMALLER.get(known) or arguments.pop("image_size", None)
    return NetworkSpec(
        name=name,
        classes=1000,
        channels=channels,
        height=size or height,
        width=size or width,
        arguments=arguments,
    )


def main() -> None:
    """Write the page; a line per network on the terminal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=PAGE)
    parser.add_argument("--only", default="*", help="pattern of names; then no page is written")
    parser.add_argument("--rows", type=Path, help="file of rows to go on from, and to add to")
    parser.add_argument("--as-is", action="store_true", help="of the rows that are there alone")
    parser.add_argument("--streams", action="store_true", help="add streams to rows, no others")
    arguments = parser.parse_args()
    global AS_IS, ROWS
    AS_IS, ROWS = arguments.as_is or arguments.streams, KeptRows(arguments.rows)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    if arguments.streams:
        add_streams(arguments.only)
    start = time.monotonic()
    vision, families, kinds = [], [], []
    for row in torchvision_rows(arguments.only):
        print(f"{time.monotonic() - start:4.0f} s {memory():.1f} GiB torchvision", row, flush=True)
        vision.append(row)
    for module, row in timm_rows(arguments.only):
        print(f"{time.monotonic() - start:4.0f} s {memory():.1f} GiB {module}", row, flush=True)
        families.append((module, row))
    for row in hf_rows(arguments.only):
        print(f"{time.monotonic() - start:4.0f} s {memory():.1f} GiB hf", row, flush=True)
        kinds.append(row)
    if arguments.only == "*":
        text = page(vision, families, kinds, time.monotonic() - start)
        arguments.to.write_text(text, encoding="utf-8")


def add_streams(only: str) -> None:
    """Find out what rows of before lack about streams."""
    for name in ROWS.without_stream():
        if fnmatch.fnmatch(name.partition(":")[2], only):
            ROWS[name] = add_stream_apart(spec_of(name), ROWS[name])
            print(ROWS[name], flush=True)


def memory() -> float:
    """Return what the largest network so far took, in GiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def page(
    vision: list[Row], families: list[tuple[str, Row]], kinds: list[Row], seconds: float
) -> str:
    """Return the page: figures, how it was run, the tables."""
    timm, torchvision = import_timm().__version__, import_torchvision().__version__
    lines = [
        INTRODUCTION,
        "## In figures",
        "",
        *figures_of_torchvision(vision),
        *figures_of_timm(families),
        *figures_of_hf(kinds),
        *figures_of_checks([*vision, *(row for _, row in families), *kinds]),
        "",
        f"Run on {datetime.now(UTC):%Y-%m-%d} with torchvision {torchvision}, timm {timm}, "
        f"transformers {import_transformers().__version__}, torch "
        f"{torch.__version__}, Python {platform.python_version()}; random weights of seed {SEED}; "
        + (_left_out() if AS_IS else f"{seconds / 60:.0f} minutes on one core, {_memory()}."),
        "",
        "## torchvision",
        "",
        HEADER,
        *map(str, vision),
        "",
        "## timm, one model of each module",
        "",
        HEADER.replace("| network", "| module | network").replace("|---", "|---|---", 1),
        *(f"| {module} {row}" for module, row in families),
        "",
        "## Hugging Face, one small configuration of each kind",
        "",
        "`autodepth inspect hf:vit` reads a kind at random, `hf:OWNER/NAME` and `hf:./FOLDER` what "
        "their `config.json` describes. The configurations are in `benchmarks/networks_listed.py`.",
        "",
        HEADER,
        *map(str, kinds),
        "",
    ]
    return "\n".join(lines)


def _memory() -> str:
    return f"at most {memory():.1f} GiB"


def _left_out() -> str:
    """Say what the page lacks, and that its rows were not all made in one run."""
    missing = ", ".join(f"`{name}`" for name in LEFT_OUT) or "none"
    return (
        f"of {len(ROWS) + len(LEFT_OUT)} networks {len(ROWS)} were examined, in several runs, "
        "some of them on a busy machine, where CPU seconds are longer. "
        f"Not yet examined: {missing}. The stream of {len(ROWS.without_stream())} with branches, "
        "without an entry under `stream`, is still to be looked at."
    )


def figures_of_torchvision(rows: list[Row]) -> Iterator[str]:
    """Yield what is found of what is defined."""
    wrong = [row.name for row in rows if row.remark.startswith("DEFINED")]
    residual = [row for row in rows if row.name in TORCHVISION]
    right = sum(row.name not in wrong for row in residual)
    yield (
        f"- torchvision: {len(rows)} models, {len(residual)} of them residual; "
        f"{right} have exactly the branches that their family's definition says"
        f"{', not ' * bool(wrong)}{', '.join(wrong)}."
    )
    plain = [row for row in rows if any(fnmatch.fnmatch(row.name, kind) for kind in PLAIN)]
    yield (
        f"- None is found in {sum(not row.found for row in plain)} of {len(plain)} VGG, AlexNet, "
        "SqueezeNet and DenseNet models."
    )
    for row in rows:
        if row.name == "maxvit_t":
            yield f"- `maxvit_t` has {row.branches} branches{row.remark and ', but '}{row.remark}."


def figures_of_timm(families: list[tuple[str, Row]]) -> Iterator[str]:
    """Yield the share that is found, and what is said of the rest."""
    residual = [(module, row) for module, row in families if module not in WITHOUT]
    found = sum(row.found for _, row in residual)
    yield (
        f"- timm: {len(families)} modules, {len(residual)} of them with residual additions; "
        f"branches are found in {found} ({found / len(residual):.1%})."
    )
    for module, row in residual:
        if not row.found:
            yield f"  - not in {module} (`{row.name}`): {row.remark}."
    gap = [module for module, row in residual if row.found and row.remark]
    if gap:
        yield f"  - in part, as the table says: {', '.join(gap)}."


def figures_of_hf(rows: list[Row]) -> Iterator[str]:
    """Yield the share of the kinds in which branches are found, and what is said of the rest."""
    found = [row for row in rows if row.found]
    yield f"- Hugging Face: {len(rows)} kinds; branches are found in {len(found)}."
    for row in rows:
        if not row.found:
            yield f"  - not in `{row.name}`: {row.remark}."


def figures_of_checks(rows: list[Row]) -> Iterator[str]:
    """Yield how many networks passed each check."""
    told = {row.name: row.checks + row.remark + row.widths + row.stream for row in rows}
    failed = [name for name, text in told.items() if "FAILED" in text]
    counts = {name: [name in row.checks.split() for row in rows].count(True) for name in CHECKS}
    yield "- Checks, each bit for bit or exact:"
    for name, meaning in CHECKS.items():
        if not counts[name]:
            continue
        yield f"  - {name}: {counts[name]} networks; {meaning}."
    yield f"  - Failures: {', '.join(failed) or 'none'}."
    found = [row for row in rows if row.found]
    narrow = sum(not row.widths.startswith("0 of") for row in found)
    yield (
        f"- Of {len(rows)} networks {narrow} work with narrower layers, {len(found) - narrow} "
        f"without, and in {len(rows) - len(found)} there is nothing to remove."
    )
    if looked_at := [row for row in found if row.stream]:
        streams = sum(not row.stream.startswith("0 of") for row in looked_at)
        yield (
            f"- In {streams} of {len(looked_at)} the residual stream can be narrower, in some "
            "stages at least."
        )
    slow = [row for row in found if float(row.planning or 0) > PATIENCE]
    told = ", ".join(f"{row.planning} for `{row.name}`" for row in slow)
    quick = max(float(row.planning or 0) for row in found if row not in slow)
    yield f"- Reading and narrowing take {quick} CPU seconds at most{', but ' * bool(told)}{told}."


CHECKS = {
    "same": "the traced network gives what the original gives",
    "bypass": "removing any single identity branch gives what leaving it out gives",
    "zero": "removing any single identity branch gives what the whole network gives with zeros in "
    "place of the branch",
    "thin": "with one branch left in each stage it runs forward and backward, and its state dict "
    "reloads",
    "stream": "with the residual stream at a half and a quarter of its width, where it can be "
    "narrower, it runs forward and backward",
    "export": "torch.export gets through it",
    "sum": "stem, branches, between and head add up to the MACs and parameters",
}
INTRODUCTION = f"""\
# Networks

Which networks autodepth finds residual branches in. Written by `make networks-table`, which runs
`python benchmarks/networks_table.py`; do not edit.

`branches` are those with an identity shortcut + those with a projection; `stages` are output
shapes. Small networks are checked as they are, larger ones on images of {CHECK_SIZE} pixels where
they take them, the largest only for the sum. `planning` is what reading a network and making it
narrower by half take, CPU seconds; `widths` says in how many branches channels can go, and why not
in others; `stream` says in how many stages the residual stream can have another width, and why
not in others. Branch by branch a list of them is tried
(`benchmarks/networks_listed.py`).
"""


if __name__ == "__main__":
    main()
