"""Carries trials out one after the other in this process: for tests, and for one device."""

from __future__ import annotations

from functools import partial

from autodepth.study.driver.driver import StudyDriver
from autodepth.trial.carry_out import StopTrial, carry_out
from autodepth.trial.context import TrialContext
from autodepth.trial.result import EpochReport


def run_in_process(driver: StudyDriver, context: TrialContext) -> None:
    """Run trials until the driver has no more."""
    driver.meter.start()
    while (task := driver.next_task()) is not None:

        def on_epoch(report: EpochReport, number: int = task.number) -> None:
            driver.report(number, report)
            if driver.should_stop(number):
                raise StopTrial

        try:
            outcome = carry_out(task, context, on_epoch, partial(driver.begun_again, task.number))
        except StopTrial:
            outcome = driver.ending(task.number)
        driver.ended(task.number, outcome)
