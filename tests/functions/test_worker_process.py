"""A worker as a process: it serves an app, drains on SIGTERM, and its death costs nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import valkey

GREETING = """
from keymiss import functions

@functions.on_miss("greeting:", cache="1h", timeout="2s")
async def greeting(misses):
    return [f"hello {miss.key[9:]}" for miss in misses]
"""

SLOW = """
import time
from keymiss import functions

@functions.on_miss("slow:", timeout="5s")
def slow(misses):
    time.sleep(0.6)
    return [f"done {len(misses)}" for miss in misses]
"""

WRITES = """
from keymiss import functions

@functions.on_write("text:")
async def shout(events):
    for event in events:
        client = event.shard.client
        text = await client.get(event.key)
        if text is None:
            await client.delete("loud:" + event.key)
        else:
            await client.set("loud:" + event.key, text.upper())
"""


def test_an_app_answers_misses(client, start_worker):
    start_worker(GREETING, "greeting")
    assert client.get("greeting:world") == "hello world"


def test_an_app_follows_writes_also_those_before_it_started(client, start_worker, eventually):
    client.set("text:early", "early")
    start_worker(WRITES, "shout")
    eventually(lambda: client.get("loud:text:early") == "EARLY")
    client.set("text:late", "late")
    eventually(lambda: client.get("loud:text:late") == "LATE")
    client.delete("text:late")
    eventually(lambda: client.get("loud:text:late") is None)


def test_as_many_threads_read_as_the_worker_is_told(server, eventually):
    with subprocess.Popen(
        [sys.executable, "-m", "keymiss", "worker", "--threads", "3", "--url", server.url],
        stderr=subprocess.DEVNULL,
    ) as worker:
        tasks = Path(f"/proc/{worker.pid}/task")
        eventually(
            lambda: (
                [path.read_text() for path in tasks.glob("*/comm")].count("keymiss-reader\n") == 2
            )  # and the one that asks
        )
        worker.kill()


def test_sigterm_finishes_what_is_in_hand(client, start_worker, background, counters, eventually):
    worker = start_worker(SLOW, "slow")
    reply = background(client.get, "slow:1")
    eventually(lambda: counters()["taken"] == 1)
    worker.send_signal(signal.SIGTERM)
    assert reply.result(5) == "done 1"
    assert worker.wait(5) == 0


def test_sigterm_stops_an_idle_worker_soon(start_worker):
    worker = start_worker(GREETING, "greeting")
    started = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(5) == 0
    assert time.monotonic() - started < 2.5


def test_fifty_clients_survive_the_kill_of_a_worker_with_their_misses_in_hand(
    server, start_worker, background, counters, eventually, workers_of
):
    first = start_worker(SLOW, "slow")
    clients = [valkey.Valkey(port=server.port) for _ in range(50)]
    replies = [background(each.get, f"slow:{i}") for i, each in enumerate(clients)]
    eventually(lambda: counters()["taken"] >= 1)
    start_worker(SLOW, "slow")
    first.kill()
    killed = time.monotonic()
    errors = [reply.exception(6) for reply in replies]
    assert time.monotonic() - killed < 5.5
    assert all(error is None or str(error).startswith("KEYMISS ") for error in errors)
    answers = [reply.result() for reply in replies if reply.exception() is None]
    assert answers
    assert all(answer.startswith(b"done") for answer in answers)


def test_a_second_worker_takes_over_within_a_second(
    client, start_worker, background, counters, eventually
):
    greeting = GREETING.replace('"2s"', '"20s"')  # starting a process takes a while
    hanging = "import time\n" + greeting.replace("return [", "time.sleep(60)\n    return [", 1)
    first = start_worker(hanging, "greeting")
    reply = background(client.get, "greeting:you")
    eventually(lambda: counters()["taken"] == 1)
    start_worker(greeting, "greeting")
    started = time.monotonic()
    first.kill()
    assert reply.result(10) == "hello you"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "the app 'app' cannot be imported: ModuleNotFoundError"),
        ("1 +", "the app 'app' cannot be imported: SyntaxError"),
        ("x = 1", "the app 'app' defines no function"),
        (GREETING.replace('"1h"', '"soon"'), "'soon' is not a duration"),
        (GREETING.replace('"greeting:"', '"g"'), "the server refuses the function 'greeting'"),
    ],
)
def test_an_app_that_cannot_work_is_one_line_and_a_status(server, tmp_path, source, message):
    if source:
        (tmp_path / "app.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "keymiss", "worker", "--app", "app", "--url", server.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
