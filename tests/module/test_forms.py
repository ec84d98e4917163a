"""The exact form of a function's keys: what has another one is nobody's but its owner's."""

import pytest
import valkey

pytestmark = pytest.mark.smoke

FORM = "echo:{<tag>}:<number#>_<rest*>"
OF_FORM = ["echo:{a}:0_", "echo:{a}:123456789_x", "echo:{b c}:7_any {}: thing\r\n\xff"]
OTHERS = [
    *("echo:", "echo:a", "echo:{}:7_x", "echo:{a:7_x", "echo:{a}:_x", "echo:{a}:x_x"),
    *("echo:{a}:1234567890_x", "echo:{a}:7", "echo:{a}7_x", "echo:{a{}:7_x"),
]


@pytest.fixture
def formed(new_worker):
    worker = new_worker()
    worker.serve("echo", "echo:", "FORM", FORM)
    return worker


@pytest.mark.parametrize("key", OF_FORM)
def test_a_missing_key_of_the_form_is_computed(client, formed, background, key):
    reply = background(client.get, key)
    item = formed.take_one()
    formed.answer(item, "value")
    assert reply.result(10) == "value"


@pytest.mark.parametrize("key", OTHERS)
def test_a_missing_key_of_another_form_is_nil_at_once(client, formed, counters, key):
    assert client.get(key) is None
    assert client.execute_command("KEYMISS.GET", key) is None
    assert counters()["misses"] == 0


def test_it_is_nil_without_a_worker_too(client, formed, eventually, counters):
    formed.die()
    eventually(lambda: counters()["workers"] == 0)
    assert client.get("echo:mine") is None


def test_a_key_of_another_form_that_exists_is_read_and_written_as_ever(client, formed):
    client.set("echo:mine", "1")
    assert (client.get("echo:mine"), client.incr("echo:mine")) == ("1", 2)


def test_the_same_name_twice_means_the_same_bytes(client, new_worker, background):
    worker = new_worker()
    worker.serve("echo", "echo{", "FORM", "echo{<tag>}_<name>:{<tag>}")
    assert client.get("echo{a}_x:{b}") is None
    assert client.get("echo{a}_x:{aa}") is None
    reply = background(client.get, "echo{a}_x:{a}")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"


def test_a_drop_leaves_what_has_another_form_or_type(client, formed):
    client.mset({"echo:mine": "1", "echo:{a}:7_computed": "2"})
    client.rpush("echo:{a}:8_list", "x")
    dropped = ("echo:mine", "echo:{a}:7_computed", "echo:{a}:8_list", "echo:{a}:9_missing")
    assert client.execute_command("KEYMISS.DROP", *dropped) == 1
    assert sorted(client.keys()) == ["echo:mine", "echo:{a}:8_list"]


def test_a_served_function_may_change_its_form(client, formed, new_worker, background):
    other = new_worker()
    other.serve("echo", "echo:", "FORM", "echo:<name>")
    assert client.get("echo:{a}:7_x") is None
    reply = background(client.get, "echo:name")
    other.answer(other.take_one(), "one")
    assert reply.result(10) == "one"


def test_it_is_listed(client, formed):
    (function,) = client.execute_command("KEYMISS.LIST")
    fields = dict(zip(function[::2], function[1::2], strict=True))
    assert fields["form"] == FORM


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ("", "1 to 256 bytes"),
        ("echo:" + "x" * 252, "1 to 256 bytes"),
        ("other:<name>", "begins with the PREFIX"),
        ("ec<name>", "begins with the PREFIX"),
        ("echo:<Name>", "fields like <name>"),
        ("echo:<name", "fields like <name>"),
        ("echo:<>", "fields like <name>"),
        ("echo:<name!>", "fields like <name>"),
        ("echo:name>", "printable text"),
        ("echo:a b", "printable text"),
        ("echo:'", "printable text"),
        ("echo:<rest*>x", "ends with its field"),
        ("echo:" + "<a>:" * 9, "at most 8 fields"),
    ],
)
def test_what_is_no_form_is_refused(new_worker, form, wrong):
    with pytest.raises(valkey.ResponseError, match=f"KEYMISS syntax FORM.*{wrong}"):
        new_worker().serve("echo", "echo:", "FORM", form)


def test_written_keys_have_no_form(new_worker):
    with pytest.raises(valkey.ResponseError, match="FORM goes with ON MISS only"):
        new_worker().serve("echo", "echo:", "ON", "WRITE", "FORM", "echo:<name>")


def test_the_setting_may_name_a_form_in_place_of_a_prefix(client, server):
    client.config_set("keymiss.functions", "other=other:<number#>")
    try:
        assert client.get("other:x") is None
        with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
            client.get("other:7")
        with pytest.raises(valkey.ResponseError, match="FORM has fields"):
            client.config_set("keymiss.functions", "other=other:<number")
    finally:
        client.config_set("keymiss.functions", "")
