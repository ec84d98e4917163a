"""Functions stay registered: over restarts, rewrites of the append-only file, and promotion."""

import time

import pytest
import valkey


@pytest.fixture
def functions(connect):
    def read(server):
        listed = connect(server).execute_command("KEYMISS.LIST")
        fields = [dict(zip(each[::2], each[1::2], strict=True)) for each in listed]
        return {each["name"]: each for each in fields}

    return read


def serve_two(worker):
    worker.serve("echo", "echo:", "VERSION", "v1", "TIMEOUT", 1234, "CACHE", "forever")
    worker.serve("index", "text:", "ON", "WRITE", "EACH", "PENDING", 77)


def shape(function):
    counted = ("name", "on", "prefix", "version", "each", "timeout", "cache", "limit", "db")
    return {field: function[field] for field in counted}


def test_a_restart_keeps_functions_and_a_miss_is_no_false_nil(
    launch, connect, worker_of, functions
):
    server = launch()
    serve_two(worker_of(server))
    before = {name: shape(each) for name, each in functions(server).items()}
    server.stop()
    server.start()
    after = functions(server)
    assert {name: shape(each) for name, each in after.items()} == before
    assert {each["workers"] for each in after.values()} == {0}
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        connect(server).get("echo:1")


@pytest.mark.parametrize("preamble", ["yes", "no"])
def test_a_rewritten_file_keeps_functions(
    launch, connect, worker_of, functions, eventually, preamble
):
    server = launch("--aof-use-rdb-preamble", preamble)
    serve_two(worker_of(server))
    client = connect(server)
    client.bgrewriteaof()
    eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    eventually(lambda: client.info("persistence")["aof_rewrite_scheduled"] == 0)
    server.stop()
    server.start()
    assert set(functions(server)) == {"echo", "index"}


def test_a_forgotten_function_stays_forgotten(launch, connect, worker_of, functions):
    server = launch()
    serve_two(worker_of(server))
    connect(server).execute_command("KEYMISS.FORGET", "echo")
    server.stop()
    server.start()
    assert set(functions(server)) == {"index"}


def test_a_database_is_part_of_what_is_kept(launch, worker_of, functions):
    server = launch()
    worker = worker_of(server)
    worker.client.execute_command("SELECT", 3)
    worker.serve()
    server.stop()
    server.start()
    assert functions(server)["echo"]["db"] == 3


def test_a_replica_learns_of_functions_before_and_after_it_came(
    launch, worker_of, functions, replicate, eventually
):
    primary, replica = launch(), launch()
    worker = worker_of(primary)
    worker.serve("early", "early:")
    replicate(replica, primary)
    eventually(lambda: set(functions(replica)) == {"early"})
    worker.serve("late", "late:")
    eventually(lambda: set(functions(replica)) == {"early", "late"})
    assert {each["workers"] for each in functions(replica).values()} == {0}


def test_a_replica_follows_new_versions_and_forgetting(
    launch, connect, worker_of, functions, replicate, eventually
):
    primary, replica = launch(), launch()
    worker = worker_of(primary)
    worker.serve("echo", "echo:", "VERSION", "1")
    replicate(replica, primary)
    worker.serve("echo", "echo:", "VERSION", "2", "CLEAN")
    eventually(lambda: functions(replica).get("echo", {}).get("version") == "2")
    assert functions(replica)["echo"]["clean"] == 1
    connect(primary).execute_command("KEYMISS.FORGET", "echo")
    eventually(lambda: functions(replica) == {})


def test_what_the_primary_says_displaces_what_a_replica_believed(
    launch, connect, worker_of, functions, replicate, eventually
):
    primary, replica = launch(), launch("--keymiss.functions", "old=echo: other=other:")
    replicate(replica, primary)
    worker_of(primary).serve("echo", "echo:longer:")
    eventually(lambda: functions(replica).get("echo", {}).get("prefix") == "echo:longer:")
    assert set(functions(replica)) == {"echo", "other"}


def test_after_promotion_a_miss_is_an_error_until_a_worker_comes(
    launch, connect, worker_of, functions, replicate, eventually, background
):
    primary, replica = launch(), launch()
    worker_of(primary).serve("echo", "echo:", "VERSION", "1", "CLEAN")
    connect(primary).set("echo:stored", "kept")
    replicate(replica, primary)
    eventually(lambda: functions(replica) and connect(replica).exists("echo:stored"))
    primary.stop()
    client = connect(replica)
    client.execute_command("REPLICAOF", "NO", "ONE")
    with pytest.raises(valkey.ResponseError, match="KEYMISS unavailable"):
        client.get("echo:1")
    worker = worker_of(replica)
    # Nothing needs to be dropped: the stored values are of this version.
    assert worker.serve("echo", "echo:", "VERSION", "1") == 1
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    assert client.get("echo:stored") == "kept"


def test_who_asks_right_after_promotion_waits_a_moment_for_a_worker(
    launch, connect, worker_of, functions, replicate, eventually, background
):
    primary, replica = launch(), launch()
    worker_of(primary).serve("echo", "echo:")
    replicate(replica, primary)
    eventually(lambda: functions(replica))
    time.sleep(1.2)  # longer than a miss waits for a first worker
    connect(replica).execute_command("REPLICAOF", "NO", "ONE")
    reply = background(connect(replica).get, "echo:1")
    worker = worker_of(replica)
    worker.serve("echo", "echo:")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"


def test_a_file_that_a_replica_rewrites_keeps_functions(
    launch, connect, worker_of, functions, replicate, eventually
):
    primary, replica = launch(), launch()
    serve_two(worker_of(primary))
    replicate(replica, primary)
    eventually(lambda: set(functions(replica)) == {"echo", "index"})
    client = connect(replica)
    persistence = client.info
    eventually(lambda: persistence("persistence")["aof_rewrite_in_progress"] == 0)
    client.bgrewriteaof()
    eventually(lambda: persistence("persistence")["aof_rewrite_in_progress"] == 0)
    eventually(lambda: persistence("persistence")["aof_rewrite_scheduled"] == 0)
    primary.stop()
    replica.stop()
    replica.start()
    assert set(functions(replica)) == {"echo", "index"}


def test_a_replica_of_a_replica_learns_of_functions_before_and_after_it_came(
    launch, connect, worker_of, functions, replicate, eventually
):
    primary, middle, last = launch(), launch(), launch()
    worker = worker_of(primary)
    worker.serve("early", "early:")
    replicate(middle, primary)
    replicate(last, middle)
    assert set(functions(last)) == {"early"}
    worker.serve("late", "late:")
    eventually(lambda: set(functions(last)) == {"early", "late"})
    connect(primary).execute_command("KEYMISS.FORGET", "early")
    eventually(lambda: set(functions(last)) == {"late"})
    connect(middle).execute_command("REPLICAOF", "NO", "ONE")
    eventually(lambda: connect(middle).info("replication")["role"] == "master")
    assert set(functions(middle)) == set(functions(last)) == {"late"}


def test_a_replica_that_comes_during_a_pause_knows_the_functions(
    launch, connect, worker_of, functions, replicate
):
    primary, replica = launch(), launch()
    worker_of(primary).serve()
    connect(primary).client_pause(60_000, all=False)
    replicate(replica, primary)
    assert set(functions(replica)) == {"echo"}


def test_a_redefinition_takes_the_place_of_one_that_nobody_serves(
    launch, connect, worker_of, functions, eventually
):
    server = launch()
    first = worker_of(server)
    first.serve("echo", "echo:")
    with pytest.raises(valkey.ResponseError, match="KEYMISS.FORGET it first"):
        worker_of(server).serve("echo", "elsewhere:")
    first.die()
    eventually(lambda: functions(server)["echo"]["workers"] == 0)
    worker_of(server).serve("echo", "elsewhere:")
    assert functions(server)["echo"]["prefix"] == "elsewhere:"
