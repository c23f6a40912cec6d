"""Networks timed on a board that is reached over ssh: a host of its own at the end of a cable."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import pytest
from cluster.hosts import hosts, run, why_no_hosts
from study.test_places import study

from autodepth.errors import MeasurementError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.resume import resume
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.device.runtimes.runners import open_runner
from autodepth.trial.result import TrialState

pytestmark = pytest.mark.long
# What stands on the board: it times a file, or what it reads, and notes who asked.
BENCH = f"""#!{sys.executable}
import os, sys, time
import numpy, onnxruntime
model = open(sys.argv[1], "rb").read() if sys.argv[1:] else sys.stdin.buffer.read()
with open("asked", "a") as notes:
    print(os.environ["SSH_CONNECTION"].split()[2], len(model), file=notes)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options)
(given,) = session.get_inputs()
images = {{given.name: numpy.zeros(given.shape, dtype=numpy.float32)}}
session.run(None, images)
begun = time.process_time()
for _ in range(20):
    session.run(None, images)
print("board 1.0, 20 passes")
print(1e3 * (time.process_time() - begun) / 20, "ms")
"""
SSHD_USER = "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin"
SSHD = """
HostKey {home}/host_key
AuthorizedKeysFile {home}/desk_key.pub
StrictModes no
UsePAM no
PidFile none
LogLevel ERROR
Subsystem sftp internal-sftp
"""
SSH = """
Host board
  HostName {address}
  User root
  IdentityFile {board}/desk_key
  IdentitiesOnly yes
  UserKnownHostsFile {home}/known_hosts
  StrictHostKeyChecking accept-new
  BatchMode yes
  ConnectTimeout 2
"""


@pytest.fixture(scope="module")
def desk_and_board():
    """Two hosts; sshd and a program that times networks on the second."""
    reason = why_no_hosts()
    if not reason and shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") is None:
        reason = "no sshd here (Debian: apt-get install openssh-server)"
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="adc", dir="/tmp"))
    with hosts(("desk", "board"), folder) as made:
        desk, board = made["desk"], made["board"]
        for key in ("host_key", "desk_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", board.folder / key)
        (board.folder / "sshd_config").write_text(SSHD.format(home=board.folder))
        (board.folder / "bench").write_text(BENCH)
        (board.folder / "bench").chmod(0o755)
        told = {"address": board.address, "board": board.folder, "home": desk.folder}
        (desk.folder / "ssh_config").write_text(SSH.format(**told))
        # The home that root has on the board, and /run, are its own.
        (board.folder / "passwd").write_text(f"root:x:0:0::{board.folder}:/bin/sh\n{SSHD_USER}\n")
        home = f"mount --bind {board.folder}/passwd /etc/passwd"
        begin = f"{home} && mount -t tmpfs none /run && mkdir /run/sshd"
        sshd = f"exec /usr/sbin/sshd -D -e -f {board.folder}/sshd_config"
        board.start("sh", "-c", f"{begin} && {sshd}", output=board.folder / "log")
        _wait(desk, board)
        yield desk, board


def _wait(desk, board):
    for _ in range(60):
        status, text = desk.run("ssh", "-F", str(desk.folder / "ssh_config"), "board", "true")
        if status == 0:
            return
        time.sleep(0.5)
    raise AssertionError(text + (board.folder / "log").read_text())


@pytest.fixture(scope="module")
def network():
    return build_network(NetworkSpec(name="resnet8", channels=1, height=8, width=8))


def typed(desk, command):
    """Return a command as a person at the desk types it, to be run from outside of its network."""
    for program in ("ssh", "scp"):
        there = f"ip netns exec {desk.space} {program} -F {desk.folder}/ssh_config "
        command = command.replace(f"{program} ", there)
    return command


def measured(command, networks, limit="20s"):
    runner = open_runner(LatencySection(on="command", command=command, limit=limit))
    try:
        files = [runner.prepare(network.module, network.input_shape) for network in networks]
        return [found.ms for found in runner.measure(files)], [f.stat().st_size for f in files]
    finally:
        runner.close()


@pytest.mark.parametrize(
    "command",
    [
        "ssh board ./bench < {onnx}",
        "scp -q {onnx} board:n.onnx && ssh board ./bench n.onnx",
        "ssh board ./bench {onnx}",  # both see the folder of temporary files
    ],
)
def test_a_board_times_the_very_files(command, desk_and_board, network):
    desk, board = desk_and_board
    (board.folder / "asked").unlink(missing_ok=True)
    times, sizes = measured(typed(desk, command), [network, network.without([1, 2, 3])])
    asked = [line.split() for line in (board.folder / "asked").read_text().splitlines()]

    assert all(0 < ms < 10_000 for ms in times)
    assert asked == [[board.address, str(size)] for size in sizes]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ssh board 'echo no room >&2; exit 7' # {onnx}", r"ended with status 7: no room$"),
        ("ssh board ./bench {onnx}.none", "ended with status 1: FileNotFoundError.*"),
        ("ssh board echo {onnx} is fast", "must print milliseconds above 0 on its last line"),
        ("ssh board 'timeout 5 sleep 60; echo {onnx}'", "took longer than 2 s"),
        ("ssh board 'yes {onnx}'", "printed more than 65,536 bytes"),
    ],
)
def test_a_board_that_tells_no_time_is_told_as_such_and_left_alone(
    command, said, desk_and_board, network
):
    desk, board = desk_and_board
    with pytest.raises(MeasurementError, match=said):
        measured(typed(desk, command), [network], limit="2s")

    assert desk.processes("ssh") == []
    for _ in range(100):
        if not board.processes("sleep") + board.processes("yes"):
            return
        time.sleep(0.1)
    raise AssertionError("the board goes on with what nobody waits for")


def test_a_cable_that_is_pulled_while_the_board_computes_ends_with_the_limit(
    desk_and_board, network
):
    desk, board = desk_and_board
    pulled = f"ip -n {board.switch} link set {board.port} down"
    command = f"(sleep 1; {pulled}) & " + typed(
        desk, "ssh board 'timeout 9 sleep 8; echo 1 # {onnx}'"
    )
    try:
        begun = time.monotonic()
        with pytest.raises(MeasurementError, match="took longer than 4 s"):
            measured(command, [network], limit="4s")
        assert time.monotonic() - begun < 60
    finally:
        board.join()
    _wait(desk, board)

    assert measured(typed(desk, "ssh board ./bench < {onnx}"), [network])[0][0] > 0


def test_a_study_goes_on_without_its_board_and_with_it_again(desk_and_board):
    desk, board = desk_and_board
    command = typed(desk, "ssh board ./bench < {onnx}")
    go_on = {"own_code": True, "runner": "in-process"}
    study(command, study="boards", budget="2trials")
    board.cut()
    try:
        resume("boards", budget="+2trials", **go_on)
    finally:
        board.join()
    _wait(desk, board)
    resume("boards", budget="+1trials", **go_on)
    with Ledger.open(find_study("boards").ledger_path, read_only=True) as ledger:
        trials, front = ledger.trials(), ledger.front()

    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5
    for trial in trials:
        point = trial.result.point
        if trial.number in {2, 3}:
            assert "ssh: connect to host" in point.unknown["latency_ms@board"]
            assert trial.reason.startswith("latency_ms@board is unknown: ended with status 255")
        else:
            assert point.value("latency_ms@board") > 0
    assert {member.trial for member in front} <= {0, 1, 4}
    assert not broken_invariants(find_study("boards"))
