"""MODULE LOAD and UNLOAD: what cannot be done is refused, and hurts nobody."""

import pytest
import valkey

ALLOWED = ("--enable-module-command", "yes")

pytestmark = pytest.mark.smoke


@pytest.fixture
def parts(launch, connect, worker_of):
    """An administrator, a client whose miss a worker holds, and how to see that it ends well."""
    server = launch(*ALLOWED)
    admin, client, worker = connect(server), connect(server), worker_of(server)
    worker.serve()
    return admin, client, worker


def path_of_module(admin):
    listed = admin.module_list()
    (path,) = (module["path"] for module in listed if module["name"] == "keymiss")
    return path


def test_unloading_while_clients_wait_is_refused(parts, background):
    admin, client, worker = parts
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with pytest.raises(valkey.ResponseError, match="unload"):
        admin.execute_command("MODULE", "UNLOAD", "keymiss")
    worker.answer(item, "one")
    assert reply.result(10) == "one"


def test_unloading_is_refused_also_when_nobody_waits(parts, background):
    # Clients that have only sent GET would keep pointers to a command that is no more.
    admin, client, worker = parts
    transaction = client.pipeline(transaction=True)
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    reply.result(10)
    admin.execute_command("KEYMISS.FORGET", "echo")
    with pytest.raises(valkey.ResponseError, match="unload"):
        admin.execute_command("MODULE", "UNLOAD", "keymiss")
    assert admin.client_list()
    assert transaction.get("echo:1").execute() is not None
    worker.serve()
    again = background(client.get, "echo:2")
    worker.answer(worker.take_one(), "two")
    assert again.result(10) == "two"


def test_loading_it_twice_is_refused(parts, background):
    admin, client, worker = parts
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with pytest.raises(valkey.ResponseError):
        admin.execute_command("MODULE", "LOAD", path_of_module(admin))
    worker.answer(item, "one")
    assert reply.result(10) == "one"


def test_a_load_that_fails_leaves_a_server_that_works(parts, bare_server):
    path = path_of_module(parts[0])
    with valkey.Valkey(port=bare_server) as admin:
        for _ in range(2):
            with pytest.raises(valkey.ResponseError):
                admin.execute_command(
                    "MODULE", "LOADEX", path, "CONFIG", "keymiss.functions", "junk"
                )
            with valkey.Valkey(port=bare_server) as client:
                assert client.set("echo:1", "x")
                assert client.get("echo:1") == b"x"
        assert admin.execute_command("MODULE", "LOAD", path)
        assert admin.execute_command("KEYMISS.LIST") == []
