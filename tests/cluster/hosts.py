"""Hosts on one machine: network namespaces at one bridge, each with its own Ray."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

VENV = Path(sys.executable).parent
SLOW_LINK = Path(__file__).with_name("slow_link.py")
NET = "10.77.0"  # inside the namespaces only
TOKEN = "canary-8f1d4c"
# Lower than Ray's own, or a host that is cut off is missed for a minute; a busy machine needs more.
HEALTH = {
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "3",
}


def run(*command: str | Path, check: bool = True) -> str:
    """Run a command and return what it printed."""
    words = list(map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if check and done.returncode:
        raise AssertionError(f"{command} exited with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def why_no_hosts() -> str:
    """Say why this machine cannot have hosts of its own; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2's `ip`"
    name = f"adc{os.getpid()}t"
    try:
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "add", "br0", "type", "bridge")
    except AssertionError as error:
        return f"no network namespaces with a bridge here: {error}"
    finally:
        run("ip", "netns", "del", name, check=False)
    return ""


@dataclass
class Host:
    """One namespace with an address.

    Args:
        space: name of the namespace.
        port: its end of the cable in the switch's namespace.
        address: its IPv4 address.
        folder: its home; short, since Ray keeps sockets below.
        private: a folder that every host has for itself.
    """

    space: str
    switch: str
    port: str
    address: str
    folder: Path
    private: Path
    started: list[subprocess.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "AUTODEPTH"))},
            **HEALTH,
            "PATH": f"{VENV}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "80",
        }

    def start(self, *command: str, output: Path | int = subprocess.PIPE, **environment: str):
        """Start a command on this host; what it writes goes to one place."""
        private = f"mount -t tmpfs none {self.private} && exec "
        line = ["ip", "netns", "exec", self.space, "sh", "-c", private + '"$@"', "sh", *command]
        with output.open("w") if isinstance(output, Path) else contextlib.nullcontext(output) as to:
            process = subprocess.Popen(
                line, stdout=to, stderr=subprocess.STDOUT, text=True, cwd=self.folder,
                env={**self.environment, **environment}, start_new_session=True,
            )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *command: str, timeout: float = 900, **environment: str) -> tuple[int, str]:
        """Run a command on this host; return its exit status and what it wrote."""
        process = self.start(*command, **environment)
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{command} did not end: {process.communicate()[0]}") from None
        return process.returncode, text

    def processes(self, name: str) -> list[int]:
        """Return the processes of this host with a name."""
        found = []
        for pid in map(int, run("ip", "netns", "pids", self.space).split()):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    found.append(pid)
        return found

    def cut(self) -> None:
        run("ip", "-n", self.switch, "link", "set", self.port, "down")

    def join(self) -> None:
        run("ip", "-n", self.switch, "link", "set", self.port, "up")

    @contextlib.contextmanager
    def slow(self, *, delay: float, loss: float) -> Iterator[dict[str, int]]:
        """Put a slow and lossy link between this host and the switch; its counts come at the end.

        Args:
            delay: seconds that each frame takes more, each way.
            loss: share of frames that never arrive, each way.
        """
        near, far, counts = f"{self.port}n", f"{self.port}f", {}
        ip = ("ip", "-n", self.switch, "link")
        run(*ip, "add", near, "type", "veth", "peer", "name", far)
        run(*ip, "set", far, "master", "br0", "up")
        run(*ip, "set", near, "up")
        run(*ip, "set", self.port, "nomaster")
        link = subprocess.Popen(
            ["ip", "netns", "exec", self.switch, sys.executable, SLOW_LINK, self.port, near,
             str(delay), str(loss)], stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield counts
        finally:
            link.terminate()
            _, said = link.communicate(timeout=60)
            run(*ip, "set", self.port, "master", "br0")
            run(*ip, "delete", near)
        counts["came"], counts["lost"] = map(int, said.split())

    def kill_all(self) -> None:
        """End every process of this host, whoever started it."""
        self._kill_all()
        for process in self.started:
            process.wait(30)

    def _kill_all(self) -> None:
        for _ in range(20):
            pids = run("ip", "netns", "pids", self.space, check=False).split()
            for pid in map(int, pids):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids:
                return
            time.sleep(0.5)


@contextlib.contextmanager
def hosts(names: tuple[str, ...], folder: Path) -> Iterator[dict[str, Host]]:
    """Make hosts that reach each other and nothing else; all their processes end with them."""
    prefix = f"adc{os.getpid()}"
    switch, private = f"{prefix}s", folder / "private"
    private.mkdir()
    made: dict[str, Host] = {}
    try:
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(names, start=1):
            space, port = f"{prefix}{name}", f"p{number}"
            home = folder / name
            home.mkdir()
            run("ip", "netns", "add", space)
            made[name] = Host(space, switch, port, f"{NET}.{number}", home, private)
            run("ip", "-n", switch, "link", "add", port, "type", "veth",
                "peer", "name", "eth0", "netns", space)  # fmt: skip
            run("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
            run("ip", "-n", space, "address", "add", f"{NET}.{number}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "lo", "up")
            run("ip", "-n", space, "link", "set", "eth0", "up")
        yield made
    finally:
        for host in made.values():
            host.kill_all()
            run("ip", "netns", "del", host.space, check=False)
        run("ip", "netns", "del", switch, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def start_head(host: Host) -> None:
    """Start Ray's head, which runs drivers and no trials."""
    _ray(host, "--head", "--port", "6379", "--dashboard-host", host.address, "--num-cpus", "0",
         "--include-dashboard", "true", "--temp-dir", str(host.folder / "r"))  # fmt: skip


def start_worker(host: Host, head: Host) -> None:
    """Start a worker node with one CPU; a temporary folder of its own each time."""
    number = len(list(host.folder.glob("r*")))
    _ray(host, "--address", f"{head.address}:6379", "--num-cpus", "1",
         "--temp-dir", str(host.folder / f"r{number}"))  # fmt: skip


def _ray(host: Host, *options: str) -> None:
    log = host.folder / "ray.log"
    process = host.start(
        "ray", "start", "--node-ip-address", host.address, "--object-store-memory", "80000000",
        "--disable-usage-stats", *options, output=log,
    )  # fmt: skip
    status = process.wait(300)
    assert status == 0, log.read_text()
