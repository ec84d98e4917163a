"""A client gets one reply to each command, whatever ends its wait.

Not on Redis 7.0, where CLIENT UNBLOCK with ERROR adds one to that of any client that a module
serves in the same turn of the event loop.
"""

import contextlib

import pytest
import valkey


@pytest.mark.parametrize("how", ["ERROR", "TIMEOUT"])
@pytest.mark.parametrize("what", ["set", "rpush", "answer", "fail"])
def test_a_client_that_is_served_and_unblocked_in_the_same_turn_gets_one_reply(
    server, worker, what, how
):
    with valkey.Valkey(port=server.port, single_connection_client=True) as client:
        number = client.client_id()
        client.connection.send_command("GET", "echo:1")
        item = worker.take_one()
        serving = {
            "set": ("SET", "echo:1", "mine"),
            "rpush": ("RPUSH", "echo:1", "mine"),
            "answer": ("KEYMISS.ANSWER", item.id, "computed"),
            "fail": ("KEYMISS.FAIL", item.id, "unlucky"),
        }
        link = worker.client.connection
        commands = [serving[what], ("CLIENT", "UNBLOCK", number, how)]
        link.send_packed_command(link.pack_commands(commands))
        link.read_response()
        link.read_response()
        with contextlib.suppress(valkey.ResponseError):
            assert client.connection.read_response() in (b"mine", b"computed")
        assert client.ping()
