"""Each outside library is imported in the files named for it, and nowhere on the way to --help."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "autodepth"
DOORS = {
    "executorch": {"export/executorch_file.py"},
    "fsspec": {"trial/remote_store.py"},
    "ray": {
        "search/ray_cluster.py",
        "search/ray_environment.py",
        "search/ray_local.py",
        "search/ray_metrics.py",
        "search/ray_notice.py",
        "search/ray_ranks.py",
        "search/ray_runner.py",
        "search/ray_shutdown.py",
        "search/ray_worker.py",
        "service/jobs.py",
    },
    "onnx": set(),  # torch.onnx needs it, and onnxscript
    "onnxscript": set(),
    "onnxruntime": {"export/onnx_session.py", "export/predict.py"},
    "optuna": {"search/optuna_mirror.py", "search/samplers.py", "search/searcher.py"},
    "huggingface_hub": {"service/pushing.py"},
    "mlflow": {"records/registry.py", "records/tracking.py"},
    "moocore": {"front/hypervolume.py"},
    "plotille": {"cli/tables.py"},
    "ruamel": {"space/yaml_text.py"},
    "scipy": {"front/verdict.py"},
    "sklearn": {"data/sources.py", "report/importance.py"},
    "torchvision": set(),  # by name only, in torchvision_door.py
    "fastapi": {"dashboard/explorer.py"},
    "starlette": {"dashboard/guard.py"},
    "uvicorn": {"dashboard/server.py"},
    "plotly": {
        "dashboard/explorer.py",
        "report/comparison_figure.py",
        "report/front_figure.py",
        "report/front_page.py",
        "report/sensitivity_figure.py",
    },
    "matplotlib": {
        "report/comparison_figure.py",
        "report/sensitivity_figure.py",
        "report/report_figures.py",
    },
}
HEAVY = {
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "mlflow",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "plotly",
    "matplotlib",
    "numpy",
    "scipy",
    "fastapi",
    "uvicorn",
}


def imported_libraries(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(library):
    files = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if library in imported_libraries(file)
    }

    assert files <= DOORS[library]


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["--version"]])
def test_no_heavy_library_is_imported_for_help(arguments):
    code = (
        "import sys; from autodepth.cli.main import main\n"
        f"sys.argv = ['autodepth', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not HEAVY & set(done.stderr.split())
    assert done.stdout


def test_the_training_core_imports_neither_ray_nor_optuna_nor_mlflow():
    code = "import sys, autodepth.trial.run_trial, autodepth.export.bundle; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"ray", "optuna", "mlflow", "torchvision"} & set(done.stdout.split())


def test_the_python_names_are_functions_whatever_was_imported_before():
    code = (
        "from autodepth import load, search; import autodepth, autodepth.search.plan; "
        "print(callable(search), callable(load), callable(autodepth.search))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
