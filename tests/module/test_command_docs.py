"""The server tells of every command what it does and what it takes, as of its own commands."""

import pytest

from keymiss.keys import decode

NAMES = ("GET", "SERVE", "TAKE", "ANSWER", "FAIL", "DROP", "FORGET", "LIST")


def pairs(reply):
    """A reply that is a map, on RESP2."""
    return dict(zip(reply[::2], reply[1::2], strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_command_has_a_summary_and_says_since_when_it_is_there(client, name):
    docs = pairs(client.execute_command("COMMAND DOCS", f"KEYMISS.{name}")[1])
    assert docs["summary"].endswith(".")
    assert docs["since"] == "0.1.0"
    assert docs.get("module", "keymiss") == "keymiss"


@pytest.mark.parametrize("name", NAMES)
def test_the_arity_is_what_the_arguments_say(client, name):
    ((_, arity, *_),) = client.execute_command("COMMAND INFO", f"KEYMISS.{name}")
    docs = pairs(client.execute_command("COMMAND DOCS", f"KEYMISS.{name}")[1])
    arguments = [pairs(each) for each in docs.get("arguments", [])]
    optional = [each for each in arguments if "optional" in each.get("flags", [])]
    many = [each for each in arguments if "multiple" in each.get("flags", [])]
    needed = [each for each in arguments if each not in optional]
    words = sum(1 + ("token" in each) for each in needed)
    assert arity == (-1 if optional or many else 1) * (1 + words)


def test_all_commands_of_the_module_are_listed_here(client):
    listed = client.execute_command("COMMAND LIST FILTERBY MODULE keymiss")
    names = {decode(each) if isinstance(each, bytes) else each for each in listed}
    assert {name.upper() for name in names} == {f"KEYMISS.{name}" for name in NAMES}


def test_too_few_arguments_are_refused_before_anything_is_done(client):
    for name, arguments in (("GET", ()), ("SERVE", ("a", "ON")), ("FAIL", ("id",))):
        with pytest.raises(Exception, match="wrong number of arguments"):
            client.execute_command(f"KEYMISS.{name}", *arguments)
