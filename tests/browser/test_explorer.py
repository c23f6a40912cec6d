"""The explorer in a real browser: every view, on studies that ended and on one that runs."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.service.search.search import search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VIEWS = {
    "front": "front", "budget": "burn", "progress": "hypervolume", "branches": "heat",
    "settings": "importance",
}  # fmt: skip
TINY = (
    "network.name=resnet14", "data.train_images=48", "data.validation=60", "train.epochs=1",
    "sampler.startup_trials=4", "confirmation.share=0",
)  # fmt: skip
AXE = Path(os.environ.get("AXE", ".venv/axe-core/axe.min.js"))
COUNT = (  # points of the figure, as the figure has them
    "() => (document.getElementById('front')?.data ?? [])"
    ".filter(t => ['dominated', 'front', 'breaks a bound'].includes(t.name))"
    ".reduce((n, t) => n + new Set(t.customdata.filter(Number.isInteger)).size, 0)"
)
OVERLAP = """() => document.querySelector('#front .main-svg').getBoundingClientRect().right
    - document.getElementById('trial').getBoundingClientRect().left"""
# Where a trial lies on the screen.
PLACE = """number => {
    const node = document.getElementById('front'), box = node.getBoundingClientRect();
    const { xaxis, yaxis } = node._fullLayout;
    const trace = node.data.find(t => t.customdata?.includes(number));
    const i = trace.customdata.indexOf(number);
    return [box.left + xaxis._offset + xaxis.d2p(trace.x[i]),
            box.top + yaxis._offset + yaxis.d2p(trace.y[i])];
}"""

# Of the dots of a path, the trial whose dot lies lowest within the figure.
LOWEST = """() => {
    const node = document.getElementById('front'), { xaxis, yaxis } = node._fullLayout;
    const { x, y, customdata } = node.data.find(t => t.cloud);
    const within = (axis, value) => axis.d2p(value) > 0 && axis.d2p(value) < axis._length;
    const seen = [...x.keys()].filter(i => within(xaxis, x[i]) && within(yaxis, y[i]));
    return customdata[seen.reduce((a, b) => (y[b] < y[a] ? b : a))];
}"""


def test_a_finished_study_from_a_point_to_an_exported_network(look, served, tmp_path):
    search(budget="5trials", study="digits", settings=TINY, runner="in-process")
    with Ledger.open(tmp_path / "studies" / "digits" / "ledger.sqlite", read_only=True) as ledger:
        front = ledger.front()
    looking = look(served)
    page = looking.page
    looking.open(study="digits")
    for view, plot in VIEWS.items():
        page.click(f"#tab-{view}")
        if view == "settings":  # too few trials for importance, and the page says so
            page.wait_for_selector("#importance-told:has-text('20 complete trials')")
        else:
            looking.drawn(plot)
        looking.keep(f"finished-{view}")
    page.click("#tab-front")
    looking.until(COUNT, lambda n: n == 5)
    page.mouse.click(*page.evaluate(PLACE, front[0].trial))
    page.wait_for_selector(f"#trial h2:has-text('Trial {front[0].trial}')")
    gone = [int(text) for text in page.locator("#trial .removed b").all_text_contents()]
    assert gone == list(front[0].removed)
    page.wait_for_selector("#trial .strip span[title*='inner channels'], #trial .strip .removed")
    page.wait_for_selector("#trial .plot .main-svg")
    page.wait_for_selector("#trial .strip [title*='inner channels']")
    looking.until(OVERLAP, lambda pixels: pixels <= 0)
    looking.keep("finished-trial")
    page.click("#trial button.copy")
    page.wait_for_selector("button.copy:has-text('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")

    assert copied.split()[1:3] == ["autodepth", "export"]  # after where the studies are
    words = copied.replace("autodepth export", f"{sys.executable} -m autodepth export")
    done = subprocess.run(
        words, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / shlex.split(copied)[-1]
    assert (folder / "model.safetensors").is_file()
    assert looking.errors == []
    assert {url.partition("#")[0].startswith(served) for url in looking.requested} == {True}


def test_points_appear_while_a_study_runs(look, served, tmp_path):
    code = "import sys; from autodepth import search; search(budget='30trials', study='live', "
    code += f"settings={[*TINY, 'rungs.stages=[]']!r}, runner='in-process')"
    running = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        looking = look(served)
        page = looking.page
        looking.open()  # before there is a study: it appears by itself
        looking.until(COUNT, lambda n: n >= 1, seconds=240)
        first = page.evaluate(COUNT)
        looking.until(COUNT, lambda n: n >= first + 2, seconds=240)
        page.wait_for_selector("#state[data-running='true']")
        assert page.inner_text("#state") == "running"
        assert running.poll() is None  # it still runs: nothing was shown after the fact only
        page.click("#tab-budget")
        page.wait_for_selector("#running td")
        looking.keep("running-budget")
        page.click("#tab-branches")
        looking.drawn("heat")
        page.click("#tab-progress")
        looking.drawn("hypervolume")
        looking.keep("running-hypervolume")
    finally:
        running.kill()
        running.wait()
    page.wait_for_selector("#banner:has-text('autodepth resume live')")
    assert looking.errors == []


@pytest.mark.long
def test_ten_thousand_trials(look, serve, make_large):
    make_large("large", 10_000)
    with serve() as (server, address):
        for _ in range(3):  # a new browser profile each time; on a busy machine the best counts
            looking = look(address)
            page = looking.page
            page.goto(address + "none")  # the browser itself has started, the page has not
            renderers = [p for p in psutil.Process().children(recursive=True) if renders(p)]
            watched = [psutil.Process(server.pid), *renderers]
            before, start = cpu_seconds(watched), time.monotonic()
            looking.open(study="large")
            looking.until(COUNT, lambda n: n == 10_000)
            wall, cpu = time.monotonic() - start, cpu_seconds(watched) - before
            memory = page.context.new_cdp_session(page)
            memory.send("HeapProfiler.collectGarbage")
            heap = memory.send("Runtime.getHeapUsage")
            size = sum(heap[k] for k in ("usedSize", "embedderHeapUsedSize", "backingStorageSize"))
            told = f"{wall:.2f} s, {cpu:.2f} cpu-s, heap {size / 1e6:.1f} MB"
            if min(wall, cpu) < 3:
                break
        looking.keep("large-front").with_suffix(".txt").write_text(told + "\n")

        # The clock tells of others too: server and page take turns, so their work is the time. And
        # where more run than there are cores, the same work takes about twice as long.
        quiet = os.getloadavg()[0] <= (os.cpu_count() or 1)
        assert min(wall, cpu) < (3 if quiet else 6), told
        assert size < 60e6, told
        number = page.evaluate(LOWEST)
        page.mouse.click(*page.evaluate(PLACE, number))
        page.wait_for_selector(f"#trial h2:has-text('Trial {number}')")
        looking.open(study="large", view="settings")
        page.reload()
        page.wait_for_selector("#ranges fieldset")
        looking.keep("large-settings")


def renders(process) -> bool:
    """Whether a process draws pages."""
    try:
        return "--type=renderer" in process.cmdline()
    except psutil.Error:
        return False


def cpu_seconds(processes) -> float:
    """Return what processes have computed so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def test_the_page_recovers_when_the_server_was_away(look, serve, make_study, add):
    folder = make_study("digits", 8, ended=False)
    with DriverLock(folder):
        with serve() as (_, address):
            port = address.rstrip("/").rpartition(":")[2]
            looking = look(address)
            page = looking.page
            looking.open(study="digits")
            looking.until(COUNT, lambda n: n == 8)
            assert page.is_hidden("#banner")
        page.wait_for_selector("#banner:has-text('has not answered since')")
        looking.keep("server-away")
        with Ledger.open(folder.ledger_path) as ledger:
            add(ledger, random.Random(9))
        with serve("--port", port):
            looking.until(COUNT, lambda n: n == 9)
            page.wait_for_selector("#banner", state="hidden")


def test_filters_and_the_chosen_trial_are_shared_by_all_views(look, served, make_study):
    make_study("hybrid", 40)
    make_study("random", 24, sampler="random", seed=5)
    looking = look(served)
    page = looking.page
    looking.open(study="hybrid", view="settings")
    page.wait_for_selector("#ranges fieldset")
    looking.drawn("importance")
    looking.keep("settings")
    box = page.locator("#parallel").bounding_box()
    page.mouse.move(box["x"] + 56, box["y"] + 300)  # p_L, the first axis, from low to half way
    page.mouse.down()
    page.mouse.move(box["x"] + 56, box["y"] + 180, steps=3)
    page.mouse.up()
    page.wait_for_selector("#chips button:has-text('p_L')")
    shown = int(page.inner_text("#shown").split()[0])
    assert 0 < shown < 40
    page.click("#tab-front")
    looking.until(COUNT, lambda n: 0 < n <= shown)
    page.click("#tab-branches")
    looking.drawn("heat")
    rows = page.evaluate("document.getElementById('heat').data[0].y")
    assert sum(int(row.split("(")[1][:-1]) for row in rows) == shown
    page.click("#chips button")
    page.wait_for_selector("#clear", state="hidden")
    # two studies at once: their fronts, and the hypervolume of both
    page.click("#beside summary")
    page.check("#others input[value='random']")
    page.click("#tab-front")
    names = "document.getElementById('front').data.map(t => t.name)"
    looking.until(names, lambda found: "front of random" in found)
    page.select_option("#across", "latency_ms")
    title = "document.getElementById('front').layout.xaxis.title.text"
    looking.until(title, lambda found: found == "latency of one image (ms)")
    looking.keep("compared-front")
    page.click("#tab-progress")
    page.wait_for_selector("#rivalries li:has-text('hybrid against random')")
    looking.keep("compared-hypervolume")
    assert looking.errors == []


def test_the_keyboard_alone_will_do(look, served, make_study):
    make_study("digits", 30)
    looking = look(served)
    page = looking.page
    looking.open(study="digits")
    looking.drawn("front")
    page.focus("#tab-front")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#tab-settings[aria-selected='true']:focus")
    page.keyboard.press("ArrowRight")
    page.focus("#front")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#trial h2")
    first = page.inner_text("#trial h2 >> nth=0")
    page.keyboard.press("ArrowRight")
    looking.until("document.querySelector('#trial h2').textContent", lambda now: now != first)
    page.keyboard.press("Enter")
    page.wait_for_selector("#trial:focus")
    page.keyboard.press("Escape")
    page.wait_for_selector("#trial", state="hidden")
    assert looking.errors == []


@pytest.mark.parametrize("width", [1280, pytest.param(1920, marks=pytest.mark.long), 390])
@pytest.mark.parametrize(
    "dark", [False, pytest.param(True, marks=pytest.mark.long)], ids=["light", "dark"]
)
def test_every_view_is_accessible_and_fits(look, served, make_study, width, dark):
    if not AXE.is_file():
        pytest.skip("needs axe-core: make browser-tools")
    make_study("hybrid", 30)
    make_study("random", 24, sampler="random", seed=5)
    looking = look(served, width, dark=dark)
    page = looking.page
    looking.open(study="hybrid", trial=3)
    page.wait_for_selector("#told:not(:empty)")
    page.wait_for_selector("#trial .strip [title*='inner channels']")
    page.evaluate(AXE.read_text() + "; 0")
    for view, plot in VIEWS.items():
        page.click(f"#tab-{view}")
        looking.drawn(plot)
        looking.judged(view, width, dark=dark)
        assert looking.errors == []


def test_the_figure_begins_where_the_front_is(look, served, make_recorded):
    front = [(0.95, 40_000_000, 4.0), (0.94, 5_000_000, 4.0), (0.80, 1_000_000, 4.0)]
    make_recorded("wide", [*front, (0.10, 20_000_000, 4.0)])
    looking = look(served)
    page = looking.page
    looking.open(study="wide")
    looking.drawn("front")
    drawn = """() => {
        const { xaxis, yaxis } = document.getElementById('front')._fullLayout;
        return [xaxis.type, yaxis.range[0]];
    }"""
    kind, lowest = page.evaluate(drawn)
    assert (kind, 60 < lowest < 80) == ("log", True)  # costs span a factor of 40
    marked = """() => document.getElementById('front').data
        .filter(t => t.name.startsWith('beyond')).map(t => [t.customdata, t.y[0], t.text])"""
    (((number,), at, text),) = page.evaluate(marked)
    assert (number, at > lowest, text) == (3, True, ["10 at 20"])
    page.uncheck("#logarithmic")
    looking.until(drawn, lambda told: told[0] == "linear")
    finding = page.inner_text("#finding")
    assert finding.startswith("The knee: 94.0 %, not yet confirmed on fresh seeds, at 5 M MACs, 1")
    assert "The best: 95.0 %, not yet confirmed on fresh seeds, at 40 M MACs" in finding
    page.click("#finding button")
    page.wait_for_selector("#trial h2:has-text('Trial 1')")
    looking.keep("begins-where-the-front-is")


def test_where_a_network_comes_from_leads_to_those_trials(
    look, served, make_recorded, recorded_result
):
    scratch = {"origin": "scratch"}
    once = {"origin": "member", "base": scratch}
    chain = [
        ({"origin": "scratch"}, scratch, 8_000_000),
        ({"origin": "member", "base": 0}, once, 12_000_000),
        ({"origin": "member", "base": 1}, {"origin": "member", "base": once}, 5_000_000),
    ]
    with Ledger.open(make_recorded("chain", []).ledger_path) as ledger:
        for place, (point, policy, macs) in enumerate(chain):
            number = ledger.start_trial("search", point, policy)
            ledger.complete_trial(number, recorded_result(0.8 + place / 100, macs), 4.0)
    looking = look(served)
    page = looking.page
    looking.open(study="chain", trial=2)
    page.wait_for_selector("#trial .lineage li")
    page.wait_for_selector("#members tbody tr")
    told = page.locator("#trial .lineage li").all_text_contents()
    looking.keep("lineage")

    assert [line.partition(",")[0] for line in told] == [
        "Trial 0 trained from scratch",
        "Trial 1 grown from trial 0",
        "Trial 2 pruned from trial 1",
    ]
    assert told[2].endswith("3 branches gone, 82.0% at 5,000,000 MACs")
    assert page.locator("#members td:last-child").all_text_contents() == ["scratch+2"]
    page.click("#trial .lineage button:has-text('Trial 1')")
    page.wait_for_selector("#trial h2:text-is('Trial 1')")
    assert page.locator("#trial .lineage li").count() == 2
    page.click("#trial .lineage button:has-text('Trial 0')")
    page.wait_for_selector("#trial h2:text-is('Trial 0')")
    assert page.locator("#trial .lineage button").count() == 0
    assert looking.errors == []


def test_what_studies_say_is_text(look, served, make_recorded):
    evil = "<img src=x onerror=document.title='hit'>"
    trials = [(0.9, 40_000_000, 4.0), (0.8, 10_000_000, 4.0), (None, 0, 1.0)]
    folder = make_recorded("evil", trials, ended=evil, data={"name": evil})
    with Ledger.open(folder.ledger_path) as ledger:
        number = ledger.start_trial("search", {"p_L": 0.5, evil: evil}, {evil: evil})
        ledger.end_trial(number, "failed", evil, 1.0)
    looking = look(served)
    page = looking.page
    looking.open(study="evil", trial=number)
    for view in VIEWS:
        page.click(f"#tab-{view}")
        page.locator("#trial li").get_by_text(evil).wait_for()
        page.wait_for_timeout(300)
        assert page.locator("img, a[href^=javascript]").count() == 0
        assert page.title() == "evil · autodepth"
    assert looking.errors == []
