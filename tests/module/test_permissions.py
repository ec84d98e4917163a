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
        assert reply.result(3) == b"one"


def test_a_reader_gets_no_other_keys(server, users, new_worker):
    other = new_worker()
    other.serve("secret", "secret:")
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        with pytest.raises(valkey.exceptions.NoPermissionError):
            reader.get("secret:1")


@pytest.mark.parametrize("command", ["SERVE", "TAKE", "ANSWER", "FAIL", "DROP", "FORGET"])
def test_a_reader_is_no_worker(server, users, command):
    with valkey.Valkey(port=server.port, username="reader", password="r") as reader:
        with pytest.raises(valkey.exceptions.NoPermissionError):
            reader.execute_command(f"KEYMISS.{command}", "echo:1", "x", "x", "x", "x", "x")


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
    assert reply.result(3) == "one"


def test_another_connection_of_the_same_user_may_answer(client, worker, new_worker, background):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    assert new_worker().answer(item, "one") == 1
    assert reply.result(3) == "one"


def test_a_user_without_get_does_not_read_through_the_rewrite(server, client, worker):
    client.execute_command("ACL", "SETUSER", "noget", "on", ">n", "~*", "+@all", "-get")
    client.set("echo:there", "secret")
    try:
        with valkey.Valkey(port=server.port, username="noget", password="n") as noget:
            for command in ("GET", "KEYMISS.GET"):
                with pytest.raises(valkey.exceptions.NoPermissionError):
                    noget.execute_command(command, "echo:there")
    finally:
        client.execute_command("ACL", "DELUSER", "noget")
