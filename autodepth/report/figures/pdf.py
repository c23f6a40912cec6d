"""A page printed to a PDF file by a browser: no library prints its figures as well."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from autodepth.errors import InputError

_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
)
_SECONDS = 300.0  # a browser's first start on a busy machine


def pdf_of(page: str) -> bytes:
    """Print a page that asks no other host for anything.

    Args:
        page: HTML.

    Raises:
        InputError: there is no Chromium, Chrome or Edge here, or it does not print.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise InputError(
            "a PDF is printed by Chromium, Chrome or Edge, but none of them is installed; write "
            "an .html file and print it from any browser"
        )
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "report.html", Path(place) / "report.pdf"
        source.write_text(page, encoding="utf-8")
        command = [browser, "--headless", "--disable-gpu", "--no-first-run",
                   f"--user-data-dir={place}/profile", "--no-pdf-header-footer",
                   "--disable-background-networking", f"--print-to-pdf={target}"]  # fmt: skip
        if os.geteuid() == 0:  # Chromium's sandbox refuses root; the page has no script
            command.append("--no-sandbox")
        try:
            done = subprocess.run(  # noqa: S603 - a browser that the path names, on our own page
                [*command, source.as_uri()],
                capture_output=True, text=True, timeout=_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise InputError(f"{browser} did not print the page within {_SECONDS:.0f} s") from None
        if not target.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{browser} must print the page, but: {last}")
        return target.read_bytes()
