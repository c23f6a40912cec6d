"""`autodepth`: registers the commands, and turns errors into one message and an exit status.

Exit status: 0 done, 1 failed, 2 what was written cannot be used, 3 the budget ended before any
point was found, 69 a local Ray does not start, 74 what is to be written to is full or read-only,
75 another process drives the study, 77 a Ray cluster wants another token, 130 interrupted by
Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import errno
import logging
import os
import sys

import typer

from autodepth.atomic import NO_ROOM
from autodepth.cli.console import Bars, say
from autodepth.cli.networks.bench import bench
from autodepth.cli.networks.export_evaluate import evaluate, export
from autodepth.cli.networks.inspect import inspect
from autodepth.cli.networks.register_push import push, register
from autodepth.cli.networks.trial_prune_sensitivity import prune, sensitivity, trial
from autodepth.cli.results.compare import compare
from autodepth.cli.results.dashboard import dashboard
from autodepth.cli.results.front_studies_sync import front, studies, sync
from autodepth.cli.results.mlflow import mlflow
from autodepth.cli.results.report import report
from autodepth.cli.results.serve import serve
from autodepth.cli.results.status import status
from autodepth.cli.search.check_init import check, init
from autodepth.cli.search.controls_importance import confirm, controls, importance
from autodepth.cli.search.enqueue import enqueue
from autodepth.cli.search.search import resume, search
from autodepth.cli.search.stop_set import set_running, stop
from autodepth.cli.search.submit_jobs import jobs, submit
from autodepth.cli.upkeep.cache import cache
from autodepth.cli.upkeep.delete import delete
from autodepth.cli.upkeep.doctor import doctor
from autodepth.cli.upkeep.fsck import fsck
from autodepth.cli.upkeep.mcp import mcp
from autodepth.cli.upkeep.save_load import load, save
from autodepth.errors import (
    AccessError,
    AutodepthError,
    InputError,
    RayStartError,
    StorageError,
    StudyInUseError,
)
from autodepth.long_work import shown_by
from autodepth.version import __version__

app = typer.Typer(
    name="autodepth",
    help="Find how shallow a residual network can be, at what accuracy, within a budget.",
    epilog="Start with: autodepth search --budget 4cpu-min",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(search, resume, init, check, inspect, sensitivity, trial, prune),
    *(studies, status, front, confirm, controls, importance, compare),
    *(dashboard, serve, mlflow, report),
    *(submit, jobs, mcp),
    *(
        export,
        evaluate,
        bench,
        register,
        push,
        sync,
        stop,
        enqueue,
        save,
        load,
        delete,
        cache,
        fsck,
        doctor,
    ),
):
    # Typer shows an epilog apart; the docstring's last paragraph is the worked example.
    app.command()(command)
app.command("set")(set_running)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False,  # noqa: FBT003
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Print the version.",
    ),
) -> None:
    """Find how shallow a residual network can be, at what accuracy, within a budget."""


def main() -> None:
    """Run the command line; errors a person can mend are one message, not a traceback."""
    if os.environ.get("COLUMNS") == "0":  # a terminal without a size: Rich would print nothing
        del os.environ["COLUMNS"]
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for name in ("ray", "mlflow", "alembic", "optuna", "matplotlib", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with shown_by(Bars().show):
            app(prog_name="autodepth")
    except AutodepthError as error:
        say(f"error: {error}")
        sys.exit(_status(error))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has left, as `| head` does.
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            say(f"error: a path must be shorter than that: {error.filename}")
            sys.exit(2)
        if error.errno not in NO_ROOM:
            raise
        say(f"error: what is written needs room, but {error.filename}: {error.strerror}")
        sys.exit(os.EX_IOERR)


def _status(error: AutodepthError) -> int:
    if isinstance(error, StudyInUseError):
        return os.EX_TEMPFAIL
    if isinstance(error, AccessError):
        return os.EX_NOPERM
    if isinstance(error, RayStartError):
        return os.EX_UNAVAILABLE
    if isinstance(error, StorageError):
        return os.EX_IOERR
    return 2 if isinstance(error, InputError) else 1
