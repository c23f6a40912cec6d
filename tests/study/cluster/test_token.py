"""The token of a Ray cluster: made once, read by its owner alone."""

import stat

import pytest

from autodepth.study.cluster.token import keep_token_private


@pytest.fixture(autouse=True)
def _nothing_elsewhere(monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_where_there_is_none_and_stays(tmp_path):
    keep_token_private(tmp_path)
    token = tmp_path / ".ray" / "auth_token"
    first = token.read_text()
    keep_token_private(tmp_path)

    assert len(first) == 64
    assert token.read_text() == first
    assert (rights(token), rights(token.parent)) == (0o600, 0o700)
    assert list(token.parent.iterdir()) == [token]


def test_a_token_that_others_can_read_is_closed_to_them(tmp_path):
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("mine")
    token.chmod(0o644)
    keep_token_private(tmp_path)

    assert (token.read_text(), rights(token)) == ("mine", 0o600)


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_person_who_keeps_it_elsewhere_gets_no_other(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "elsewhere")
    keep_token_private(tmp_path)

    assert not (tmp_path / ".ray").exists()


def test_a_home_that_takes_nothing_is_left_to_ray(tmp_path):
    (tmp_path / ".ray").write_text("a file in the way")
    keep_token_private(tmp_path)

    assert (tmp_path / ".ray").is_file()
