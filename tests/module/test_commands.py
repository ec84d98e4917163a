"""What the module's commands accept and refuse, and what LIST and INFO show."""

import pytest
import valkey

from keymiss.operating.served_functions import parse_list


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["echo", "ON", "MISS"], "wrong number of arguments"),
        (["", "ON", "MISS", "PREFIX", "echo:"], "a name has"),
        (["bad name", "ON", "MISS", "PREFIX", "echo:"], "a name has"),
        (["n" * 65, "ON", "MISS", "PREFIX", "echo:"], "a name has"),
        (["echo", "ON", "READ", "PREFIX", "echo:"], "ON is MISS or WRITE"),
        (["echo", "ON", "MISS", "PREFIX", "ab"], "PREFIX has 3 to 256 bytes"),
        (["echo", "ON", "MISS", "PREFIX", "p" * 257], "PREFIX has 3 to 256 bytes"),
        (["echo", "ON", "MISS", "CACHE", "off"], "ON and PREFIX are required"),
        (["echo", "PREFIX", "echo:", "CACHE", "off"], "ON and PREFIX are required"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "CACHE", "0"], "CACHE is off"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "CACHE", "soon"], "CACHE is off"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "TIMEOUT", "0"], "TIMEOUT is"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "TIMEOUT", "1e3"], "TIMEOUT is"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "LEASE", "-1"], "LEASE is"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "PENDING", "0"], "PENDING is"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "VERSION", "a b"], "VERSION has"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "FAST", "1"], "an option is unknown"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "CACHE"], "an option lacks its value"),
        (["echo", "ON", "MISS", "PREFIX", "echo:", "EACH"], "EACH goes with ON WRITE"),
    ],
)
def test_serve_says_what_is_wrong(client, arguments, message):
    with pytest.raises(valkey.ResponseError, match=message):
        client.execute_command("KEYMISS.SERVE", *arguments)
    assert client.execute_command("KEYMISS.LIST") == []


def test_prefixes_must_not_overlap(worker):
    for prefix in ("echo:", "echo:more", "ech"):
        with pytest.raises(valkey.ResponseError, match="overlaps"):
            worker.serve("second", prefix)


def test_a_refused_registration_changes_nothing(client, new_worker, eventually):
    first, second = new_worker(), new_worker()
    first.serve("first", "aaa:")
    second.serve("second", "bbb:")
    first.die()
    eventually(lambda: listed(client)["first"]["workers"] == 0)
    with pytest.raises(valkey.ResponseError, match="overlaps"):
        second.serve("first", "bbb:x")
    assert listed(client)["first"]["prefix"] == "aaa:"


def listed(client):
    reply = client.execute_command("KEYMISS.LIST")
    return {each[1]: dict(zip(each[::2], each[1::2], strict=True)) for each in reply}


def test_sums_do_not_fall_when_a_function_is_forgotten(client, worker, background, counters):
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    reply.result(10)
    client.execute_command("KEYMISS.FORGET", "echo")
    seen = counters()
    assert (seen["misses"], seen["answered"]) == (1, 1)


def test_serve_may_be_repeated_and_updates_options(worker, server):
    worker.serve("echo", "echo:", "TIMEOUT", 77)
    raw = valkey.Valkey(port=server.port)
    (function,) = parse_list(raw.execute_command("KEYMISS.LIST")).values()
    assert (function["timeout"], function["workers"]) == (77, 1)


def test_another_prefix_for_a_registered_name_is_refused(worker):
    with pytest.raises(valkey.ResponseError, match="KEYMISS.FORGET it first"):
        worker.serve("echo", "elsewhere:")


def test_sixty_four_functions_are_the_limit(new_worker):
    worker = new_worker()
    for number in range(64):
        worker.serve(f"f{number}", f"f{number:02}:")
    with pytest.raises(valkey.ResponseError, match="64 functions"):
        worker.serve("more", "more:")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["COUNT", 0, "BLOCK", 0, "echo"], "COUNT is"),
        (["COUNT", 2000, "BLOCK", 0, "echo"], "COUNT is"),
        (["COUNT", 1, "BLOCK", -1, "echo"], "BLOCK is"),
        (["COUNT", 1, "BLOCK", 10**9, "echo"], "BLOCK is"),
        (["COUNT", 1, "BLOCK", 0, "unknown"], "KEYMISS unserved"),
        (["COUNT", 1, "BLOCK", 0], "wrong number of arguments"),
    ],
)
def test_take_says_what_is_wrong(worker, arguments, message):
    with pytest.raises(valkey.ResponseError, match=message):
        worker.client.execute_command("KEYMISS.TAKE", *arguments)


def test_a_connection_that_does_not_serve_cannot_take(worker, client):
    with pytest.raises(valkey.ResponseError, match="KEYMISS unserved"):
        client.execute_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 0, "echo")


@pytest.mark.parametrize("id", ["", "x", "0" * 32, "0" * 36, "\x00" * 36, "f" * 1000])
def test_an_unknown_id_changes_nothing(worker, id):
    assert worker.client.execute_command("KEYMISS.ANSWER", id, "x") == 0
    assert worker.client.execute_command("KEYMISS.FAIL", id, "x") == 0


def test_list_shows_options_and_counters(worker, server, background, client):
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    reply.result(10)
    raw = valkey.Valkey(port=server.port)
    (function,) = parse_list(raw.execute_command("KEYMISS.LIST")).values()
    shown = {name: function[name] for name in ("name", "on", "prefix", "timeout", "cache", "lease")}
    assert shown == {
        "name": b"echo",
        "on": b"miss",
        "prefix": b"echo:",
        "timeout": 10000,
        "cache": b"3600000",
        "lease": 5000,
    }
    assert (function["misses"], function["answered"], function["pending"]) == (1, 1, 0)


def test_info_shows_the_counters(counters):
    assert set(counters()) == {
        *("functions", "workers", "pending", "pending_bytes", "waiting", "stored_bytes"),
        *("hits", "misses", "joined", "taken", "answered", "failed", "timeouts", "busy"),
        *("requeued", "dropped", "unstored"),
    }


def test_memory_is_back_at_its_start(client, server, worker, background, counters, eventually):
    replies = [background(valkey.Valkey(port=server.port).get, f"echo:{i}") for i in range(50)]
    eventually(lambda: counters()["pending"] == 50)
    for item in worker.take():
        worker.answer(item, "x" * 1000)
    for reply in replies:
        reply.result(10)
    eventually(lambda: counters()["pending_bytes"] == 0)
    assert counters()["waiting"] == 0
