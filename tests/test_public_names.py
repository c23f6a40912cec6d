"""`autodepth.search` is the function, in whatever order things are imported."""

import json
import subprocess
import sys

import pytest

IS_CALLED = "assert inspect.isfunction(search) and 'budget' in inspect.signature(search).parameters"
ORDERS = {
    "as isort writes it": "from autodepth import resume, search",
    "the other way round": "from autodepth import search, resume",
    "each alone": "from autodepth import resume\nfrom autodepth import search",
    "all of it": "from autodepth import *",
    "by the package": "import autodepth\nautodepth.resume\nsearch = autodepth.search",
    "the room first": "import autodepth.study.plan.plan\nsearch = autodepth.search",
    "out of the room first": (
        "from autodepth.study.plan.plan import StudyPlan\nfrom autodepth import search"
    ),
    "the room afterwards": (
        "from autodepth import search as before\nimport autodepth.study.plan.plan\n"
        "from autodepth.study.plan.plan import StudyPlan\nfrom autodepth import search\n"
        "assert search is before is autodepth.search"
    ),
    "what is below": (
        "import autodepth.service.search.resume\nimport autodepth.study.run\n"
        "from autodepth import search"
    ),
    "replaced": (
        "import autodepth\nreal = autodepth.search\nautodepth.search = len\n"
        "assert autodepth.search is len\nautodepth.search = real\nfrom autodepth import search"
    ),
}


# In one process of its own, which keeps torch and the like between the orders.
TRY_ALL = """
import inspect, json, sys, traceback
told = {}
for order, lines in json.loads(sys.stdin.read()).items():
    for name in [name for name in sys.modules if name.partition(".")[0] == "autodepth"]:
        del sys.modules[name]
    try:
        exec(lines, {"inspect": inspect, "sys": sys})
    except Exception:
        told[order] = traceback.format_exc()
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def failed():
    """What came of the orders that failed."""
    tried = {order: f"{lines}\n{IS_CALLED}" for order, lines in ORDERS.items()}
    ran = subprocess.run(
        [sys.executable, "-c", TRY_ALL],
        input=json.dumps(tried), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(ran.stdout)


@pytest.mark.parametrize("order", ORDERS)
def test_search_is_the_function_in_any_order(order, failed):
    assert order not in failed, failed.get(order)


def test_what_is_not_there_is_said_and_nothing_heavy_is_imported_for_it():
    lines = "import autodepth, sys\nassert 'torch' not in sys.modules\nautodepth.nothing"
    told = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=False
    )
    assert "module 'autodepth' has no attribute 'nothing'" in told.stderr
