"""The explorer as a web application: its page over the API, with a guard before both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from autodepth.dashboard.guard import Access, Guard
from autodepth.dashboard.rest.application import rest_application
from autodepth.dashboard.studies import Studies
from autodepth.service.queue.steering import Steering


def explorer(
    access: Access, stopping: Callable[[], bool], steering: Steering | None = None
) -> Guard:
    """Return the application.

    Args:
        access: who may ask.
        stopping: whether the server is about to end; open streams end then.
        steering: what people may do; None serves those who look alone.
    """
    studies = Studies()
    threading.Thread(target=studies.warm, daemon=True).start()
    app = rest_application(studies, stopping, steering)

    @app.get("/plotly.js", include_in_schema=False)
    def _plotly() -> FileResponse:
        import plotly  # noqa: PLC0415 - only where to find its file

        file = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        cached = {"Cache-Control": "private, max-age=3600"}  # 5 MB
        return FileResponse(file, media_type="text/javascript", headers=cached)

    app.mount("/", StaticFiles(directory=explorer_folder(), html=True))
    return Guard(app, access)


def explorer_folder() -> Path:
    """Return the folder of the page: inside the installed package, else the checkout's."""
    package = Path(__file__).parents[1]
    installed = package / "dashboards"
    return (installed if installed.is_dir() else package.parent / "dashboards") / "explorer"
