"""What classes are measured by, against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, recall_score, roc_auc_score, top_k_accuracy_score

from autodepth.errors import TaskError
from autodepth.space.sections.task_section import CLASS_METRICS
from autodepth.tasks.classification import Classification
from autodepth.tasks.shipped.measures.of_classes import ClassMeasures, class_measures

CLASSES = [*"abcdef", "old car"]
ASKED = (*CLASS_METRICS, "accuracy_of_old_car", "accuracy_of_b")


@pytest.fixture(scope="module")
def answers():
    """Return scores [90, 7] that know a little, and labels [90] in which every class is."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(90) % 7
    scores = 2 * torch.rand(90, 7, generator=generator)
    scores[torch.arange(90), labels] += 0.7
    return scores, labels


def test_all_of_them_are_those_of_scikit_learn(answers):
    scores, labels = answers
    meter = Classification(measures=ClassMeasures(ASKED, CLASSES)).meter()
    for part in (slice(0, 40), slice(40, 90)):
        meter.update(scores[part], labels[part])
    found = meter.compute()
    shares, told = scores.softmax(1).numpy(), scores.argmax(1).numpy()
    of_class = recall_score(labels, told, average=None)

    assert list(found) == ["accuracy", *ASKED]
    assert found == pytest.approx(
        {
            "accuracy": (told == labels.numpy()).mean(),
            "top5": top_k_accuracy_score(labels, shares, k=5),
            "macro_f1": f1_score(labels, told, average="macro"),
            "auroc": roc_auc_score(labels, shares, multi_class="ovr", average="macro"),
            "class_accuracy": of_class.mean(),
            "worst_class_accuracy": of_class.min(),
            "accuracy_of_old_car": of_class[6],
            "accuracy_of_b": of_class[1],
        },
        abs=1e-6,
    )


def test_a_class_without_examples_counts_for_nothing(answers):
    scores, labels = answers
    there = labels != 3
    meter = ClassMeasures(("class_accuracy", "accuracy_of_d"), CLASSES).meter()
    meter.update(scores[there], labels[there])
    found = meter.compute()

    of_class = recall_score(
        labels[there], scores[there].argmax(1), average=None, labels=range(7), zero_division=0
    )
    assert found["class_accuracy"] == pytest.approx(np.delete(of_class, 3).mean())
    assert found["accuracy_of_d"] == 0.0


def test_where_nothing_is_asked_for_there_is_nothing():
    assert class_measures({}, CLASSES) is None
    assert list(Classification().metrics) == ["accuracy"]
    assert not Classification().tells_metrics
    assert Classification(measures=class_measures({"metrics": ["top5"]}, CLASSES)).tells_metrics


def test_a_class_that_is_not_there_is_told():
    with pytest.raises(
        TaskError, match="is the accuracy of no class, did you mean 'accuracy_of_old"
    ):
        ClassMeasures(("accuracy_of_oldcar",), CLASSES)


def test_torchmetrics_is_an_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics.classification", None)

    with pytest.raises(TaskError, match=r"pip install 'autodepth\[metrics\]'"):
        ClassMeasures(("top5",), CLASSES)
