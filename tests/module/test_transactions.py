"""Where a client cannot wait, a missing function key is nil, as for a plain GET."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


def test_inside_multi_a_miss_is_nil(client, worker, counters):
    pipeline = client.pipeline(transaction=True)
    pipeline.set("other", "x").get("echo:1").get("other")
    assert pipeline.execute() == [True, None, "x"]
    assert counters()["waiting"] == 0


def test_inside_multi_a_key_that_was_set_before_is_found(client, worker):
    pipeline = client.pipeline(transaction=True)
    pipeline.get("echo:1").set("echo:1", "x").get("echo:1")
    assert pipeline.execute() == [None, True, "x"]


def test_inside_a_script_a_miss_is_nil(client, worker):
    assert client.eval("return redis.call('GET', KEYS[1])", 1, "echo:1") is None


def test_inside_a_script_a_stored_key_is_found(client, worker):
    client.set("echo:1", "x")
    assert client.eval("return redis.call('GET', KEYS[1])", 1, "echo:1") == "x"


def test_scripts_cannot_speak_as_workers(client, worker):
    for command, *arguments in (
        ("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 0, "echo"),
        ("KEYMISS.SERVE", "other", "ON", "MISS", "PREFIX", "other:"),
        ("KEYMISS.ANSWER", "id", "value"),
    ):
        with pytest.raises(valkey.ResponseError, match="not allowed from script"):
            client.eval(f"return redis.call('{command}', unpack(ARGV))", 0, *arguments)


def test_take_inside_multi_does_not_wait(worker):
    worker.client.execute_command("MULTI")
    worker.client.execute_command("KEYMISS.TAKE", "COUNT", 1, "BLOCK", 5000, "echo")
    assert worker.client.execute_command("EXEC") == [[]]
