"""Kills the driver of a study at random moments, resumes it to the end, and counts what was lost.

Autodepth beside what Ray offers: `Tuner.restore` with OptunaSearch. After every kill the ledger is
checked by `fsck`; at the end no trial may be lost, carried out twice or left running, and the
front must be that of a study that nobody killed. Trials are real: a ResNet-8 on digits.

    python benchmarks/crash_loop.py --kills 200                # in process
    python benchmarks/crash_loop.py --runner ray --kills 20    # the command line, killed whole
    python benchmarks/crash_loop.py --who tune --kills 20

Writes benchmarks/results/crash_loop.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from traceback import format_exc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

_COPIES = multiprocessing.get_context("forkserver")
_COPIES.set_forkserver_preload(
    ["mlflow.tracking", "autodepth.service.search.resume", "autodepth.study.driver.in_process",
     "autodepth.records.mlflow.client", "autodepth.report.figures.front_page"]
)  # fmt: skip
RESULTS = Path(__file__).parent / "results"
SETTINGS = (
    "network.name=resnet8",
    "data.train_images=64",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
    "sampler.startup_trials=4",
)
TRIALS = 24


@dataclass(kw_only=True)
class Tally:
    """What became of a study whose driver was killed again and again.

    Args:
        who: `autodepth, in process`, `autodepth, on Ray` or `Tuner.restore`.
        kills: how often the driver was killed while it ran.
        trials: trials that were wanted.
        complete: trials that brought a result in the end.
        lost: results that had been entered and were gone later.
        twice: policies that were carried out to their end more than once.
        zombies: trials still running though the study has ended.
        breaches: what `fsck` found after a kill that it could not mend, in words.
        same_front: whether the front is that of the unbroken study; None where none was run.
        resumed_s: seconds from the start of each resumed driver to its first entry.
    """

    who: str
    kills: int = 0
    trials: int = 0
    complete: int = 0
    lost: int = 0
    twice: int = 0
    zombies: int = 0
    breaches: list[str] = field(default_factory=list)
    same_front: bool | None = None
    resumed_s: list[float] = field(default_factory=list)


def stages_of_its_own(study: str) -> None:
    """Keep the stages of a study apart from those of others, which are the same."""
    from autodepth.records.studies import studies_root  # noqa: PLC0415

    os.environ["AUTODEPTH_CACHE"] = str(studies_root() / f"cache-of-{study}")


def drive(study: str, trials: int) -> None:
    """Begin a study in this process, or go on with it."""
    from autodepth.records.studies import study_folders  # noqa: PLC0415
    from autodepth.service.search.resume import resume  # noqa: PLC0415
    from autodepth.service.search.search import search  # noqa: PLC0415

    stages_of_its_own(study)
    if any(folder.name == study for folder in study_folders()):
        resume(study, runner="in-process")
    else:
        search(budget=f"{trials}trials", study=study, settings=SETTINGS, runner="in-process")


def start_copy(work: Callable[..., object], *arguments: Any) -> ForkServerProcess:
    """Do some work in a process of its own, quietly; what it raises is left in AUTODEPTH_HOME.

    It is a copy of a process that has everything imported, so it begins within milliseconds, and
    that has no threads: a copy of one in which Ray has run dies now and then.

    Args:
        work: a function of a module.
        arguments: for it.
    """
    process = _COPIES.Process(target=_quietly, args=(dict(os.environ), work, arguments))
    process.start()
    return process


def _quietly(
    environment: dict[str, str], work: Callable[..., object], arguments: tuple[Any, ...]
) -> None:
    os.environ.update(environment)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        work(*arguments)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(os.environ["AUTODEPTH_HOME"], f"error-{os.getpid()}.txt").write_text(format_exc())
        raise


def killed(process: ForkServerProcess, after: float) -> bool:
    """Kill a process after so many seconds; return whether it still ran."""
    process.join(after)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def crash_loop(kills: int, *, seed: int, trials: int = TRIALS) -> Tally:
    """Kill the in-process driver of studies until there were so many kills; end each study."""
    tally, chance, number = (
        Tally(who="autodepth, in process", same_front=True),
        random.Random(seed),
        0,
    )
    unbroken = f"unbroken-{seed}"
    begun = time.monotonic()
    whole_one = start_copy(drive, unbroken, trials)
    whole_one.join()
    if whole_one.exitcode:
        raise RuntimeError("the study that nobody kills must come to its end")
    whole = time.monotonic() - begun
    while tally.kills < kills:
        number += 1
        _end_with_kills(f"killed-{seed}-{number}", kills, tally, chance, whole, trials)
        tally.same_front &= front_of(f"killed-{seed}-{number}") == front_of(unbroken)
    return tally


def _end_with_kills(
    study: str, kills: int, tally: Tally, chance: random.Random, whole: float, trials: int
) -> None:
    done: dict[int, str] = {}
    while True:
        process = start_copy(drive, study, trials)
        if tally.kills >= kills:
            process.join()
        elif killed(process, chance.uniform(0, whole / 2)):
            tally.kills += 1
            done = look(study, done, tally)
            continue
        done = look(study, done, tally)
        if ended(study):
            break
    tally.trials += trials
    count_ends(study, tally)


def look(study: str, done: dict[int, str], tally: Tally) -> dict[int, str]:
    """Check a study after a kill; return the results it has."""
    from autodepth.errors import StudyError  # noqa: PLC0415
    from autodepth.records.fsck import broken_invariants  # noqa: PLC0415
    from autodepth.records.ledger import Ledger  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415

    try:
        folder = find_study(study)
        broken = broken_invariants(folder)
        with Ledger.open(folder.ledger_path, read_only=True) as ledger:
            now = {
                record.number: json.dumps(record.result.to_dict(), sort_keys=True)
                for record in ledger.trials()
                if record.result is not None
            }
    except StudyError:  # killed before it was entered
        now, broken = {}, []
    tally.breaches += [f"{b.rule}: {b.found}" for b in broken if b.mend is None]
    tally.lost += sum(now.get(number) != result for number, result in done.items())
    return now


def ended(study: str) -> bool:
    """Whether a study came to its end."""
    from autodepth.errors import StudyError  # noqa: PLC0415
    from autodepth.records.ledger import Ledger  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415

    with (
        contextlib.suppress(StudyError),
        Ledger.open(find_study(study).ledger_path, read_only=True) as ledger,
    ):
        return ledger.study.outcome is not None
    return False


def count_ends(study: str, tally: Tally) -> None:
    """Count what became of the trials of a study that has ended."""
    from autodepth.records.ledger import Ledger  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415

    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        records = ledger.trials()
    complete = [json.dumps(dict(r.policy), sort_keys=True) for r in records if r.result is not None]
    tally.complete += len(complete)
    tally.twice += len(complete) - len(set(complete))
    tally.zombies += sum(not record.state.ended for record in records)


def front_of(study: str) -> list[tuple[float, int]]:
    """Return the front of a study, as accuracies and multiply-accumulates."""
    from autodepth.records.ledger import Ledger  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415

    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        points = [member.point for member in ledger.front()]
    return sorted((point.validation_accuracy, point.macs) for point in points)


def crash_loop_on_ray(kills: int, *, seed: int, trials: int = TRIALS) -> Tally:
    """Kill the driver that `autodepth search` supervises, with no word to anybody."""
    from autodepth.records.driver_lock.lock import driver_of  # noqa: PLC0415
    from autodepth.records.studies import StudyFolder, studies_root  # noqa: PLC0415

    tally, chance = Tally(who="autodepth, on Ray"), random.Random(seed)
    number = 0
    while tally.kills < kills:
        number += 1
        study = f"ray-{seed}-{number}"
        folder = StudyFolder(studies_root() / study)
        command = [sys.executable, "-m", "autodepth", "search", "--budget", f"{trials}trials"]
        command += ["--study", study, *(f"--set={setting}" for setting in SETTINGS)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        done: dict[int, str] = {}
        died = 0.0
        while process.poll() is None:
            driver = driver_of(folder) if folder.path.exists() else None
            now = look(study, done, tally) if driver else done
            if died and len(now) > len(done):
                tally.resumed_s.append(time.monotonic() - died)
                died = 0.0
            done = now
            # No sooner than there is something new: five deaths in a row end a search.
            if driver and not died and done and tally.kills < kills:
                time.sleep(chance.uniform(0, 4))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(driver.pid, signal.SIGKILL)
                    tally.kills, died = tally.kills + 1, time.monotonic()
            time.sleep(0.2)
        look(study, done, tally)
        tally.trials += trials
        count_ends(study, tally)
    return tally


def main() -> None:
    """Run what is asked for, and write it down beside what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--who", choices=("autodepth", "tune"), default="autodepth")
    parser.add_argument("--runner", choices=("in-process", "ray"), default="in-process")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crash-loop-") as home:
        os.environ["AUTODEPTH_HOME"] = home
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        if arguments.who == "tune":
            from crash_loop_of_tune import crash_loop_of_tune  # noqa: PLC0415

            tally = crash_loop_of_tune(arguments.kills, seed=arguments.seed, trials=TRIALS)
        elif arguments.runner == "ray":
            tally = crash_loop_on_ray(arguments.kills, seed=arguments.seed)
        else:
            tally = crash_loop(arguments.kills, seed=arguments.seed)
    _write(tally, arguments.seed)


def _write(tally: Tally, seed: int) -> None:
    path = RESULTS / "crash_loop.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    versions = {name: version(name) for name in ("torch", "ray", "optuna")}
    told[tally.who] = {
        **asdict(tally),
        "seed": seed,
        "python": platform.python_version(),
        **versions,
    }
    path.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    header = (
        "| driver | kills | trials | complete | lost | twice | zombies | breaches | same front |"
    )
    lines = [
        "A driver killed by SIGKILL at random moments and resumed; see crash_loop.py.",
        "",
        header,
    ]
    lines.append("|---" * 9 + "|")
    for who, row in sorted(told.items()):
        same = {None: "not compared", True: "yes", False: "no"}[row["same_front"]]
        lines.append(
            f"| {who} | {row['kills']} | {row['trials']} | {row['complete']} | {row['lost']} | "
            f"{row['twice']} | {row['zombies']} | {len(row['breaches'])} | {same} |"
        )
    (RESULTS / "crash_loop.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
