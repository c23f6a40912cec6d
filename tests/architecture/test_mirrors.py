"""Tests mirror the rooms: who looks for the test of a file finds it under the file's name.

A file that decides nothing, such as one of data classes, needs none. What is tested through
another door, a command or a whole network, is listed here with where; the list only gets shorter.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE, TESTS = ROOT / "autodepth", ROOT / "tests"
DECISIONS = (
    ast.If, ast.IfExp, ast.For, ast.While, ast.Try, ast.Match, ast.BoolOp, ast.comprehension,
)  # fmt: skip
MOST_ELSEWHERE = 80
ELSEWHERE = {
    # Commands are typed as a person does.
    "cli/main.py": "cli/test_help.py",
    "cli/networks/bench.py": "cli/test_json.py",
    "cli/networks/export_evaluate.py": "cli/test_json.py",
    "cli/networks/register_push.py": "cli/test_json.py",
    "cli/results/compare.py": "cli/test_json.py",
    "cli/results/dashboard.py": "cli/test_json.py",
    "cli/results/front_studies_sync.py": "cli/test_json.py",
    "cli/results/serve.py": "service/queue/test_queue.py",
    "cli/results/report.py": "cli/test_json.py",
    "cli/results/status_view.py": "cli/results/test_status.py",
    "cli/search/enqueue.py": "cli/test_json.py",
    "cli/search/check_init.py": "cli/test_commands.py",
    "cli/search/search.py": "cli/test_commands.py",
    "cli/search/stop_set.py": "cli/results/test_status.py",
    "cli/supervisor.py": "faults/test_supervisor.py",
    "cli/upkeep/delete.py": "cli/test_json.py",
    "cli/upkeep/doctor.py": "cli/test_json.py",
    "cli/upkeep/fsck.py": "cli/test_json.py",
    "cli/upkeep/save_load.py": "cli/test_json.py",
    "dashboard/explorer.py": "dashboard/test_many_clients.py",
    "data/images.py": "data/test_looking.py",
    "export/bundles/architecture.py": "export/test_stream_widths.py",
    "trial/device/runtimes/formats/executorch_file.py": "export/formats/test_executorch_file.py",
    "trial/device/runtimes/formats/onnx_file.py": "export/test_verification.py",
    "trial/device/runtimes/formats/onnx_session.py": "export/test_verification.py",
    "trial/device/runtimes/formats/torch_program.py": "export/test_verification.py",
    # Networks are read and changed whole.
    "networks/catalogue/libraries/timm_models.py": "networks/catalogue/test_build.py",
    "networks/gates/insertion.py": "networks/test_gate_modes.py",
    "networks/pruning/channels/cut.py": "networks/pruning/channels/test_groups.py",
    "networks/pruning/channels/flow.py": "networks/pruning/channels/test_groups.py",
    "networks/pruning/channels/layers.py": "networks/pruning/channels/test_groups.py",
    "networks/pruning/channels/narrowing.py": "networks/pruning/channels/test_groups.py",
    "networks/pruning/channels/steps.py": "networks/pruning/channels/test_groups.py",
    "networks/pruning/channels/trial.py": "networks/pruning/channels/test_groups.py",
    "networks/pruning/stream_width.py": "networks/pruning/channels/test_stream.py",
    "networks/reading/divergence.py": "networks/reading/test_equality.py",
    "networks/reading/one_run.py": "networks/reading/test_equality.py",
    "networks/reading/value_changes.py": "networks/reading/test_equality.py",
    "networks/running/random_state.py": "networks/tracing/sites/test_own_depth.py",
    "networks/tracing/alignment.py": "networks/tracing/test_tracer.py",
    "networks/tracing/inplace_ops.py": "networks/tracing/test_tracer.py",
    "networks/tracing/merging.py": "networks/tracing/test_tracer.py",
    "networks/tracing/recording.py": "networks/tracing/test_tracer.py",
    "networks/tracing/sites/data_flow.py": "networks/tracing/sites/test_additions.py",
    "networks/tracing/sites/residual_sites.py": "networks/tracing/sites/test_additions.py",
    "networks/tracing/stand_ins.py": "networks/tracing/test_tracer.py",
    "networks/tracing/train_eval.py": "networks/tracing/test_tracer.py",
    "networks/weights/given_weights.py": "networks/weights/test_checkpoint_file.py",
    "networks/weights/keys_in_file.py": "networks/weights/test_checkpoint_file.py",
    "paths.py": "study/test_relative_paths.py",
    "policy/settings.py": "space/sections/test_setting_models.py",
    "records/ledger/database.py": "records/ledger/test_ledger.py",
    "records/mlflow/client.py": "records/mlflow/test_sync.py",
    "records/mlflow/registry.py": "export/test_registering.py",
    "report/figures/front_page.py": "report/figures/test_front_figure.py",
    "report/figures/pdf.py": "report/test_report_page.py",
    "report/figures/sensitivity_figure.py": "cli/networks/test_trial_prune_sensitivity.py",
    "report/study_files.py": "browser/test_mlflow_view.py",
    "service/one_policy/policies.py": "cli/networks/test_trial_prune_sensitivity.py",
    "service/publish/register.py": "export/test_registering.py",
    "service/search/rehearsal.py": "cli/test_formats.py",
    "space/file/yaml_text.py": "space/test_space_properties.py",
    "space/reference.py": "docs/test_docs.py",
    "space/sections/models.py": "space/file/test_space_file.py",
    "space/sections/search_models.py": "space/file/test_space_file.py",
    # A study is run, simulated or real.
    "study/cluster/cluster.py": "study/test_local_cluster.py",
    "study/cluster/environment.py": "study/cluster/test_shutdown.py",
    "study/confirm/scheduler.py": "study/driver/test_driver.py",
    "study/driver/build.py": "study/driver/test_driver.py",
    "study/driver/search_state.py": "study/driver/test_driver.py",
    "study/plan/make_plan.py": "study/test_run.py",
    "study/plan/plan.py": "service/search/test_requests.py",
    "study/plan/timing.py": "study/test_run.py",
    "study/ray/worker.py": "study/ray/test_runner.py",
    "trial/carry_out.py": "study/test_limits.py",
    "trial/context.py": "trial/test_run_trial.py",
    "trial/phases/measuring/measurement.py": "trial/test_run_trial.py",
    "trial/phases/rank_worker.py": "trial/training/test_data_parallel.py",
    "trial/training/state.py": "trial/training/test_checkpoints.py",
}


def mirror(file):
    return TESTS / Path(file).parent / f"test_{Path(file).name}"


def decides(path):
    return any(isinstance(node, DECISIONS) for node in ast.walk(ast.parse(path.read_text())))


def test_every_file_that_decides_something_has_a_test_of_its_name_or_says_where():
    files = [path for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__")]
    named = {str(path.relative_to(PACKAGE)) for path in files if decides(path)}

    assert {file for file in named if not mirror(file).is_file()} == set(ELSEWHERE)


def test_what_is_tested_elsewhere_gets_less():
    assert len(ELSEWHERE) <= MOST_ELSEWHERE


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_where_it_is_said_to_be_tested_there_are_tests(test):
    assert "def test_" in (TESTS / test).read_text()
