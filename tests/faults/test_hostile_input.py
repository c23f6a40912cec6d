"""Space files made to do harm: read in one process that notes whatever it is made to do."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = sorted((Path(__file__).parents[1] / "space" / "broken").glob("*.yaml"))
MOST_MEGABYTES = 200
MOST_SECONDS = 10  # of CPU time, for one file

# Runs `autodepth check` on one file after the other, after a sound one that imports what is needed.
WATCHED = """
import json, sys, time
from autodepth.cli.main import main
noted, watching = [], False
ACTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir",
        "subprocess.Popen", "socket.connect", "socket.bind", "pickle.find_class", "ctypes.dlopen")
def note(event, arguments):
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    theirs = event == "compile" and any(word in str(arguments[0]) for word in ("owned", "__mro__"))
    if event in ACTS or writes or theirs:
        noted.append(f"{event} {arguments!r:.120}")
sys.addaudithook(note)
told, took, imported = [], [], set()
for path in sys.argv[1:]:
    sys.argv, begun = ["autodepth", "check", path], time.process_time()
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    told.append(status)
    took.append(time.process_time() - begun)
    imported = imported if watching else set(sys.modules)
    watching = True
noted += [f"import {name}" for name in set(sys.modules) - imported]
(peak,) = [int(line.split()[1]) / 1024 for line in open('/proc/self/status') if 'VmHWM' in line]
print(json.dumps({"status": told, "seconds": took, "noted": noted, "megabytes": peak}))
"""


def bomb(levels=9, width=9):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        refs = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{refs}]")
    return "\n".join(lines).encode()


HOSTILE = {
    "bomb": bomb(),
    "merge_bomb": b"a: &a {x: 1}\nb: &b {<<: [*a, *a, *a]}\nc: {<<: [*b, *b, *b]}\n",
    "deep_flow": b"search: " + b"[" * 100_000,
    "deep_block": b"\n".join(b" " * i + b"a:" for i in range(3_000)),
    "one_long_line": b"search: {" + b"p_L: 0.5, " * 400_000 + b"}",
    "long_scalar": b"network: " + b"x" * 20_000_000,
    "many_keys": b"\n".join(b"k%d: 1" % i for i in range(300_000)),
    "python_object": b"network: !!python/object/apply:os.system ['touch owned']\n",
    "python_name": b"network: !!python/name:os.system\n",
    "python_module": b"network: !!python/module:os\n",
    "ruamel_tag": b"network: !!python/object/new:os.system ['touch owned']\n",
    "expression": b"train:\n  epochs: __import__('os').system('touch owned')\n",
    "format": b"network: '{0.__class__.__mro__}'\n",
    "power": b"train:\n  epochs: 9**9**9\n",
    "nul": b"network: res\x00net20\n",
    "binary": bytes(range(256)) * 64,
    "utf16": "network: resnet20\n".encode("utf-16"),
    "not_utf8": b"network: \xff\xfe\xfa\n",
    "bell": b"network: \x07\x1b[2J\n",
    "own_code": b"network: os:system\n",
    "own_code_dunder": b"network: builtins:__import__\n",
    "traversal": b"data: folder:../../../../etc\n",
    "weights_elsewhere": b"network: {name: resnet20, weights: /etc/passwd}\n",
    "huge_int": b"train: {epochs: " + b"9" * 5_000 + b"}\n",
    "not_a_number": b"train: {learning_rate: .nan}\n",
    "infinite": b"train: {learning_rate: .inf}\n",
    "empty": b"",
}


@contextlib.contextmanager
def without_end(folder):
    """Make files that are too large to read, or have no end; give their paths."""
    with (folder / "huge.yaml").open("wb") as file:
        file.write(b"network: resnet20 #")
        file.truncate(10**9)  # a billion bytes to whoever reads them, a few on the disk
    (folder / "zeros.yaml").symlink_to("/dev/zero")
    os.mkfifo(folder / "silent.yaml")
    os.mkfifo(folder / "pipe.yaml")
    writer = subprocess.Popen(["sh", "-c", "exec yes 'network: resnet20' > pipe.yaml"], cwd=folder)
    try:
        names = ("huge.yaml", "zeros.yaml", "pipe.yaml", "silent.yaml")
        yield [folder / name for name in names]
    finally:
        writer.kill()  # it waits for ever where nobody has read
        writer.wait()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "sound.yaml").write_text("network: resnet20\ndata: digits\n")
    paths = [folder / "sound.yaml", *BROKEN]
    for name, content in HOSTILE.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_bytes(content)
    (folder / "folder.yaml").mkdir()
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    paths += [folder / "folder.yaml", folder / "loop.yaml", folder / "absent.yaml"]
    with without_end(folder) as endless:
        paths += endless
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, *map(str, paths)],
            capture_output=True, text=True, cwd=folder, timeout=240, check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    values = json.loads(done.stdout.splitlines()[-1])
    names = [path.name for path in paths[1:]]
    return {**values, "by_name": dict(zip(names, values["status"][1:], strict=True)),
            "seconds": dict(zip(names, values["seconds"][1:], strict=True)),
            "errors": done.stderr, "folder": folder}  # fmt: skip


def test_there_are_enough_of_them(told):
    assert len(told["by_name"]) >= 60 + len(HOSTILE)


def test_every_one_is_refused_with_status_2_and_no_traceback(told):
    # Empty files and those that only name what another command would look for are no mistakes.
    harmless = {"empty.yaml", "traversal.yaml", "weights_elsewhere.yaml", "own_code.yaml",
                "own_code_dunder.yaml"}  # fmt: skip
    passed = {name for name, status in told["by_name"].items() if status == 0}

    assert passed <= harmless
    assert {status for name, status in told["by_name"].items() if name not in passed} == {2}
    assert "Traceback" not in told["errors"]
    assert "\x1b[2J" not in told["errors"]


def test_nothing_is_run_imported_written_or_called(told):
    assert told["noted"] == []
    assert not (told["folder"] / "owned").exists()


def test_none_of_them_takes_much_memory(told):
    assert told["megabytes"] <= MOST_MEGABYTES


def test_none_of_them_takes_long(told):
    """Row 21: nor does one of a gigabyte, or one that has no end."""
    for name in ("huge.yaml", "zeros.yaml", "pipe.yaml"):
        assert f"{name}:1:1: a space file must be at most 1 MB" in told["errors"].replace("\n", "")
    assert "silent.yaml:1:1: is a pipe that nobody writes to" in told["errors"].replace("\n", "")
    assert max(told["seconds"].values()) <= MOST_SECONDS
