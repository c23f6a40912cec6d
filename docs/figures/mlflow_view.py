"""Draw docs/mlflow.png: MLflow's own page of the ready-made view of a study that there is.

    python docs/figures/mlflow_view.py STUDY        # needs chromium; half a minute on a free core

The study goes to a server of its own, whose page is waited for as `benchmarks/mlflow_thousand.py`
does.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow_thousand import FLAGS, WAIT_MS, mlflow_server, three_charts  # noqa: E402

from autodepth.records.mlflow.sync import sync_study  # noqa: E402
from autodepth.records.mlflow.views import view_link  # noqa: E402
from autodepth.records.studies import find_study  # noqa: E402
from autodepth.report.study_files import write_study_files  # noqa: E402

_WINDOW = {"width": 1400, "height": 2000}  # MLflow draws what lies within it only
_SHOWN = {"x": 0, "y": 0, "width": 1038, "height": 1530}  # without MLflow's assistant
_SETTLES_MS = 5000  # charts are drawn again once fonts and sizes are there


def draw(study: str, to: Path) -> None:
    """Write a picture of a study's view as PNG."""
    folder = find_study(study)
    with tempfile.TemporaryDirectory() as home, mlflow_server(Path(home)) as (uri, _):
        sync_study(folder, uri, write_study_files)
        experiment = MlflowClient(uri).get_experiment_by_name(folder.name)
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
            page = browser.new_page(viewport=_WINDOW)
            page.set_default_timeout(WAIT_MS)
            page.goto(f"{uri}/{view_link(experiment.experiment_id)}", wait_until="commit")
            three_charts(page)
            page.wait_for_timeout(_SETTLES_MS)
            page.screenshot(path=to, clip=_SHOWN)


if __name__ == "__main__":
    draw(sys.argv[1], ROOT / "docs" / "mlflow.png")
