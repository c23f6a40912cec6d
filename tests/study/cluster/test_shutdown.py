"""A process that used Ray outlives it."""

import subprocess
import sys

import pytest

# Drops references to Ray's objects, from another thread, in the midst of the shutdown.
PROGRAM = """
import gc, threading, time
from autodepth.study.cluster.environment import prepare_for_ray
prepare_for_ray()
import ray
from autodepth.study.cluster.shutdown import shut_down_ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
gc.disable()
for number in range(100):
    cycle = [ray.put(number)]
    cycle.append(cycle)
del cycle

def collect():
    while ray._private.worker.global_worker.connected:
        time.sleep(0.001)
    time.sleep(0.12)  # the core is gone by now, and the process has not been told
    gc.collect()

thread = threading.Thread(target=collect)
thread.start()
shut_down_ray()
thread.join()
print("goes on")
"""

# Presses Ctrl-C within a callback of the collector.
INTERRUPTED = """
import signal, weakref
from autodepth.study.cluster.environment import prepare_for_ray
prepare_for_ray()
from autodepth.study.cluster.shutdown import shut_down_ray

class Watched:
    pass

def pressed(_):
    signal.raise_signal(signal.SIGINT)
    print("collected")

cycle = Watched()
cycle.itself = cycle
watch = weakref.ref(cycle, pressed)
del cycle
try:
    shut_down_ray()
except KeyboardInterrupt:
    print("interrupted")
"""


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_references_left_in_cycles_do_not_end_the_process():
    done = run(PROGRAM)

    assert (done.returncode, done.stdout.strip()) == (0, "goes on"), done.stderr


@pytest.mark.slow
def test_ctrl_c_while_references_are_collected_is_not_lost():
    done = run(INTERRUPTED)

    assert done.stdout.split() == ["collected", "interrupted"], done.stderr
    assert "ignored" not in done.stderr
