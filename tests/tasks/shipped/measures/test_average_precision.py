"""Mean average precision, against numbers worked out by hand."""

import sys

import pytest
import torch

from autodepth.errors import TaskError
from autodepth.tasks.shipped.measures.average_precision import AveragePrecision, check_installed


def boxes(*rows, scores=None):
    found = {
        "boxes": torch.tensor([row[:4] for row in rows], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([row[4] for row in rows], dtype=torch.int64),
    }
    return found if scores is None else {**found, "scores": torch.tensor(scores)}


def test_boxes_as_they_are_have_all_of_it():
    meter = AveragePrecision(2)
    there = [boxes((0, 0, 10, 10, 1)), boxes((5, 5, 9, 9, 2), (20, 20, 40, 40, 1))]
    found = [
        boxes((0, 0, 10, 10, 1), scores=[0.9]),
        boxes((5, 5, 9, 9, 2), (20, 20, 40, 40, 1), scores=[0.3, 0.6]),
    ]
    meter.update(found, there)

    assert meter.compute() == {"map": pytest.approx(1.0), "map_50": pytest.approx(1.0)}


def test_an_overlap_of_nine_tenths_counts_at_nine_of_ten_thresholds():
    meter = AveragePrecision(1)
    meter.update([boxes((0, 0, 10, 9.2, 1), scores=[0.5])], [boxes((0, 0, 10, 10, 1))])

    assert meter.compute() == {"map": pytest.approx(0.9), "map_50": pytest.approx(1.0)}


def test_a_false_box_of_a_higher_score_halves_precision():
    meter = AveragePrecision(1)
    meter.update(
        [boxes((50, 50, 60, 60, 1), (0, 0, 10, 10, 1), scores=[0.9, 0.5])],
        [boxes((0, 0, 10, 10, 1))],
    )

    assert meter.compute()["map_50"] == pytest.approx(0.5)


def test_of_another_class_nothing_is_right_and_of_none_there_is_no_error():
    meter = AveragePrecision(2)
    meter.update([boxes((0, 0, 10, 10, 2), scores=[0.9])], [boxes((0, 0, 10, 10, 1))])
    assert meter.compute()["map"] == 0.0

    empty = AveragePrecision(2)
    empty.update([boxes(scores=[])], [boxes((0, 0, 10, 10, 1))])
    assert empty.compute() == {"map": 0.0, "map_50": 0.0}


def test_what_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    with pytest.raises(TaskError, match=r"autodepth\[detection\]"):
        check_installed()
