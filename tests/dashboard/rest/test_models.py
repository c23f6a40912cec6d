"""What is asked over REST is read strictly."""

import pytest
from pydantic import ValidationError
from service.queue.queues import steered

from autodepth.dashboard.rest import models
from autodepth.service.queue.owners import LOCAL
from autodepth.service.queue.wishes import SearchWish


def test_a_search_is_the_wish_that_it_says():
    asked = models.SearchRequest.model_validate(
        {"study": "a", "budget": "1h", "settings": ["seed=3"], "formats": ["onnx"], "seed": 3}
    )
    assert asked.wish() == SearchWish(
        study="a", budget="1h", settings=["seed=3"], formats=["onnx"], seed=3
    )
    assert set(models.SearchRequest.model_fields) == set(SearchWish.__dataclass_fields__)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (models.SearchRequest, {"study": "a", "budget": "1h", "more": 1}),
        (models.SearchRequest, {"study": "a b", "budget": "1h"}),
        (models.SearchRequest, {"study": "a\n", "budget": "1h"}),
        (models.SearchRequest, {"study": "a", "budget": "1h\x00"}),
        (models.SearchRequest, {"study": "a", "budget": "1h", "data": "\ud800"}),
        (models.SearchRequest, {"study": "a", "budget": "1h", "seed": "3"}),
        (models.SearchRequest, {"study": "a", "budget": "1h", "formats": ["tflite"]}),
        (models.ConcurrencyRequest, {"trials": 0}),
        (models.ConcurrencyRequest, {"trials": 1.5}),
        (models.ConfirmRequest, {"seeds": 1000}),
        (models.ExportRequest, {"to": "../x"}),
        (models.PolicyRequest, {"policy": []}),
    ],
)
def test_what_is_not_asked_like_that_is_refused(model, told):
    with pytest.raises(ValidationError):
        model.model_validate(told)


def test_a_work_is_told_with_its_command():
    with steered() as steering:
        work, _ = steering.search(LOCAL, SearchWish(study="a", budget="1h"), "k")
        told = models.WorkAnswer.of(work, steering.scheduler.place, 0)
    assert told.command.startswith("autodepth search --study=a --budget=1h ")
    assert (told.place, told.answer, told.state) == (0, None, "waiting")
    assert set(work.to_dict()) <= set(models.WorkAnswer.model_fields)
