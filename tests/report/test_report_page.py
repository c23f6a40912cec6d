"""The page of a study opens and prints anywhere, and asks nobody."""

import re
import shutil

import pytest
from report.test_study_report import read

from autodepth.errors import InputError
from autodepth.report.report_page import report_html, write_report


@pytest.mark.long
def test_it_opens_without_a_network_and_prints(folder, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("needs chromium")
    write_report(read(folder), tmp_path / "report.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(offline=True)
        page, asked, wrong = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("#front tbody tr").count() == 2
        assert page.locator("figure svg").count() >= 2
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert [url for url in asked if not url.startswith("file:")] == []
        assert wrong == []
        browser.close()
    write_report(read(folder), tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_without_a_browser_a_pdf_is_refused_with_a_way_out(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"write an \.html file and print it"):
        write_report(read(folder), tmp_path / "report.pdf")


def test_it_asks_no_other_host_and_executes_nothing(folder):
    page = report_html(read(folder))

    assert not re.search(r"<(script|link|iframe|img)\b", page)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "&lt;script&gt;x&lt;/script&gt;" in page


def test_only_a_page_can_be_written(folder, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.html or \.pdf, but got .*report\.docx"):
        write_report(read(folder), tmp_path / "report.docx")
