"""An export that has its name is done, whatever became of its process; drafts are taken away."""

import pytest
from service.queue.queues import TRIALS, steered

from autodepth.service.queue.carrying.exported import status_of_dead_export
from autodepth.service.queue.owners import LOCAL


@pytest.mark.parametrize(
    ("record", "status"),
    [(None, None), ('{"study": "digits"}', 0), ('{"study": "other"}', None), ("[]", None)],
)
def test_one_is_whole_where_its_record_says_of_what_it_is(tmp_path, record, status):
    (tmp_path / ".out.ab12" / "model").mkdir(parents=True)
    (tmp_path / ".outer.ab12").mkdir()
    if record is not None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "record.json").write_text(record)
    assert status_of_dead_export(tmp_path / "out", "digits") == status
    left = [path.name for path in tmp_path.glob(".*")]
    assert left == [".outer.ab12"]


@pytest.mark.parametrize(("whole", "state"), [(True, "done"), (False, "waiting")])
def test_one_whose_process_died_after_its_last_step_is_not_made_again(make_recorded, whole, state):
    make_recorded("digits", TRIALS)
    with steered() as steering:
        steering.export(LOCAL, "digits", "out", "knee", ["torch"], "k")
        steering.store.change(1, state="running", attempt=1)
        if whole:
            folder = steering.scheduler.place.export("out")
            folder.mkdir(parents=True)
            (folder / "record.json").write_text('{"study": "digits"}')
        steering.scheduler._look_at(steering.store.work(1))
        assert steering.store.work(1).state == state
