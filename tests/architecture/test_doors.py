"""Each outside library is imported in the files named for it, and nowhere on the way to --help."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "autodepth"
DOORS = {
    "executorch": {"trial/device/runtimes/formats/executorch_file.py"},
    "pycocotools": {"tasks/shipped/measures/average_precision.py"},
    "transformers": set(),  # by name only, in networks/catalogue/libraries/hf_models.py
    "timm": set(),  # likewise, in timm_models.py there
    "torchmetrics": set(),  # likewise, in tasks/shipped/measures/of_classes.py
    "datasets": set(),  # likewise, in data/reading/hub_images.py
    "fsspec": {"trial/cache/remote.py"},
    "ray": {
        "study/cluster/cluster.py",
        "study/cluster/environment.py",
        "study/ray/local.py",
        "study/ray/metrics.py",
        "study/ray/preemption.py",
        "study/ray/worker_group.py",
        "study/ray/runner.py",
        "study/cluster/shutdown.py",
        "study/ray/worker.py",
        "service/jobs/jobs.py",
    },
    "onnx": set(),  # torch.onnx needs it, and onnxscript
    "onnxscript": set(),
    "onnxruntime": {"trial/device/runtimes/formats/onnx_session.py", "export/formats/predict.py"},
    "openvino": {"trial/device/runtimes/formats/openvino_model.py"},
    "optuna": {
        "study/propose/sampling/optuna_export.py",
        "study/propose/sampling/samplers.py",
        "study/propose/sampling/optuna_sampler.py",
    },
    "huggingface_hub": {"networks/catalogue/libraries/hub_files.py", "service/publish/push.py"},
    "mlflow": {
        "records/mlflow/registry.py",
        "records/mlflow/client.py",
        "records/mlflow/store.py",
    },
    "apprise": {"service/notify/places.py"},
    "requests": {"client.py", "service/notify/places.py"},
    "mcp": {"service/agents/server.py"},
    "moocore": {"front/hypervolume.py"},
    "plotille": {"cli/tables.py"},
    "ruamel": {"space/file/yaml_text.py"},
    "scipy": {
        "front/verdict.py",
        "policy/choosing/variants.py",
        "study/plan/budget.py",
        "trial/device/latency.py",
    },
    "sklearn": {
        "data/reading/sources.py",
        "report/analysis/importance.py",
        "study/propose/predict/accuracy_model.py",
    },
    "torchvision": set(),  # by name only, in torchvision_door.py
    "fastapi": {
        "dashboard/explorer.py",
        "dashboard/rest/application.py",
        "dashboard/rest/events.py",
        "dashboard/rest/reading.py",
        "dashboard/rest/steering.py",
    },
    "starlette": {"dashboard/guard.py"},
    "uvicorn": {"dashboard/server.py"},
    "plotly": {
        "dashboard/explorer.py",
        "report/figures/comparison_figure.py",
        "report/figures/front_figure.py",
        "report/figures/front_page.py",
        "report/figures/sensitivity_figure.py",
    },
    "matplotlib": {
        "report/figures/comparison_figure.py",
        "report/figures/sensitivity_figure.py",
        "report/figures/report_figures.py",
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


@pytest.fixture(scope="module")
def imports():
    """What every file of the package imports."""
    return {
        str(file.relative_to(PACKAGE)): set(imported_libraries(file))
        for file in PACKAGE.rglob("*.py")
    }


@pytest.mark.parametrize("library", DOORS)
def test_a_library_has_one_door(imports, library):
    files = {file for file, libraries in imports.items() if library in libraries}

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
    code = (
        "import sys, autodepth.trial.run_trial, autodepth.export.bundles.bundle; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not {"ray", "optuna", "mlflow", "torchvision"} & set(done.stdout.split())


def test_whoever_is_told_by_nobody_waits_for_no_http_library():
    code = "import sys, autodepth.service.search.search; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "requests" not in done.stdout.split()


def test_the_python_names_are_functions_whatever_was_imported_before():
    code = (
        "from autodepth import load, search; import autodepth, autodepth.study.plan.plan; "
        "print(callable(search), callable(load), callable(autodepth.search))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
