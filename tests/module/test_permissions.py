"""Who may do what: readers compute, only workers answer, and only their own misses."""

import pytest
import valkey


@pytest.fixture
def users(client):
    client.execute_command("ACL", "SETUSER", "reader", "on", ">r", "+@read", "~echo:*")
    for name in ("first", "second"):
        client.execute_command(
            "ACL", "SETUSER", name, "on", f">{name}", "~*", "+@admin", "+@dangerous", "+client|id"
        )
    yield
    client.execute_command("ACL", "DELUSER", "reader", "first", "second")


def test_a_reader_computes_keys_that_it_may_read(server, users, worker, background):
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        reply = background(reader.get, "echo:1")
        worker.answer(worker.take_one(), "one")
        assert reply.result(10) == b"one"


def test_a_reader_gets_no_other_keys(server, users, new_worker):
    other = new_worker()
    other.serve("secret", "secret:")
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        with pytest.raises(valkey.exceptions.NoPermissionError):
            reader.get("secret:1")


@pytest.mark.parametrize(
    "command",
    [
        ("SERVE", "echo", "ON", "MISS", "PREFIX", "echo:"),
        ("TAKE", "COUNT", 1, "BLOCK", 0, "echo"),
        ("ANSWER", "id", "value"),
        ("FAIL", "id", "message"),
        ("DROP", "echo:1"),
        ("FORGET", "echo"),
    ],
    ids=lambda command: command[0],
)
def test_a_reader_is_no_worker(server, users, command):
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        with pytest.raises(valkey.exceptions.NoPermissionError):
            reader.execute_command(f"KEYMISS.{command[0]}", *command[1:])


def test_only_the_user_that_took_an_item_may_answer_it(
    server, client, users, new_worker, background
):
    first = new_worker(username="first", password="first")
    second = new_worker(username="second", password="second")
    first.serve()
    second.serve()
    reply = background(client.get, "echo:1")
    item = first.take_one()
    assert second.answer(item, "forged") == 0
    assert second.fail(item, "forged") == 0
    assert first.answer(item, "one") == 1
    assert reply.result(10) == "one"


def test_another_connection_of_the_same_user_may_answer(client, worker, new_worker, background):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    assert new_worker().answer(item, "one") == 1
    assert reply.result(10) == "one"


def test_a_user_without_get_neither_reads_nor_computes(server, client, worker, counters):
    client.execute_command("ACL", "SETUSER", "noget", "on", ">n", "~*", "+@all", "-get")
    client.set("echo:there", "secret")
    try:
        with valkey.Valkey(port=server.port, username="noget", password="n") as noget:
            for command in ("GET", "KEYMISS.GET"):
                for key in ("echo:there", "echo:missing"):
                    with pytest.raises(valkey.exceptions.NoPermissionError):
                        noget.execute_command(command, key)
        assert counters()["misses"] == 0
    finally:
        client.execute_command("ACL", "DELUSER", "noget")


def test_a_user_with_get_alone_reads_but_does_not_compute(server, client, worker, counters):
    client.execute_command("ACL", "SETUSER", "plain", "on", ">p", "~*", "+get")
    client.set("echo:there", "stored")
    try:
        with valkey.Valkey(port=server.port, username="plain", password="p") as plain:
            assert plain.get("echo:there") == b"stored"
            with pytest.raises(valkey.exceptions.NoPermissionError):
                plain.get("echo:missing")
        assert counters()["misses"] == 0
    finally:
        client.execute_command("ACL", "DELUSER", "plain")


@pytest.mark.parametrize(
    ("pattern", "kind", "may"),
    [
        ("~echo:*", "MISS", True),
        ("~*", "MISS", True),
        ("~other:*", "MISS", False),
        ("~echo:", "MISS", False),
        ("~echo:a*", "MISS", False),
        ("~echo:?", "MISS", False),
        ("%R~echo:*", "MISS", False),
        ("%R~echo:*", "WRITE", True),
        ("~other:*", "WRITE", False),
    ],
)
def test_a_worker_serves_only_keys_that_it_may_read_and_write(
    server, client, new_worker, pattern, kind, may
):
    commands = [f"+keymiss.{name}" for name in ("serve", "take", "answer", "fail")]
    client.execute_command(
        "ACL", "SETUSER", "limited", "reset", "on", ">l", pattern, *commands, "+client|id"
    )
    worker = new_worker(username="limited", password="l")
    try:
        if may:
            worker.serve("echo", "echo:", "ON", kind)
            assert worker.take(block=0) == []
        else:
            with pytest.raises(valkey.ResponseError, match="KEYMISS denied"):
                worker.serve("echo", "echo:", "ON", kind)
            assert client.execute_command("KEYMISS.LIST") == []
    finally:
        worker.die()
        client.execute_command("ACL", "DELUSER", "limited")


@pytest.mark.only("valkey")
@pytest.mark.parametrize(("database", "may"), [("db=1", True), ("db=0", False)])
def test_a_worker_serves_only_databases_that_it_may_use(server, client, new_worker, database, may):
    commands = [f"+keymiss.{name}" for name in ("serve", "take", "answer", "fail")]
    client.execute_command(
        "ACL", "SETUSER", "limited", "reset", "on", ">l", "~echo:*", database, *commands,
        "+client|id", "+select",
    )  # fmt: skip
    worker = new_worker(username="limited", password="l")
    try:
        if may:
            worker.client.execute_command("SELECT", 1)
            worker.serve("echo", "echo:", "ON", "MISS")
            return
        other = new_worker(db=1)
        other.serve("echo", "echo:", "ON", "MISS")
        other.die()
        # It would displace what nobody serves any more.
        with pytest.raises(valkey.ResponseError, match="KEYMISS denied"):
            worker.serve("echo", "echo:", "ON", "MISS")
    finally:
        worker.die()
        client.execute_command("ACL", "DELUSER", "limited")


def test_answers_are_stored_with_the_servers_own_rights(
    server, users, client, worker, background, eventually
):
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        reply = background(reader.get, "echo:1")
        worker.answer(worker.take_one(), "one")
        assert reply.result(10) == b"one"
        eventually(lambda: client.exists("echo:1"))
        with pytest.raises(valkey.exceptions.NoPermissionError):
            reader.set("echo:1", "mine")


def test_who_authenticates_anew_answers_what_it_takes(server, users, client, background):
    with valkey.Valkey(port=server.port, single_connection_client=True) as worker:
        worker.execute_command("KEYMISS.SERVE", "echo", "ON", "MISS", "PREFIX", "echo:")
        worker.execute_command("AUTH", "first", "first")
        reply = background(client.get, "echo:1")
        take = ("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 3000, "echo")
        ((_, _, id, _),) = worker.execute_command(*take)
        assert worker.execute_command("KEYMISS.ANSWER", id, "one") == 1
        assert reply.result(10) == "one"


@pytest.mark.only("valkey")
@pytest.mark.parametrize("pattern", ["~echo:[0-9a-f]*", "~echo:*[0-9a-f]", "~echo:*:open"])
def test_a_worker_serves_only_whole_prefixes(server, client, new_worker, pattern):
    client.execute_command(
        "ACL", "SETUSER", "limited", "reset", "on", ">l", pattern, "+keymiss.serve", "+client|id"
    )
    try:
        with pytest.raises(valkey.ResponseError, match="KEYMISS denied"):
            new_worker(username="limited", password="l").serve()
    finally:
        client.execute_command("ACL", "DELUSER", "limited")


def test_a_user_who_may_only_read_the_keys_computes_them(server, client, worker, background):
    client.execute_command("ACL", "SETUSER", "ro", "reset", "on", ">r", "%R~echo:*", "+@read")
    try:
        with valkey.Valkey(port=server.port, username="ro", password="r") as reader:
            reply = background(reader.get, "echo:1")
            worker.answer(worker.take_one(), "one")
            assert reply.result(10) == b"one"
    finally:
        client.execute_command("ACL", "DELUSER", "ro")


def test_a_worker_does_not_displace_the_function_of_keys_that_it_may_not_use(
    client, new_worker, background
):
    client.config_set("keymiss.functions", "bert=bertqa{")
    client.execute_command(
        "ACL", "SETUSER", "limited", "reset", "on", ">l", "~a:*", "+keymiss.serve", "+client|id"
    )
    try:
        with pytest.raises(valkey.ResponseError, match="KEYMISS denied"):
            new_worker(username="limited", password="l").serve("bert", "a:x")
        assert client.execute_command("KEYMISS.LIST")[0][5] == "bertqa{"
    finally:
        client.config_set("keymiss.functions", "")
        client.execute_command("ACL", "DELUSER", "limited")


def test_what_anybody_may_list_does_not_tell_which_keys_exist(server, users, client, new_worker):
    new_worker().serve("secret", "secret:")
    client.set("secret:there", "x")
    before = client.execute_command("KEYMISS.LIST")
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        for key in ("secret:there", "secret:gone"):
            with pytest.raises(valkey.exceptions.NoPermissionError):
                reader.get(key)
        assert [[str(f) for f in each] for each in before] == [
            [f.decode() if isinstance(f, bytes) else str(f) for f in each]
            for each in reader.execute_command("KEYMISS.LIST")
        ]
