"""A client that has said CLIENT NO-TOUCH ON: servers look keys up for it in another way."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


def no_touch(port):
    client = valkey.Valkey(port=port, single_connection_client=True, decode_responses=True)
    try:
        client.execute_command("CLIENT", "no-touch", "on")
    except valkey.ResponseError as error:
        client.close()
        pytest.skip(f"this server has none: {error}")
    return client


def get_and_compute(port, worker, background):
    """A hit, a miss, a hit."""
    with no_touch(port) as client:
        client.set("echo:stored", "stored")
        assert client.get("echo:stored") == "stored"
        reply = background(client.get, "echo:1")
        worker.answer(worker.take_one(), "computed")
        assert reply.result(10) == "computed"
        assert client.get("echo:1") == "computed"


def test_it_gets_hits_and_misses(launch, raw_worker, background):
    port = launch().port
    worker = raw_worker(port)
    worker.serve("echo", "echo:")
    get_and_compute(port, worker, background)
    worker.die()


def test_it_does_so_when_the_module_is_loaded_after_it_has_connected(
    bare_server, client, raw_worker
):
    path = next(each["path"] for each in client.module_list() if each["name"] == "keymiss")
    with no_touch(bare_server) as client:
        client.set("echo:1", "stored")
        client.execute_command("MODULE", "LOAD", path)
        worker = raw_worker(bare_server)
        worker.serve("echo", "echo:")
        assert client.get("echo:1") == "stored"
        worker.die()
