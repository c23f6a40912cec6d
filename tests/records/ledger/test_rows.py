"""Rows of the ledger's tables come back as what was entered, those of old ledgers too."""

import math
import sqlite3

from autodepth.records.ledger.rows import epoch_of

COLUMNS = {
    "trial": 0, "step": 3, "stage": "fine_tune", "train_loss": 0.5, "train_accuracy": 0.75,
    "validation_accuracy": 0.8, "branches_expected": 4.0, "branches_computed": 4.0,
    "gradient_norms": '{"2": 0.25}', "images_per_second": 10.0, "macs": 7, "replayed": 1,
    "seconds": 2.0, "sensitivities": '{"1": -0.5}',
}  # fmt: skip


def row(columns):
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    named = ", ".join(f"? AS {name}" for name in columns)
    return connection.execute(f"SELECT {named}", tuple(columns.values())).fetchone()


def test_an_epoch_has_its_phase_its_branches_by_number_and_its_flag():
    epoch = epoch_of(row(COLUMNS))

    assert (epoch.phase, epoch.step, epoch.macs, epoch.replayed) == ("fine_tune", 3, 7, True)
    assert (epoch.gradient_norms, epoch.sensitivities) == ({2: 0.25}, {1: -0.5})


def test_what_was_not_a_number_is_none_again():
    epoch = epoch_of(row(COLUMNS | {"train_loss": None}))  # as SQLite keeps it

    assert math.isnan(epoch.train_loss)
    assert epoch.train_accuracy == 0.75


def test_a_ledger_of_before_sensitivities_were_told_has_none():
    old = {name: value for name, value in COLUMNS.items() if name != "sensitivities"}

    assert epoch_of(row(old)).sensitivities == {}
