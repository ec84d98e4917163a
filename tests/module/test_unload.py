"""MODULE UNLOAD: refused while anybody waits, possible afterwards, and nothing stays behind."""

import contextlib

import pytest
import valkey

ALLOWED = ("--enable-module-command", "yes")


def path_of_module(admin):
    listed = admin.module_list()
    (path,) = (module["path"] for module in listed if module["name"] == "keymiss")
    return path


def test_it_is_refused_while_workers_or_clients_wait_and_nobody_is_hurt(
    launch, connect, worker_of, background
):
    server = launch(*ALLOWED)
    client, admin = connect(server), connect(server)
    worker = worker_of(server)
    worker.serve()
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    with pytest.raises(valkey.ResponseError, match="blocked client"):
        admin.execute_command("MODULE", "UNLOAD", "keymiss")
    worker.answer(item, "one")
    assert reply.result(3) == "one"


def test_forgetting_all_functions_makes_it_possible(
    launch, connect, worker_of, background, eventually, taking
):
    server = launch(*ALLOWED)
    client, admin = connect(server), connect(server)
    worker = worker_of(server)
    worker.serve("echo", "echo:", "LEASE", 86_400_000)
    reply = background(client.get, "echo:1")
    worker.take_one()
    parked = taking(worker, admin, block=60_000)
    admin.execute_command("KEYMISS.FORGET", "echo")
    with pytest.raises(valkey.ResponseError, match="KEYMISS forgotten"):
        reply.result(3)
    assert parked.result(3) == []

    def unloads():
        # The clients that have just been answered are let go a turn of the loop later.
        with contextlib.suppress(valkey.ResponseError):
            return admin.execute_command("MODULE", "UNLOAD", "keymiss")

    eventually(unloads)
    assert client.get("echo:1") is None
    with pytest.raises(valkey.ResponseError, match="unknown command"):
        admin.execute_command("KEYMISS.LIST")


def test_it_can_be_loaded_again(launch, connect, worker_of, background):
    server = launch(*ALLOWED)
    admin = connect(server)
    worker_of(server).serve()
    path = path_of_module(admin)
    admin.execute_command("MODULE", "UNLOAD", "keymiss")
    assert admin.execute_command("MODULE", "LOAD", path)
    assert admin.execute_command("KEYMISS.LIST") == []
    worker = worker_of(server)
    worker.serve()
    reply = background(admin.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(3) == "one"


def test_loading_it_twice_is_refused_and_hurts_nobody(launch, connect, worker_of, background):
    server = launch(*ALLOWED)
    client, admin = connect(server), connect(server)
    worker = worker_of(server)
    worker.serve()
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    path = path_of_module(admin)
    with pytest.raises(valkey.ResponseError):
        admin.execute_command("MODULE", "LOAD", path)
    worker.answer(item, "one")
    assert reply.result(3) == "one"
