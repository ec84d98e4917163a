"""A GET of a missing function key is computed; every other GET is what it always was."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


def test_a_missing_key_is_computed(client, worker, background):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    assert (item.function, item.event, item.key) == ("echo", "miss", "echo:1")
    assert worker.answer(item, "one") == 1
    assert reply.result(10) == "one"


def test_a_second_get_is_answered_from_the_cache(client, worker, background, counters, eventually):
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    reply.result(10)
    eventually(lambda: client.exists("echo:1"))
    before = counters()
    assert client.get("echo:1") == "one"
    after = counters()
    assert after["hits"] == before["hits"] + 1
    assert after["misses"] == before["misses"]


def test_an_answer_without_a_value_is_nil_and_is_not_cached(client, worker, background):
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one())
    assert reply.result(10) is None
    assert not client.exists("echo:1")


def test_keys_and_values_are_binary_safe(server, worker, background):
    raw = valkey.Valkey(port=server.port)
    key = b"echo:\x00\r\n\xff {}_:"
    reply = background(raw.get, key)
    taker = valkey.Valkey(port=server.port, single_connection_client=True)
    taker.execute_command("KEYMISS.SERVE", "echo", "ON", "MISS", "PREFIX", "echo:")
    worker.die()
    ((_, _, id, taken),) = taker.execute_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 3000, "echo")
    assert taken == key
    taker.execute_command("KEYMISS.ANSWER", id, b"\x00\r\n\xff")
    assert reply.result(10) == b"\x00\r\n\xff"


def test_an_existing_key_is_a_native_get(client, worker, counters):
    client.set("echo:there", "stored")
    assert client.get("echo:there") == "stored"
    assert counters()["misses"] == 0


def test_a_key_of_another_type_is_the_usual_error(client, worker):
    client.rpush("echo:list", "x")
    with pytest.raises(valkey.ResponseError, match="WRONGTYPE"):
        client.get("echo:list")


def test_keys_outside_of_every_prefix_are_nil(client, worker, counters):
    assert client.get("ech") is None
    assert client.get("other:1") is None
    assert counters()["misses"] == 0


def test_another_database_is_a_plain_get(server, worker, counters):
    with valkey.Valkey(port=server.port, db=3) as other:
        assert other.get("echo:1") is None
    assert counters()["misses"] == 0


@pytest.mark.parametrize("command", ["MGET", "EXISTS", "GETEX", "TTL", "STRLEN", "TYPE"])
def test_only_get_computes(client, worker, counters, command):
    client.execute_command(command, "echo:1")
    assert counters()["misses"] == 0


def test_a_failure_reaches_the_client_on_one_line(client, worker, background):
    reply = background(client.get, "echo:1")
    worker.fail(worker.take_one(), "ValueError: two\r\nlines \x00 and more")
    with pytest.raises(valkey.ResponseError) as caught:
        reply.result(10)
    assert str(caught.value) == "KEYMISS failed ValueError: two  lines   and more"
    assert not client.exists("echo:1")


def test_an_endless_failure_is_cut(client, worker, background):
    reply = background(client.get, "echo:1")
    worker.fail(worker.take_one(), "x" * 100_000)
    with pytest.raises(valkey.ResponseError) as caught:
        reply.result(10)
    assert len(str(caught.value)) < 512


@pytest.mark.parametrize("shift", range(4))
def test_an_endless_failure_is_cut_between_characters(client, worker, background, shift):
    reply = background(client.get, "echo:1")
    worker.fail(worker.take_one(), "x" * shift + "\N{GRINNING FACE}" * 1000)
    with pytest.raises(valkey.ResponseError) as caught:
        reply.result(10)
    assert str(caught.value).endswith("\N{GRINNING FACE}")
