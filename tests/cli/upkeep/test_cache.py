"""`autodepth cache` tells what is kept where, and cleans it up."""

import json

import pytest

from autodepth.trial.cache.cache import StageCache, content_key


def fill(where):
    cache = StageCache(where)
    for number, stage in enumerate(("parent", "parent", "scores", "partial")):
        key = content_key(number=number) + (".000002.partial" if stage == "partial" else "")
        cache.store(key, lambda folder: (folder / "x").write_bytes(bytes(10_000)), kind=stage)
    return cache


def test_an_empty_cache_is_beside_the_studies(run, tmp_path):
    done = run("cache", AUTODEPTH_HOME=str(tmp_path / "studies"))

    assert done.returncode == 0
    assert done.stdout == f"{tmp_path}/studies/cache: empty\n"
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize("scheme", ["", "file://", "async_wrapper::file://"])
def test_entries_and_bytes_are_told_by_stage(run, tmp_path, scheme):
    where = f"{scheme}{tmp_path}/c"
    sizes = {entry.kind: entry.size for entry in fill(where).entries()}

    found = json.loads(run("cache", "--json", AUTODEPTH_CACHE=where).stdout)

    assert found["location"].endswith(f"{tmp_path}/c")
    assert found["limit_bytes"] == 4_000_000_000
    assert found["entries"] == 4
    assert found["bytes"] == 2 * sizes["parent"] + sizes["scores"] + sizes["partial"]
    assert {s: v["entries"] for s, v in found["kinds"].items()} == {
        "parent": 2, "partial": 1, "scores": 1,
    }  # fmt: skip
    assert found["kinds"]["parent"]["bytes"] == 2 * sizes["parent"]
    assert found["last_used"][:2] == "20"
    assert found["freed_bytes"] == 0


def test_a_person_reads_a_table_of_80_columns(run, tmp_path):
    fill(tmp_path / "c")
    done = run("cache", AUTODEPTH_CACHE=str(tmp_path / "c"), AUTODEPTH_CACHE_LIMIT="1GB")
    lines = done.stdout.splitlines()

    assert lines[0].startswith(f"{tmp_path}/c: 4")
    assert lines[0].endswith("kB of at most 1.0 GB")
    assert [line.split()[:2] for line in lines[2:]] == [
        ["parent", "2"], ["partial", "1"], ["scores", "1"],
    ]  # fmt: skip


def test_limit_trims_and_clear_empties(run, tmp_path):
    cache = fill(tmp_path / "c")
    total = sum(entry.size for entry in cache.entries())

    trimmed = json.loads(
        run("cache", "--limit", "25kB", "--json", AUTODEPTH_CACHE=str(tmp_path / "c")).stdout
    )
    assert trimmed["entries"] == 2
    assert trimmed["bytes"] + trimmed["freed_bytes"] == total
    assert {entry.kind for entry in cache.entries()} == {"scores", "partial"}

    done = run("cache", "--clear", AUTODEPTH_CACHE=str(tmp_path / "c"))
    assert done.stdout.startswith("2")
    assert done.stdout.endswith(f" freed\n{tmp_path}/c: empty\n")
    assert cache.entries() == []


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--limit", "3"], {}, "a size must be NUMBER UNIT, for example 4GB or 500MB, but got '3'"),
        (["--clear", "--limit", "1GB"], {}, "at most one of --clear and --limit"),
        ([], {"AUTODEPTH_CACHE_LIMIT": "much"}, "but got 'much'"),
        ([], {"AUTODEPTH_CACHE": "nope://bucket"}, "a cache must be a folder or a URL"),
    ],
)
def test_mistakes_are_told_with_status_2(run, arguments, environment, message):
    done = run("cache", *arguments, **environment)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_cache_that_is_away_is_told_with_status_1(run):
    done = run("cache", AUTODEPTH_CACHE="http://127.0.0.1:9/cache")

    assert done.returncode == 1
    assert "cannot be read" in done.stderr
