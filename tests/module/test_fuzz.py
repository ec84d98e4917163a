"""Strangers' arguments and workers' replies, at random: one reply each, and the right one."""

import contextlib

import pytest
import valkey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.smoke

WORDS = [
    *(b"echo", b"ON", b"miss", b"WRITE", b"PREFIX", b"echo:", b"echo:1", b"VERSION", b"1"),
    *(b"TIMEOUT", b"LEASE", b"CACHE", b"off", b"forever", b"PENDING", b"EACH", b"CLEAN"),
    *(b"COUNT", b"BLOCK", b"0", b"-1", b"99999999999999999999", b"1e9", b"", b"\x00\r\n"),
]
COMMANDS = ["GET", "SERVE", "TAKE", "ANSWER", "FAIL", "DROP", "FORGET", "LIST"]
words = st.one_of(st.sampled_from(WORDS), st.binary(max_size=80))
commands = st.tuples(st.sampled_from(COMMANDS), st.lists(words, max_size=40))
patient = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def link(server):
    """A connection that never waits for a miss: in MULTI nothing does."""
    with valkey.Valkey(port=server.port, single_connection_client=True) as client:
        yield client.connection
        client.connection.disconnect()


def reply(link):
    try:
        return link.read_response()
    except valkey.ResponseError as error:
        return error


@patient
@given(st.lists(commands, min_size=1, max_size=8))
def test_any_arguments_get_one_reply_each(link, asked):
    packed = [("MULTI",), *((f"KEYMISS.{name}", *words) for name, words in asked), ("EXEC",)]
    link.send_packed_command(link.pack_commands([*packed, ("ECHO", "in step")]))
    for _ in packed:
        reply(link)
    assert reply(link) == b"in step"


@patient
@given(st.binary(max_size=2000))
def test_any_bytes_of_an_answer_reach_the_client(server, raw_worker, link, value):
    worker = raw_worker(server.port)
    worker.serve("echo", "echo:", "CACHE", "off")
    link.send_packed_command(link.pack_commands([("GET", "echo:1"), ("ECHO", "in step")]))
    assert worker.answer(worker.take_one(), value) == 1
    assert (reply(link), reply(link)) == (value, b"in step")
    worker.die()


@patient
@given(st.binary(max_size=2000))
def test_any_bytes_of_a_failure_are_one_error(server, raw_worker, link, message):
    worker = raw_worker(server.port)
    worker.serve("echo", "echo:", "CACHE", "off")
    link.send_packed_command(link.pack_commands([("GET", "echo:1"), ("ECHO", "in step")]))
    assert worker.fail(worker.take_one(), message) == 1
    # The client library cannot read an error that is no UTF-8; the stream is what counts here.
    with contextlib.suppress(UnicodeDecodeError):
        assert str(reply(link)).startswith("KEYMISS failed")
    assert reply(link) == b"in step"
    worker.die()


@patient
@given(st.binary(min_size=36, max_size=36), st.integers(0, 35))
def test_a_guessed_id_settles_nothing(server, raw_worker, link, guess, kept):
    worker = raw_worker(server.port)
    worker.serve("echo", "echo:", "CACHE", "off")
    link.send_command("GET", "echo:1")
    item = worker.take_one()
    forged = item.id.encode()[:kept] + guess[kept:]
    if forged != item.id.encode():
        settled = worker.client.execute_command("KEYMISS.ANSWER", forged, "forged")
        # The last four digits count the attempts, in any spelling.
        assert settled == 0 or forged[:32] == item.id.encode()[:32]
    else:
        settled = 0
    if not settled:
        worker.answer(item, "right")
    assert reply(link) == (b"forged" if settled else b"right")
    worker.die()
