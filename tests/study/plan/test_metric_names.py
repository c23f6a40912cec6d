"""A port for metrics is one that can be had, or the search does not start."""

import socket

import pytest

from autodepth.errors import InputError
from autodepth.records.studies import study_folders
from autodepth.service.search.search import search
from autodepth.study.plan.metric_names import PORT_VARIABLE, check_metrics_port, metrics_port


def test_without_the_variable_there_is_no_port(monkeypatch):
    monkeypatch.delenv(PORT_VARIABLE, raising=False)
    assert metrics_port() is None
    monkeypatch.setenv(PORT_VARIABLE, " ")
    assert metrics_port() is None
    check_metrics_port()


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "91.01"])
def test_what_is_no_port_is_refused_before_anything_starts(text, monkeypatch):
    monkeypatch.setenv(PORT_VARIABLE, text)
    with pytest.raises(InputError, match=r"must be a port in \[1, 65535\], but got"):
        search(budget="1trials", runner="in-process")
    assert list(study_folders()) == []


def test_a_port_that_is_taken_is_refused(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv(PORT_VARIABLE, str(taken.getsockname()[1]))
        with pytest.raises(InputError, match="must be free and ours to take"):
            check_metrics_port()
    check_metrics_port()
