"""Registrations are kept in a library of the server's own functions, which is nobody else's."""

import shutil
import time

import pytest
import valkey

from keymiss.server.embedded_server import module_path

STRANGERS = (
    "#!lua name=keymiss\n"
    "redis.register_function{function_name='theirs', callback=function() return 1 end,\n"
    "  flags={'no-writes'}}"
)


@pytest.fixture
def one(launch, connect):
    server = launch()
    return server, connect(server)


def library(client):
    """The text of the library `keymiss`; empty when there is none."""
    found = client.execute_command("FUNCTION", "LIST", "LIBRARYNAME", "keymiss", "WITHCODE")
    if not found:
        return ""
    fields = dict(zip(found[0][::2], found[0][1::2], strict=True))
    return fields["library_code"]


def names(client):
    return {each[1] for each in client.execute_command("KEYMISS.LIST")}


def test_the_library_says_what_is_served(one, worker_of):
    server, client = one
    assert library(client) == ""
    worker_of(server).serve("echo", "echo:", "FORM", "echo:<name>", "VERSION", "1", "CLEAN")
    wanted = "DB 0 echo ON miss PREFIX echo: TIMEOUT 10000 LEASE 5000 PENDING 10000 CACHE 3600000"
    said = f"{wanted} VERSION 1 FORM echo:<name> CLEAN"
    assert client.execute_command("FCALL_RO", "keymiss_functions", 0) == [said]
    client.execute_command("KEYMISS.FORGET", "echo")
    assert library(client) == ""


def test_all_bytes_of_names_prefixes_and_versions_come_back(one, worker_of, connect):
    server, client = one
    worker = worker_of(server)
    odd = b"\x00 %25 '\\\"\n\r\xff]]--"
    worker.serve("na%25me\\", odd, "VERSION", "v%20\\")
    before = client.execute_command("KEYMISS.LIST", NEVER_DECODE=[])
    server.stop()
    server.start()
    after = connect(server).execute_command("KEYMISS.LIST", NEVER_DECODE=[])
    counted = before[0].index(b"workers")
    assert after[0][:counted] == before[0][:counted]
    assert odd in after[0]


def test_a_start_with_the_same_functions_writes_nothing(one, worker_of, connect):
    server, _ = one
    worker_of(server).serve()
    server.stop()
    server.start()
    client = connect(server)
    before = client.info("replication")["master_repl_offset"]
    changes = client.info("persistence")["rdb_changes_since_last_save"]
    worker_of(server).serve()
    assert client.info("persistence")["rdb_changes_since_last_save"] == changes
    assert client.info("replication")["master_repl_offset"] == before


def test_flushall_and_swapdb_leave_nothing_and_take_nothing(one, worker_of):
    server, client = one
    worker_of(server).serve()
    client.flushall()
    assert client.dbsize() == 0
    client.execute_command("SWAPDB", 0, 3)
    assert "echo" in library(client)


def test_a_flush_or_deletion_of_libraries_is_mended(one, worker_of, eventually):
    server, client = one
    worker_of(server).serve()
    before = library(client)
    for command in (("FUNCTION", "FLUSH"), ("FUNCTION", "DELETE", "keymiss")):
        client.execute_command(*command)
        eventually(lambda: library(client) == before)


@pytest.mark.parametrize("case", ["KEYMISS", "KeyMiss"])
def test_a_library_whose_name_differs_in_case_is_another(one, worker_of, connect, case):
    server, client = one
    theirs = STRANGERS.replace("name=keymiss", f"name={case}")
    client.execute_command("FUNCTION", "LOAD", theirs)
    worker_of(server).serve()
    server.stop()
    server.start()
    client = connect(server)
    assert names(client) == {"echo"}
    assert client.execute_command("FCALL_RO", "theirs", 0) == 1


def test_a_deletion_in_a_transaction_is_mended(one, worker_of, eventually):
    server, client = one
    worker_of(server).serve()
    before = library(client)
    with valkey.Valkey(port=server.port, single_connection_client=True) as other:
        for word in ("MULTI", "FUNCTION DELETE keymiss", "PING"):
            other.execute_command(*word.split())
        time.sleep(0.05)  # whatever was to be done at once has been done
        other.execute_command("EXEC")
    eventually(lambda: library(client) == before)


def test_a_deletion_that_a_pause_has_held_back_is_mended(one, worker_of, background, eventually):
    server, client = one
    worker_of(server).serve()
    before = library(client)
    client.client_pause(300, all=False)
    with valkey.Valkey(port=server.port) as other:
        deleted = background(other.execute_command, "FUNCTION", "DELETE", "keymiss")
        assert deleted.result(10)
    eventually(lambda: library(client) == before)


def test_a_setting_that_is_changed_is_kept_and_reaches_replicas(
    launch, connect, replicate, eventually
):
    primary, replica = launch(), launch()
    replicate(replica, primary)
    connect(primary).config_set("keymiss.functions", "a=aaa:<name>")
    eventually(lambda: names(connect(replica)) == {"a"})
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica"):
        connect(replica).get("aaa:1")


def test_who_may_load_libraries_and_not_serve_makes_no_function_of_a_prefix(
    launch, connect, worker_of, eventually, replicate
):
    first, second, replica = launch(), launch(), launch()
    worker_of(first).serve("early", "early:")
    worker_of(second).serve("late", "late:")
    replicate(replica, second)
    client = connect(second)
    before = library(client)
    dump = connect(first).execute_command("FUNCTION", "DUMP", NEVER_DECODE=[])
    client.execute_command("FUNCTION", "RESTORE", dump, "REPLACE")
    eventually(lambda: library(client) == before)
    assert names(client) == {"late"}
    assert client.get("early:1") is None
    eventually(lambda: names(connect(replica)) == {"late"})


def test_a_library_of_somebody_elses_stays_as_it_is(one, worker_of, background, connect):
    server, client = one
    client.execute_command("FUNCTION", "LOAD", STRANGERS)
    worker = worker_of(server)
    worker.serve()
    assert library(client) == STRANGERS
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    assert "functions are not kept over a restart" in server.log.read_text()
    server.stop()
    server.start()
    client = connect(server)
    assert library(client) == STRANGERS
    assert client.execute_command("FCALL_RO", "theirs", 0) == 1
    assert names(client) == set()


def test_lines_that_make_no_sense_are_passed_over(bare_server, tmp_path, eventually):
    head, tail = "-- The functions that keymiss.so serves: ", "restarted servers and replicas"
    lines = [
        "DB 0 good ON miss PREFIX good:",
        "DB x bad ON miss PREFIX bad:",
        "DB 0 short ON miss PREFIX",
        "%ZZ%4",
        "x" * 5000,
        "",
    ]
    body = "".join(f"  '{line}',\n" for line in lines)
    code = (
        f"#!lua name=keymiss\n{head}{tail} read it here.\nlocal served = {{\n{body}}}\n"
        "redis.register_function('keymiss_functions', function() return served end)\n"
    )
    with valkey.Valkey(port=bare_server, decode_responses=True) as client:
        client.execute_command("FUNCTION", "LOAD", code)
        module = shutil.copy(module_path(), tmp_path / "later.so")
        client.execute_command("MODULE", "LOAD", str(module))
        eventually(lambda: names(client) == {"good"})
        # And written as it should be.
        eventually(lambda: "good:" in library(client) and "short" not in library(client))


def test_commands_that_older_modules_wrote_to_a_file_are_passed_over(one, connect, worker_of):
    server, client = one
    client.set("text", "x")
    server.stop()
    (file,) = server.log.parent.glob("appendonlydir/*.incr.aof")
    words = ("KEYMISS.SERVE", "old", "ON", "MISS", "PREFIX", "old:", "CACHE", "off")
    with file.open("a") as end:
        for command in (words, ("KEYMISS.FORGET", "old"), ("SET", "later", "x")):
            end.write(f"*{len(command)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in command))
    server.start()
    client = connect(server)
    assert (names(client), client.dbsize()) == (set(), 2)
    worker_of(server).serve("old", "old:")
    assert names(client) == {"old"}


def test_a_server_that_loads_the_module_later_reads_it(
    one, worker_of, bare_server, tmp_path, eventually
):
    server, client = one
    worker_of(server).serve()
    dump = client.execute_command("FUNCTION", "DUMP", NEVER_DECODE=[])
    module = shutil.copy(module_path(), tmp_path / "later.so")
    with valkey.Valkey(port=bare_server, decode_responses=True) as bare:
        bare.execute_command("FUNCTION", "RESTORE", dump)
        bare.execute_command("MODULE", "LOAD", str(module))
        eventually(lambda: names(bare) == {"echo"})
        with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
            bare.get("echo:1")
