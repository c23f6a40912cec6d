"""Searches carried out by a server that is steered from the page, and dies in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager

import pytest
import requests

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

LONG_MS = 900_000  # a busy machine must not fail a test
SPACE = """version: 1
network: resnet8
data: {name: digits, train_images: 48, validation: 60}
search:
  branches_removed: {type: int, min: 0, max: 2}
  fine_tune_epochs: {type: int, min: 1, max: 6}
train: {epochs: 1}
rungs: {stages: []}
"""


@contextmanager
def serving(folder, port=0):
    """Run `autodepth serve`, and give the process and its address; it dies as by kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-m", "autodepth", "serve", "--slots", "1", "--port", str(port)],
        cwd=folder, env=dict(os.environ), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@contextmanager
def nothing_left(folder, address):
    """Stop, at the end, what is still carried out: searches outlive their server."""
    try:
        yield
    finally:
        try:
            stop_all(f"{address}api/v1/queue")
        except requests.ConnectionError:  # the server is the one that died
            with serving(folder) as (_, again):
                stop_all(f"{again}api/v1/queue")


def stop_all(queue):
    """Stop all work, and wait for its end."""
    while works := requests.get(f"{queue}?unfinished=true", timeout=60).json()["works"]:
        for work in works:
            if work["wanted"] != "stop":
                requests.post(f"{queue}/{work['number']}/stop", timeout=60)
        time.sleep(0.2)


def queue(page, study, budget):
    """Queue a search by the form."""
    page.click("#to-queue")
    page.click("#add-search")
    page.click("text='Copy and change it'")
    page.fill("#new-search .lines textarea", SPACE)
    page.wait_for_selector("#new-search :text('No mistakes.')")
    page.fill("#new-search input >> nth=0", study)
    page.fill("#new-search input >> nth=1", budget)
    page.click("text='Queue the search'")


def state_is(page, number, state):
    """Wait until a work is told to be in a state."""
    card = f".work[data-number='{number}'] .chip:text-is('{state}')"
    page.wait_for_selector(card)


def test_a_search_is_queued_seen_running_and_stopped_in_two_browsers(look, tmp_path):
    with serving(tmp_path) as (_, address), nothing_left(tmp_path, address):
        one, two = look(address), look(address)
        for looking in (one, two):
            looking.page.set_default_timeout(LONG_MS)
            looking.page.goto(address)
        queue(one.page, "small", "500trials")
        for looking in (one, two):
            state_is(looking.page, 1, "running")
        two.page.wait_for_selector(
            "#study option[value='small']", state="attached", timeout=LONG_MS
        )
        two.page.click(".work button.link")
        two.page.wait_for_selector("#steps button:text-is('Stop')")
        two.page.click("#steps button:text-is('Stop')")
        two.page.wait_for_selector("#steps-told:has-text('stopping')")
        state_is(one.page, 1, "stopped")
        two.page.wait_for_selector("#steps button:text-is('Go on')")
        # What has ended is folded away.
        told = one.page.text_content("#ended code.command >> nth=0")
        assert "autodepth search --study=small" in told
        assert one.errors == two.errors == []


@pytest.mark.long
def test_a_study_is_steered_to_its_export_by_a_server_that_dies(  # noqa: PLR0915 - one story
    look, tmp_path
):
    with serving(tmp_path) as (first, address), nothing_left(tmp_path, address):
        port = address.rstrip("/").rpartition(":")[2]
        looking, other = look(address), look(address)
        page = looking.page
        for each in (looking, other):
            each.page.set_default_timeout(LONG_MS)
            each.page.goto(address)
        queue(page, "whole", "14trials")
        state_is(page, 1, "running")
        page.click(".work[data-number='1'] button:text-is('Pause')")
        for each in (looking, other):
            state_is(each.page, 1, "paused")
        page.click(".work[data-number='1'] button:text-is('Go on')")
        state_is(page, 1, "running")
        first.kill()
        first.wait()
        page.wait_for_selector("#banner:has-text('has not answered since')")
        looking.keep("served-away")
        with serving(tmp_path, port) as (second, _):
            page.wait_for_selector("#banner", state="hidden")
            for each in (looking, other):
                state_is(each.page, 1, "done")

            page.click(".work[data-number='1'] button.link")
            page.click("#steps button:has-text('More budget')")
            page.fill("dialog input", "2trials")
            page.click("text='Add it, and go on'")
            state_is(other.page, 2, "done")
            page.click("#members tbody button >> nth=0")
            page.click("#trial-steps button:has-text('Change it and try')")
            area = page.locator("dialog textarea")
            area.fill(area.input_value().replace('"fine_tune_epochs": ', '"fine_tune_epochs": 1'))
            page.wait_for_selector("dialog :text('Changed: fine_tune_epochs')")
            page.click("text='Try it'")
            page.wait_for_selector("#trial-made .made:has-text('work 3')")
            second.kill()
            second.wait()
        with serving(tmp_path, port) as (third, _):
            state_is(other.page, 3, "done")
            page.click("#steps button:has-text('Confirm')")
            page.fill("dialog input[type='number']", "1")
            page.check("dialog input[value='random removal']")
            page.click("text='Confirm it'")
            state_is(other.page, 4, "running")
            third.kill()
            third.wait()
        with serving(tmp_path, port):
            state_is(other.page, 4, "done")
            page.click("#members tbody button >> nth=0")
            page.click("#trial-steps button:has-text('Export')")
            page.click("text='Export it'")
            state_is(other.page, 5, "done")
            page.wait_for_selector("#trial-made .export td:has-text('the same')")
            looking.keep("served-exported")
            with page.expect_download() as download:
                page.click("#trial-made .export a")
            download.value.save_as(tmp_path / "whole.zip")
            with zipfile.ZipFile(tmp_path / "whole.zip") as archive:
                names = [name.partition("/")[2] for name in archive.namelist()]
            assert {"model.safetensors", "model.onnx", "verification.json"} <= set(names)

            page.click("#to-queue")
            looking.keep("served-queue")
            with Ledger.open(find_study("whole").ledger_path, read_only=True) as ledger:
                trials = ledger.trials()
            by_hand = [trial for trial in trials if trial.role.startswith("by hand")]
            searched = [t for t in trials if t.kind == "search" and t not in by_hand]
            assert len(by_hand) == 1
            assert len([t for t in searched if t.state.value == "complete"]) <= 16
            works = requests.get(f"{address}api/v1/queue", timeout=60).json()["works"]
            assert [work["kind"] for work in works] == [
                "search", "resume", "policy", "confirm", "export",
            ]  # fmt: skip
