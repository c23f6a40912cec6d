"""What is answered is what the document says of it."""

import json

from dashboard.servers import serving
from dashboard.test_server import ask
from pydantic import TypeAdapter
from service.queue.queues import TRIALS

from autodepth.dashboard.guard import Access
from autodepth.dashboard.rest import documents

ANSWERS = {
    "studies": list[documents.StudyLine],
    "studies/digits/status": documents.StatusAnswer,
    "studies/digits/front": list[documents.FrontMember],
    "studies/digits/front/columns": documents.ColumnsAnswer,
    "studies/digits/controls": list[documents.Document],
    "studies/digits/trials": documents.TrialsAnswer,
    "studies/digits/trials/1": documents.TrialAnswer,
    "studies/digits/importance": documents.Document,
    "hypervolume?study=digits": documents.Document,
}


def test_answers_are_of_their_models(make_recorded):
    make_recorded("digits", TRIALS)
    with serving(Access(host="127.0.0.1")) as port:
        for path, model in ANSWERS.items():
            response, text = ask(port, f"/api/v1/{path}")
            assert response.status == 200, (path, text)
            told = json.loads(text)
            TypeAdapter(model).validate_python(told)
            if isinstance(told, dict) and not hasattr(model, "__args__"):
                hidden = set(model.model_fields) - set(told)
                assert not hidden, (path, hidden)
