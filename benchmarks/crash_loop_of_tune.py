"""The same loop around what Ray offers: `Tuner.restore` with OptunaSearch, two trials at a time.

Its trials only wait, so that the loop costs less than with real training; what is lost or done
twice does not depend on it. A trial writes a line when it begins and one when it ends.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crash_loop import Tally

DRIVER = """
import json, os, sys, time
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
import ray
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

root, trials = sys.argv[1], int(sys.argv[2])

def work(config):
    for epoch in range(3):
        time.sleep(0.15)
        tune.report({"accuracy": config["x"], "cost": config["y"], "epoch": epoch})
    with open(f"{root}/ends.txt", "a") as file:
        file.write(json.dumps(config, sort_keys=True) + "\\n")

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
path = f"{root}/study"
if tune.Tuner.can_restore(path):
    tuner = tune.Tuner.restore(path, trainable=work, resume_unfinished=True, restart_errored=True)
else:
    search = OptunaSearch({"x": tune.uniform(0, 1), "y": tune.uniform(0, 1)},
                          metric=["accuracy", "cost"], mode=["max", "min"], seed=0)
    tuner = tune.Tuner(
        work,
        tune_config=tune.TuneConfig(search_alg=ConcurrencyLimiter(search, 2), num_samples=trials),
        run_config=tune.RunConfig(name="study", storage_path=root, verbose=0),
    )
results = tuner.fit()
with open(f"{root}/done.json", "w") as file:
    json.dump([[r.config, bool(r.metrics and r.metrics.get("epoch") == 2)] for r in results], file)
"""


def crash_loop_of_tune(kills: int, *, seed: int, trials: int) -> Tally:
    """Kill its driver until there were so many kills, restoring each time; end each study."""
    from crash_loop import Tally  # noqa: PLC0415 - it imports this module

    tally, chance = Tally(who="Tuner.restore"), random.Random(seed)
    while tally.kills < kills:
        with tempfile.TemporaryDirectory(prefix="crash-loop-tune-") as root:
            _one_study(Path(root), kills, tally, chance, trials)
    return tally


def _one_study(root: Path, kills: int, tally: Tally, chance: random.Random, trials: int) -> None:
    script = root / "driver.py"
    script.write_text(DRIVER)
    log = root / "ends.txt"
    failures = 0
    while not (root / "done.json").exists() and failures < 3:
        process = subprocess.Popen(
            [sys.executable, str(script), str(root), str(trials)],
            stdout=subprocess.DEVNULL, stderr=(root / "err.txt").open("w"), start_new_session=True,
        )  # fmt: skip
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
            time.sleep(0.05)
        if tally.kills < kills and process.poll() is None:
            time.sleep(chance.uniform(0, 3))
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                tally.kills += 1
        status = process.wait()
        failures = failures + 1 if status not in {0, -signal.SIGKILL} else 0
    _count(root, tally, trials)


def _count(root: Path, tally: Tally, trials: int) -> None:
    ends = Counter((root / "ends.txt").read_text().splitlines())
    tally.trials += trials
    tally.twice += sum(count - 1 for count in ends.values())
    if not (root / "done.json").exists():
        error = (root / "err.txt").read_text().strip().splitlines()
        tally.breaches.append(error[-1][:300] if error else "it cannot be restored")
        return
    told = json.loads((root / "done.json").read_text())
    complete = {json.dumps(config, sort_keys=True) for config, whole in told if whole}
    tally.complete += len(complete)
    tally.lost += len(set(ends) - complete)  # carried out to the end, and not among the results
    tally.zombies += sum(not whole for _, whole in told)
