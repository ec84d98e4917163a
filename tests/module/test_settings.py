"""CONFIG SET keymiss.*: bounds, and functions that the server knows without a worker."""

import time

import pytest
import valkey

pytestmark = pytest.mark.smoke

DEFAULTS = {
    "keymiss.functions": "",
    "keymiss.max-key-bytes": "65536",
    "keymiss.max-value-bytes": "16777216",
    "keymiss.max-pending-bytes": "268435456",
    "keymiss.max-stored-bytes": "1073741824",
}


@pytest.fixture
def settings(client):
    """The client, with all settings as they are by default, before and after."""
    yield client
    for name, value in DEFAULTS.items():
        client.config_set(name, value)


def test_the_defaults(settings):
    assert settings.config_get("keymiss.*") == DEFAULTS


def test_a_key_that_is_too_long_is_refused(settings, worker, background):
    settings.config_set("keymiss.max-key-bytes", 10)
    with pytest.raises(
        valkey.ResponseError,
        match="KEYMISS refused the key has 11 bytes, keymiss.max-key-bytes is 10",
    ):
        settings.get("echo:123456")
    reply = background(settings.get, "echo:12345")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"


def test_a_stored_key_may_be_as_long_as_it_likes(settings, worker):
    settings.config_set("keymiss.max-key-bytes", 10)
    settings.set("echo:123456", "stored")
    assert settings.get("echo:123456") == "stored"


def test_a_value_that_is_too_long_is_an_error_for_both_sides(
    settings, worker, background, counters
):
    settings.config_set("keymiss.max-value-bytes", "1kb")
    reply = background(settings.get, "echo:1")
    item = worker.take_one()
    refused = "KEYMISS refused the value has 1025 bytes, keymiss.max-value-bytes is 1024"
    with pytest.raises(valkey.ResponseError, match=refused):
        worker.answer(item, "x" * 1025)
    with pytest.raises(valkey.ResponseError, match=refused):
        reply.result(10)
    assert (counters()["pending"], counters()["failed"]) == (0, 1)
    reply = background(settings.get, "echo:1")
    worker.answer(worker.take_one(), "x" * 1024)
    assert reply.result(10) == "x" * 1024


def test_no_more_bytes_wait_than_allowed(settings, worker, background, counters):
    settings.config_set("keymiss.max-pending-bytes", 0)
    with pytest.raises(valkey.ResponseError, match="KEYMISS busy"):
        settings.get("echo:1")
    assert counters()["busy"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("max-key-bytes", -1), ("max-key-bytes", "2"), ("max-value-bytes", "much")],
)
def test_a_setting_that_makes_no_sense_is_refused(settings, name, value):
    with pytest.raises(valkey.ResponseError, match="CONFIG SET failed"):
        settings.config_set(f"keymiss.{name}", value)
    assert settings.config_get("keymiss.*") == DEFAULTS


def test_a_named_function_makes_a_miss_an_error_before_its_first_worker(settings):
    assert settings.get("greet:1") is None
    settings.config_set("keymiss.functions", "greet=greet: leave=leave:")
    time.sleep(1.05)
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable .*'greet'"):
        settings.get("greet:1")


def test_a_worker_of_a_named_function_takes_over(settings, new_worker, background):
    settings.config_set("keymiss.functions", "greet=greet:")
    worker = new_worker()
    worker.serve("greet", "greet:", "VERSION", "1", "TIMEOUT", 77)
    reply = background(settings.get, "greet:1")
    worker.answer(worker.take_one("greet"), "hello")
    assert reply.result(10) == "hello"


def test_naming_a_served_function_changes_nothing(settings, worker, background):
    settings.config_set("keymiss.functions", "echo=echo:")
    reply = background(settings.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("greet", "name=prefix words"),
        ("greet=", "PREFIX has 3 to 256 bytes"),
        ("=greet:", "a name has 1 to 64"),
        ("one=one: two=one:more", "overlaps"),
        ("good=good: bad", "name=prefix words"),
    ],
)
def test_a_list_that_cannot_be_is_refused(settings, value, message):
    with pytest.raises(valkey.ResponseError, match=message):
        settings.config_set("keymiss.functions", value)
    assert settings.config_get("keymiss.functions") == {"keymiss.functions": ""}
    assert settings.execute_command("KEYMISS.LIST") == []


def test_settings_come_from_the_command_line(launch, connect):
    server = launch("--keymiss.functions", "greet=greet:", "--keymiss.max-key-bytes", "100")
    client = connect(server)
    assert client.config_get("keymiss.max-key-bytes") == {"keymiss.max-key-bytes": "100"}
    (function,) = client.execute_command("KEYMISS.LIST")
    assert function[1] == "greet"


def test_a_server_without_registrations_but_the_setting_never_says_a_false_nil(launch, connect):
    server = launch("--appendonly", "no", "--keymiss.functions", "greet=greet:")
    client = connect(server)
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        client.get("greet:1")
