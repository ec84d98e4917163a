"""The command: what it prints, and one line with a status for everything that is wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import valkey

from keymiss.cli import ask_commands
from keymiss.corpus.demo import load_questions, load_unanswerable
from keymiss.server.embedded_server import free_port


def keymiss(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "keymiss", *arguments], capture_output=True, text=True, timeout=60
    )


def test_ask_shows_ranked_answers_with_place_and_time(stack):
    done = keymiss("ask", "How long does measles virus remain infectious?", "--url", stack.url)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[1].startswith("1. up to two hours")
    assert "up to two hours" in lines[2]
    assert lines[3].strip().startswith("Why measles is so contagious, measles-contagiousness:{")
    assert re.fullmatch(r" +\d+ ms", lines[-1])


def test_the_span_is_highlighted_in_its_sentence(stack):
    done = subprocess.run(
        [sys.executable, "-m", "keymiss", "ask", "What carries MERS?", "--url", stack.url],
        capture_output=True,
        text=True,
        timeout=60,
        env={"FORCE_COLOR": "1", "PATH": "", "TERM": "xterm-256color"},
    )
    assert "\x1b[1;4;32mCamels\x1b[0m" in done.stdout


def test_ask_without_an_answer_says_so(stack):
    done = keymiss("ask", "Zyzzyva?", "--url", stack.url)
    assert (done.returncode, "no answer in the corpus" in done.stdout) == (0, True)


def test_ingest_says_what_it_did_and_fails_when_something_was_left_out(server, tmp_path):
    (tmp_path / "good.txt").write_text("One. Two.")
    (tmp_path / "bad.json").write_text("{")
    done = keymiss("ingest", str(tmp_path), "--url", server.url)
    assert done.returncode == 1
    assert re.match(
        r"1 document stored with 2 sentences \([\d,]+ a second\), 0 unchanged, 1 left out",
        done.stdout,
    )
    assert "bad.json: is not JSON" in done.stderr
    (tmp_path / "bad.json").unlink()
    again = keymiss("ingest", str(tmp_path), "--url", server.url)
    assert (again.returncode, "1 unchanged" in again.stdout) == (0, True)


def test_eval_prints_the_scores_as_json(stack, monkeypatch, capsys):
    questions, unanswerable = load_questions()[:12], load_unanswerable()[:4]
    monkeypatch.setattr(ask_commands, "load_questions", lambda: questions)
    monkeypatch.setattr(ask_commands, "load_unanswerable", lambda: unanswerable)
    ask_commands.evaluate(demo=True, url=stack.url, as_json=True)
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == ["questions", "first", "first_five", "exact", "f1", "no_answer"]
    assert scores["no_answer"]["unanswerable"] == 4
    assert scores["questions"] == 12
    assert scores["first"] >= 8
    assert scores["first_five"] >= 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", ""], "the question is empty"),
        (["ask", "x" * 100_000], "the limit is 2048 bytes"),
        (["ask", "Who?", "--url", "valkey://127.0.0.1:1"], "the server cannot be reached"),
        (["ask", "Who?", "--url", "nonsense"], "nonsense"),
        (["ingest", "x", "--url", "valkey://127.0.0.1:1"], "no Valkey server at"),
        (["ingest", "x", "--url", "ftp://x"], "is not a server's URL"),
        (["eval"], "say --demo"),
        (["worker", "--model", "/nowhere"], "is not a model folder"),
        (["serve", "--port", "7", "--http-port", "7"], "both servers cannot use port 7"),
    ],
)
def test_bad_input_is_one_line_and_a_status(arguments, message):
    done = keymiss(*arguments)
    assert done.returncode != 0
    assert done.stderr.startswith("keymiss: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_one_line_and_leaves_nothing_running(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, other = str(taken.getsockname()[1]), str(free_port())
        for ports in (
            ("--port", port, "--http-port", other),
            ("--port", other, "--http-port", port),
        ):
            done = keymiss("serve", "--demo", *ports)
            assert done.returncode == 2
            assert f"port {port} cannot be used" in done.stderr
            assert len(done.stderr.strip().splitlines()) == 1
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(other)))


def test_one_ctrl_c_stops_everything(tmp_path):
    # What lies in the folder where it is started is not run in its name.
    (tmp_path / "keymiss.py").write_text("raise SystemExit(99)")
    port, http_port = free_port(), free_port()
    ports = ("--port", str(port), "--http-port", str(http_port))
    serving = subprocess.Popen(
        [sys.executable, "-P", "-m", "keymiss", "serve", "--data", str(tmp_path / "data"), *ports],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout.readline().startswith("Valkey")
    serving.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = serving.communicate(timeout=15)
    assert serving.returncode == 0
    assert "Traceback" not in errors
    assert time.monotonic() - started < 8
    for each in (port, http_port):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", each))


def test_a_killed_worker_is_started_again(stack):
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True
    ).stdout
    (pid,) = re.findall(rf"(\d+) .*keymiss worker --url {re.escape(stack.url)} ", listed)
    os.kill(int(pid), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while keymiss("ask", "What carries MERS?", "--url", stack.url).returncode:
        assert time.monotonic() < deadline


def test_serve_ends_with_its_server_and_not_when_that_is_only_full(tmp_path):
    port, http_port = free_port(), free_port()
    ports = ("--port", str(port), "--http-port", str(http_port))
    serving = subprocess.Popen(
        [sys.executable, "-m", "keymiss", "serve", "--data", str(tmp_path / "data"), *ports],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout.readline().startswith("Valkey")
        with valkey.Valkey(port=port) as admin:
            server = admin.info("server")["process_id"]
            own = admin.client_id()
            admin.config_set("maxclients", 1)
            for client in admin.client_list():
                if int(client["id"]) != own:
                    admin.client_kill_filter(_id=client["id"])
            time.sleep(2)
            assert serving.poll() is None
        os.kill(server, signal.SIGKILL)
        _, errors = serving.communicate(timeout=20)
        assert serving.returncode == 2
        assert "the Valkey server has gone" in errors
        assert "Traceback" not in errors, errors
    finally:
        serving.kill()
        serving.communicate()
