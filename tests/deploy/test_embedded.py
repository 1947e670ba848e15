"""Embedded servers: they do not collide, and they leave nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.embedded.data import DataFolder
from deploy.embedded.ports import GRPC_OFFSET, free_ports, is_free, listen
from deploy.embedded.process import Process, StartError
from deploy.embedded.servers import start_seaweedfs, start_valkey
from deploy.embedded.stack import Stack

STARTS_SECONDS = 90.0


def until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | descendants(child)
    return found


# -- data folders -------------------------------------------------------------------------------


def test_a_folder_belongs_to_one_stack_at_a_time(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "data"):
        with pytest.raises(StartError, match=r"another Impasto uses .*data: .*--data"):
            DataFolder(tmp_path / "data")
        with DataFolder(tmp_path / "other") as other:
            assert other.logs.is_dir()
    with DataFolder(tmp_path / "data"):  # and then to the next
        pass


def test_stacks_side_by_side_take_the_next_free_folder(tmp_path: Path) -> None:
    with DataFolder.first_free(tmp_path) as first, DataFolder.first_free(tmp_path) as second:
        assert (first.path, second.path) == (tmp_path / "1", tmp_path / "2")
        first.__exit__()
        with DataFolder.first_free(tmp_path) as third:
            assert third.path == tmp_path / "1"  # its jobs are found again


def test_a_folder_is_free_again_when_its_process_was_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from deploy.embedded.data import DataFolder\n"
        "folder = DataFolder(Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StartError):
            DataFolder(tmp_path)
        holder.kill()
    with DataFolder(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="file"):
        DataFolder(tmp_path / "file" / "data")


# -- ports --------------------------------------------------------------------------------------


def test_free_ports_are_free_and_different_and_so_are_their_grpc_ports() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            assert not is_free(port)
        with socket.create_server(("127.0.0.1", port + GRPC_OFFSET)):
            pass


def test_a_port_that_was_asked_for_is_taken_or_refused() -> None:
    with listen(None) as first, listen(None) as second:
        port, next_port = (listener.getsockname()[1] for listener in (first, second))
        assert 8080 <= port < next_port
        with pytest.raises(StartError, match=f"port {port} is in use"):
            listen(port)
    with listen(port) as again:
        assert again.getsockname() == ("127.0.0.1", port)


# -- processes ----------------------------------------------------------------------------------

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
print(child.pid, flush=True)
time.sleep(60)
"""


def process(tmp_path: Path, *command: str, stdin: bytes = b"") -> Process:
    return Process("thing", [*command], tmp_path / "thing.log", os.environ, stdin=stdin)


def test_stopping_ends_the_process_and_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.embedded.process.STOP_SECONDS", 0.3)
    thing = process(tmp_path, sys.executable, "-c", STUBBORN)
    thing.start()
    until(lambda: bool(thing.log.read_text().strip()), "the child")
    child = int(thing.log.read_text())
    assert thing.is_running
    assert is_alive(child)

    started = time.monotonic()
    thing.stop()

    assert time.monotonic() - started < 5
    assert not thing.is_running
    until(lambda: not is_alive(child), "the end of the child", seconds=2)
    thing.stop()  # again does no harm


def test_a_process_that_ends_by_itself_when_asked_is_not_killed(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('tidy', flush=True), sys.exit(0)))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    thing = process(tmp_path, sys.executable, "-c", code)
    thing.start()
    until(lambda: "ready" in thing.log.read_text(), "the start")
    thing.stop()
    assert thing.log.read_text().split() == ["ready", "tidy"]


def test_a_process_can_be_started_again_and_its_log_goes_on(tmp_path: Path) -> None:
    thing = process(tmp_path, "cat", stdin=b"said\n")
    for _ in range(2):
        thing.start()
        until(lambda: not thing.is_running, "the end")
    assert thing.log.read_text() == "said\nsaid\n"


def test_a_process_ends_with_the_one_that_started_it_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from deploy.embedded.process import Process\n"
        "thing = Process('thing', ['sleep', '60'], Path(sys.argv[1]), os.environ)\n"
        "thing.start(); print(thing.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    until(lambda: not is_alive(child), "the end of the child", seconds=5)


def test_a_process_that_does_not_come_up_shows_the_end_of_its_log(tmp_path: Path) -> None:
    thing = process(tmp_path, "sh", "-c", "echo first; echo it is broken; exit 3")
    thing.start()
    with pytest.raises(StartError, match=r"thing ended while it was starting[\s\S]*it is broken"):
        thing.wait_until(lambda: False, 10)
    slow = process(tmp_path, "sleep", "60")
    slow.start()
    try:
        with pytest.raises(StartError, match="thing was not ready after 0 s"):
            slow.wait_until(lambda: False, 0.1)
    finally:
        slow.stop()


# -- servers ------------------------------------------------------------------------------------


def test_two_redis_servers_side_by_side_share_nothing_and_know_no_strangers(tmp_path: Path) -> None:
    with (
        start_valkey(tmp_path / "a", tmp_path) as first,
        start_valkey(tmp_path / "b", tmp_path) as second,
        redis.Redis.from_url(first.environment["IMPASTO_REDIS_URL"]) as client,
        redis.Redis.from_url(second.environment["IMPASTO_REDIS_URL"]) as other,
    ):
        client.set("key", "mine")
        assert other.get("key") is None
        # Jobs are on disk within a second, and none is thrown away for room.
        config = client.config_get()
        assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
        assert config["maxmemory-policy"] == "noeviction"
        assert config["bind"] == "127.0.0.1"

        url = urlsplit(first.environment["IMPASTO_REDIS_URL"])
        stranger = redis.Redis(port=url.port or 0, retry=Retry(NoBackoff(), 0))
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert url.password
        shown = Path(f"/proc/{first.process.pid}/cmdline").read_bytes()
        assert url.password.encode() not in shown


def test_what_redis_was_told_is_there_after_a_restart(tmp_path: Path) -> None:
    for value in (None, b"kept"):
        with (
            start_valkey(tmp_path / "data", tmp_path) as server,
            redis.Redis.from_url(server.environment["IMPASTO_REDIS_URL"]) as client,
        ):
            assert client.get("key") == value
            client.set("key", "kept")


def test_an_s3_server_takes_nothing_from_strangers_and_ends_with_its_block(tmp_path: Path) -> None:
    with start_seaweedfs(tmp_path / "data", tmp_path) as server:
        endpoint = server.environment["IMPASTO_S3_ENDPOINT_URL"]
        assert httpx.put(f"{endpoint}/impasto/mine", content=b"x").status_code == 403
        assert httpx.get(f"{endpoint}/impasto/").status_code == 403
        secret = server.environment["IMPASTO_S3_SECRET_ACCESS_KEY"]
        assert secret.encode() not in Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint)


# -- the whole system ---------------------------------------------------------------------------


def test_the_stack_is_what_its_settings_say(stack: Stack) -> None:
    assert stack.url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{stack.url}/readyz").json()["workers"] == len(stack.workers)
    with redis.Redis.from_url(stack.settings.redis_url.get_secret_value()) as client:
        assert client.ping()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `impasto ...` in a folder of its own; whatever is left of it is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        with (tmp_path / "out").open("w") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "client.cli", *arguments],
                cwd=tmp_path,
                env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path.cwd())},
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (["up", "--data", "data"], signal.SIGTERM),
        (["demo"], signal.SIGINT),
    ],
)
def test_an_interrupted_system_leaves_no_process_behind(
    started: Callable[..., "subprocess.Popen[str]"],
    tmp_path: Path,
    command: list[str],
    number: signal.Signals,
) -> None:
    """Interrupted as soon as servers, worker and API run: the hardest moment to leave nothing."""
    system = started(*command)
    out = tmp_path / "out"
    until(lambda: "Starting the API" in out.read_text(), "the servers", seconds=STARTS_SECONDS)
    until(lambda: len(descendants(system.pid)) >= 4, "four processes", seconds=STARTS_SECONDS)
    family = descendants(system.pid)

    system.send_signal(number)

    # A shell sees 130 either way: Python ends itself by SIGINT when the interrupt hit an exec().
    assert system.wait(30) in (130, -signal.SIGINT)
    assert out.read_text().splitlines()[-1] == "Stopped."
    assert "Traceback" not in out.read_text()
    until(lambda: not any(map(is_alive, family)), "the end of all processes", seconds=5)
    if command == ["demo"]:
        assert not list(tmp_path.glob("impasto-demo-*"))


def test_a_system_in_a_folder_in_use_says_so(
    started: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    with DataFolder(tmp_path / "data"):
        assert started("up", "--data", "data").wait(30) == 1
    said = (tmp_path / "out").read_text()
    assert said == "Error: another Impasto uses data: name another folder with --data\n"


def test_a_system_whose_port_is_taken_says_so(
    started: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    with listen(None) as taken:
        port = taken.getsockname()[1]
        assert started("up", "--port", str(port)).wait(STARTS_SECONDS) == 1
    # Said before anything is started.
    assert (tmp_path / "out").read_text() == (
        f"Error: port {port} is in use: name another one with --port, or none\n"
    )


def test_an_interrupt_that_a_finalizer_swallowed_is_raised_again() -> None:
    """As seen: `Exception ignored in: <finalize object>`, and the system ran on."""
    script = """
import os, signal, weakref
from deploy.embedded import interrupts

class Thing: pass

interrupts.install()
weakref.finalize(Thing(), lambda: os.kill(os.getpid(), signal.SIGTERM))
print("swallowed", flush=True)
interrupts.check()
print("ran on", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "swallowed\n"
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert done.stderr.count("Traceback") == 1  # that of the end, and not of what was dropped
