"""Steering from the page: each step asked once, told where it was asked, by people's words."""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager

import pytest
import typer
from browser.test_explorer import AXE
from dashboard.servers import serving
from service.queue.queues import ALICE, BOB, OWNERS, READER, steered

from autodepth.cli.main import app
from autodepth.dashboard.guard import COOKIE, Access, pass_of
from autodepth.records.studies import find_study
from autodepth.service.queue.owners import LOCAL
from autodepth.study.confirm.baselines import ROLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WIDTHS = "#trial .strip [title*='inner channels']"  # told last: the server builds a network for it
CARD = "#works li[data-number='{}']"
VERIFICATION = {
    "compared_with": "the searched network", "inputs": "256 images", "difference": "of a score",
    "files": [{"file": "model.onnx", "tolerance": 1e-4, "differences": {"1": 3e-7, "7": 2e-7}}],
    "int8": None,
}  # fmt: skip


@contextmanager
def queue_of(owners=(LOCAL,)):
    """Give what people steer by, and the page's address; nothing is carried out by itself."""
    with steered(owners) as steering:
        known = () if owners == (LOCAL,) else owners
        access = Access(host="127.0.0.1", owners=known, steers=True)
        with serving(access, steering) as port:
            yield steering, f"http://127.0.0.1:{port}/"


def fill_queue(steering, study):
    """Enter a work of each state; return the export's name."""
    store = steering.store
    asked = {"set": ["network.name=resnet14"], "budget": "4cpu-min"}
    for number, name in enumerate(("first", "second", "third", "fourth")):
        steering._add(LOCAL, "search", name, asked, 0.0)
        if number in {1, 2}:
            steering.pause(LOCAL, name) if number == 1 else steering.stop(LOCAL, name)
    work, _ = steering.export(LOCAL, study, "out", "trial:4", ("torch", "onnx"), "e")
    folder = steering.scheduler.place.export("out")
    folder.mkdir(parents=True)
    (folder / "verification.json").write_text(json.dumps(VERIFICATION))
    store.end(work, "done", None, 0.0)
    failed, _ = steering.confirm(LOCAL, study, 2, ("all",), "c")
    store.end(failed, "failed", "the disk is full", 12.0)
    store.change(1, state="running", slot=0, attempt=2, started_at="2026-01-02T03:04:05+00:00")


def test_only_a_server_that_steers_shows_steps(look, served, make_study):
    make_study("digits", 8)
    looking = look(served)
    looking.open(study="digits", view="queue", trial=2)
    looking.page.wait_for_selector("#trial h2:has-text('Trial 2')")
    assert looking.page.is_visible("#view-front")
    for part in ("#to-queue", "#steps", "#queue"):
        assert looking.page.is_hidden(part)
    assert looking.page.locator("#trial-steps").count() == 0
    looking.page.wait_for_selector(WIDTHS)
    assert not [url for url in looking.requested if "api/v1/queue" in url]
    assert looking.errors == []


def test_a_double_click_and_a_lost_answer_do_a_thing_once(look, make_study):
    make_study("digits", 8)
    with queue_of() as (steering, address):
        looking = look(address)
        page = looking.page
        looking.open(view="queue")
        page.click("#add-search")
        page.fill("#new-search input >> nth=0", "new")
        page.dblclick("text='Queue the search'")
        page.wait_for_selector(CARD.format(1))
        page.click(f"{CARD.format(1)} button:has-text('Pause')")
        page.wait_for_selector(f"{CARD.format(1)} .chip:text-is('paused')")

        lost = []

        def lose(route):  # the server has done it; the answer is lost on its way
            if not lost:
                lost.append(route.fetch().status)
                route.abort()
            else:
                route.continue_()

        page.route("**/budget", lose)
        page.click("#to-study")
        page.click("#steps button:has-text('More budget')")
        page.fill("dialog input", "3cpu-min")
        page.click("text='Add it, and go on'")
        page.wait_for_selector("dialog .problem:has-text('is not done twice')")
        page.click("text='Add it, and go on'")
        page.wait_for_selector("#steps .said:has-text('work 2')")
        kinds = [(work.kind, work.state) for work in steering.store.works()]
        assert (lost, kinds) == ([201], [("search", "paused"), ("resume", "waiting")])


def test_mistakes_are_told_by_line_and_column_while_they_are_made(look, make_study):
    make_study("digits", 8)
    with queue_of() as (steering, address):
        looking = look(address)
        page = looking.page
        looking.open(view="queue")
        page.click("#add-search")
        page.click("text='Copy and change it'")
        area = page.locator("#new-search .lines textarea")
        area.fill(area.input_value().replace("validation: 0.25", "validation: many"))
        page.wait_for_selector("#new-search .mistakes li:has-text('data.validation')")
        page.click("#new-search .mistakes button")
        at = "document.activeElement.value.slice(document.activeElement.selectionStart)"
        assert page.evaluate(at).startswith("many")
        area.fill(area.input_value().replace("validation: many", "validation: 0.25"))
        page.wait_for_selector("#new-search :text('No mistakes.')")
        page.fill("#new-search input >> nth=0", "digits")
        page.click("text='Queue the search'")
        page.wait_for_selector("#new-search .problem:has-text('is taken')")
        assert steering.store.works() == []

        looking.open(study="digits", trial=3)
        page.reload()
        page.wait_for_selector(WIDTHS)
        page.click("#trial-steps button")
        policy = page.locator("dialog textarea")
        text = policy.input_value()
        policy.fill(text.replace(",", "", 1))
        page.wait_for_selector("dialog .mistakes li:has-text('line 3, column 3')")
        assert page.is_disabled("text='Try it'")
        policy.fill(text.replace('"p_L": ', '"p_L": 1'))
        page.wait_for_selector("dialog :text('Changed: p_L')")
        page.click("text='Try it'")
        page.wait_for_selector("dialog .problem:has-text('p_L must be a number in (0, 1]')")
        policy.fill('{"p_L": 0.5}')
        page.click("text='Try it'")
        page.wait_for_selector("#trial-made .made:has-text('waiting')")
        (work,) = steering.store.works()
        assert (work.kind, work.arguments["policy"]["p_L"]) == ("policy", 0.5)


def test_a_study_is_deleted_by_its_name_and_is_gone_elsewhere(look, make_study):
    make_study("digits", 8)
    make_study("other", 8)
    with queue_of() as (_, address):
        one, two = look(address), look(address)
        for looking in (one, two):
            looking.open(study="digits")
            looking.page.wait_for_selector("#steps button:has-text('Delete')")
        one.page.click("#steps button:has-text('Delete')")
        one.page.fill("dialog input", "digit")
        assert one.page.is_disabled("dialog .danger")
        one.page.fill("dialog input", "digits")
        one.page.keyboard.press("Enter")
        for looking in (one, two):
            told = "The study digits is no longer there."
            looking.page.wait_for_selector(f"#banner:has-text('{told}')")
            assert looking.page.locator("#study option").all_text_contents() == ["other"]


@pytest.mark.parametrize(
    "owner", [pytest.param(READER, marks=pytest.mark.long), BOB], ids=["reader", "another"]
)
def test_who_may_not_steer_a_study_sees_its_owner_and_no_step(look, make_study, owner):
    make_study("digits", 8)
    with queue_of(OWNERS) as (steering, address):
        steering._add(ALICE, "search", "digits", {"budget": "1cpu-min"}, 60.0)
        looking = look(address)
        page = looking.page
        cookie = {"name": COOKIE, "value": pass_of(owner.token), "url": address}
        page.context.add_cookies([cookie])
        looking.open(study="digits", trial=2)
        told = "You may look" if owner is READER else "alice steers this study"
        page.wait_for_selector(f"#steps-told:has-text('{told}')")
        page.wait_for_selector(WIDTHS)
        assert page.locator("#steps button:visible, #trial-steps button:visible").count() == 0
        page.click("#to-queue")
        page.wait_for_selector(f"{CARD.format(1)}:has-text('by alice')")
        assert page.locator("#works .steps button:visible").count() == 0
        assert page.is_visible("#add-search") is (owner is BOB)


def test_commands_that_are_shown_are_commands(look, make_study):
    make_study("digits", 8)
    with queue_of() as (_, address):
        page = look(address).page
        page.goto(address)
        told = page.evaluate("""async () => {
            const c = await import("./steering/commands.js");
            return [c.stopping("digits"), c.goingOn("digits"), c.moreBudget("digits", "3cpu-min"),
                c.atATime("digits", 2), c.confirming("digits", 2, ["random removal", "all"]),
                c.deleting("digits"), c.enqueuing("digits"),
                c.exporting("digits", {select: "trial:3", to: "out", formats: ["onnx"]}),
                c.registering("out", "it's"), c.searching({study: "new", budget: "1h",
                    space: "digits_resnet20", settings: ["a={b: 1}"], per_trial: "1cpu",
                    formats: ["torch", "onnx"], seed: 1, concurrency: 2, start_from: "digits"})];
        }""")
        page.click("#steps button:has-text('Confirm')")
        controls = page.locator("dialog input[type='checkbox']")
        assert controls.evaluate_all("boxes => boxes.map(box => box.value)") == list(ROLES)
    group = typer.main.get_command(app)
    for line in told:
        program, name, *words = shlex.split(line)
        assert program == "autodepth"
        group.commands[name].make_context(name, words, resilient_parsing=True)


@pytest.mark.parametrize("width", [1280, pytest.param(1920, marks=pytest.mark.long), 390])
@pytest.mark.parametrize(
    "dark", [False, pytest.param(True, marks=pytest.mark.long)], ids=["light", "dark"]
)
def test_steps_are_accessible_and_fit(look, make_study, width, dark):
    if not AXE.is_file():
        pytest.skip("needs axe-core: make browser-tools")
    make_study("hybrid", 20)
    with queue_of() as (steering, address):
        fill_queue(steering, "hybrid")
        looking = look(address, width, dark=dark)
        page = looking.page
        looking.open(view="queue", study="hybrid", trial=4)
        page.evaluate(AXE.read_text() + "; 0")

        def judged(name):
            looking.judged(f"steps-{name}", width, dark=dark)

        page.wait_for_selector("#ended .export table")
        page.click(f"{CARD.format(1)} summary")
        judged("queue")
        page.click(f"{CARD.format(1)} summary")
        page.click("#add-search")
        page.click("text='Copy and change it'")
        page.fill("#new-search .lines textarea", "version: 1\nnetwork: resnet20\nserch: {}\n")
        page.wait_for_selector("#new-search .mistakes li")
        page.click("text='Data, network, settings and more'")
        judged("new-search")
        page.click("#new-search header button")
        page.click("#to-study")
        page.wait_for_selector("#trial-made .export table")
        page.wait_for_selector(WIDTHS)
        judged("study")
        for button in ("Confirm", "Delete", "Change it and try"):
            page.click(f"button:has-text('{button}')")
            judged(button.split()[0].lower())
            page.keyboard.press("Escape")
            page.wait_for_selector("dialog", state="detached")
        assert page.is_visible("#trial")  # Escape has closed the dialog alone
        assert looking.errors == []


@pytest.mark.long
def test_studies_are_found_again(look, make_study):
    """The first study of an empty folder is shown as soon as it is there."""
    with queue_of() as (steering, address):
        looking = look(address)
        looking.page.goto(address)
        looking.page.wait_for_selector("#works-none")
        make_study("late", 8)
        looking.page.wait_for_selector("#study option[value='late']", state="attached")
        looking.page.click("#to-study")
        looking.page.wait_for_selector("#members tbody tr")
        assert find_study("late").name == "late"
        assert steering.store.works() == []
        assert looking.errors == []
