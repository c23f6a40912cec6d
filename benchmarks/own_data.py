"""From a folder of one's own photographs to an exported network: the guide's transcript, anew.

Takes some images of CIFAR-10 that lie in class folders, train/CLASS and test/CLASS, copies those of
two classes as a person would bring them, and goes every step of docs/guides/own-data.md by the
command line alone. What was typed, what was printed and how long it took becomes the last section
of that page.

    python benchmarks/own_data.py --cifar data/cifar10_jpeg        # about 6 minutes on two cores
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "own-data.md"
HEADING = "## From a folder to an exported network: a transcript"
CLASSES, IMAGES = ("cat", "ship"), {"train": 1000, "test": 250}
STEPS = (
    "search --data folder:photos --network resnet20 --budget 6cpu-min --study photos",
    "front photos",
    "export photos --select knee --to exports/photos",
    "evaluate exports/photos",
    "bench exports/photos --against parent",
)


def bring(cifar: Path, photos: Path) -> str:
    """Copy the images; return the folder as a person sees it."""
    lines = ["photos"]
    for part, count in IMAGES.items():
        lines.append(f"├── {part}" if part == "train" else f"└── {part}")
        for name in CLASSES:
            (photos / part / name).mkdir(parents=True)
            for image in sorted((cifar / part / name).iterdir())[:count]:
                shutil.copy(image, photos / part / name)
            stem = "│  " if part == "train" else "   "
            lines.append(f"{stem} {'└──' if name == CLASSES[-1] else '├──'} {name:5} {count} files")
    return "\n".join(lines)


def step(arguments: str, home: Path) -> tuple[str, float]:
    """Run a command in a folder; return what a person reads of it, and its seconds."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "autodepth", *arguments.split()],
        cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "AUTODEPTH_HOME": str(home / "s")},
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"autodepth {arguments}: status {done.returncode}\n{done.stdout}")
    lines = done.stdout.replace(f"{home}/", "").splitlines()
    told = [line for line in lines if line.startswith("trial ")]
    if len(told) > 6:  # a line per trial: the first and the last ones say enough
        first, last = lines.index(told[2]), lines.index(told[-2])
        lines[first + 1 : last] = ["..."]
    return "\n".join(line.rstrip() for line in lines).strip("\n"), time.monotonic() - started


def main() -> None:
    """Go all steps and write the section."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 in class folders")
    parser.add_argument("--to", type=Path, default=PAGE, help="page whose last section it becomes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        tree = bring(arguments.cifar, home / "photos")
        found = [(words, *step(words, home)) for words in STEPS]
    whole = sum(seconds for *_, seconds in found)
    section = [
        HEADING,
        f"{sum(IMAGES.values()) * len(CLASSES):,} small photographs of cats and ships (CIFAR-10), "
        f"on {os.cpu_count()} CPU cores: {whole / 60:.0f} minutes from this folder to the numbers "
        "at the end. Written by `benchmarks/own_data.py`.",
        f"```text\n{tree}\n```",
    ]
    for words, text, seconds in found:
        section += [f"    autodepth {words}", f"```text\n{text}\n```", f"({seconds:.0f} s)"]
    before = arguments.to.read_text().partition("## From a folder to ")[0]
    arguments.to.write_text(before + "\n\n".join(section) + "\n")


if __name__ == "__main__":
    main()
