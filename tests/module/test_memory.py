"""What bounds memory: the server's own limit, and keymiss.max-pending-bytes."""

import pytest
import valkey


@pytest.fixture
def limited(client, server):
    """Sets maxmemory and a policy; they are gone after the test."""

    def limit(policy, more=0):
        client.config_set("maxmemory-policy", policy)
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory", max(1, used + more))

    yield limit
    with valkey.Valkey(port=server.port) as admin:
        admin.config_set("maxmemory", 0)
        admin.config_set("maxmemory-policy", "noeviction")


def compute(client, worker, background, value="computed"):
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), value)
    return reply.result(10)


def test_out_of_memory_answers_but_does_not_store(client, worker, background, limited):
    limited("noeviction", more=-1_000_000_000)
    assert compute(client, worker, background) == "computed"
    assert not client.exists("echo:1")


def test_a_server_that_evicts_stores(client, worker, background, limited, eventually):
    for number in range(1000):
        client.set(f"filler:{number}", "x" * 1000, ex=60)
    limited("volatile-ttl", more=-500_000)  # a filler goes before what is stored for longer
    assert compute(client, worker, background) == "computed"
    eventually(lambda: client.exists("echo:1"))


def test_a_key_that_is_evicted_to_make_room_for_its_own_get_is_computed_never_nil(
    server, client, worker, limited
):
    limited("allkeys-random", more=1_000_000_000)
    client.set("echo:1", "stored")
    with valkey.Valkey(port=server.port, single_connection_client=True) as asker:
        link = asker.connection
        # One packet: the GET is the first command that finds too little memory.
        commands = [("CONFIG", "SET", "maxmemory", "1"), ("GET", "echo:1")]
        link.send_packed_command(link.pack_commands(commands))
        worker.answer(worker.take_one(), "computed")
        assert [link.read_response(), link.read_response()] == [b"OK", b"computed"]


@pytest.fixture
def most_pending(server):
    """Sets keymiss.max-pending-bytes; it is as ever after the test."""
    with valkey.Valkey(port=server.port) as admin:
        yield lambda size: admin.config_set("keymiss.max-pending-bytes", size)
        admin.config_set("keymiss.max-pending-bytes", "256mb")


@pytest.fixture
def most_stored(server):
    """Sets keymiss.max-stored-bytes; it is as ever after the test."""
    with valkey.Valkey(port=server.port) as admin:
        yield lambda size: admin.config_set("keymiss.max-stored-bytes", size)
        admin.config_set("keymiss.max-stored-bytes", "1gb")


def test_one_flood_leaves_room_for_the_other_functions(
    server, client, new_worker, background, counters, eventually, most_pending
):
    worker = new_worker()
    worker.serve("flood", "flood:")
    worker.serve("calm", "calm:")
    most_pending(760_000)
    clients = [valkey.Valkey(port=server.port) for _ in range(20)]
    asked = [
        background(each.get, f"flood:{number:02}" + "x" * 9000)
        for number, each in enumerate(clients)
    ]
    # Two thirds are shared, and a queue may hold as much as is still free of them.
    eventually(lambda: counters()["busy"] == 15)
    assert counters()["waiting"] == 5
    calm = background(client.get, "calm:1")
    worker.answer(worker.take_one("calm"), "answered")
    assert calm.result(10) == "answered"
    for item in worker.take("flood"):
        worker.answer(item, "late")
    errors = [reply.exception(10) for reply in asked]
    refused = [error for error in errors if error]
    assert len(refused) == 15
    assert all(str(error).startswith("KEYMISS busy") for error in refused)
    eventually(lambda: counters()["pending_bytes"] == 0)


def test_floods_of_many_functions_leave_room_for_the_last_one(
    server, client, new_worker, background, counters, eventually, most_pending
):
    worker = new_worker()
    for number in range(6):
        worker.serve(f"flood{number}", f"flood{number}:")
    worker.serve("calm", "calm:")
    most_pending(900_000)
    clients = [valkey.Valkey(port=server.port, single_connection_client=True) for _ in range(60)]
    for number, each in enumerate(clients):
        each.connection.send_command("GET", f"flood{number % 6}:{number}")
    eventually(lambda: counters()["busy"] + counters()["waiting"] == 60)
    assert counters()["busy"] > 30
    calm = background(client.get, "calm:1")
    worker.answer(worker.take_one("calm"), "answered")
    assert calm.result(10) == "answered"
    for each in clients:
        each.close()
    eventually(lambda: counters()["pending_bytes"] == 0)


def test_clients_that_wait_for_one_key_count_with_what_they_cost_the_server(
    server, client, worker, counters, eventually, most_pending
):
    most_pending(600_000)
    clients = [valkey.Valkey(port=server.port, single_connection_client=True) for _ in range(9)]
    for each in clients:
        each.connection.send_command("GET", "echo:1")
    eventually(lambda: counters()["busy"] == 3)
    assert counters()["waiting"] == 6
    worker.answer(worker.take_one(), "computed")
    replies = []
    for each in clients:
        try:
            replies.append(each.connection.read_response())
        except valkey.ResponseError as error:
            replies.append(str(error)[:12])
    assert sorted(replies, key=str) == ["KEYMISS busy"] * 3 + [b"computed"] * 6
    eventually(lambda: counters()["pending_bytes"] == 0)


def test_a_long_key_counts_for_each_client_that_waits_for_it(server, worker, counters, eventually):
    key = "echo:" + "x" * 50_000
    clients = [valkey.Valkey(port=server.port, single_connection_client=True) for _ in range(9)]
    for each in clients:
        each.connection.send_command("GET", key)
    eventually(lambda: counters()["waiting"] == 9)
    assert 10 * len(key) < counters()["pending_bytes"] < 20 * len(key)
    worker.answer(worker.take_one(), "computed")
    assert {each.connection.read_response() for each in clients} == {b"computed"}
    eventually(lambda: counters()["pending_bytes"] == 0)


def ask_for(client, worker, background, key, value):
    reply = background(client.get, key)
    worker.answer(worker.take_one(), value)
    assert reply.result(10) == value


def test_a_server_that_does_not_evict_stores_so_much_and_answers_the_rest(
    client, worker, background, counters, eventually, most_stored
):
    most_stored(6000)
    for number in range(4):
        ask_for(client, worker, background, f"echo:{number}", "x" * 1000)
    eventually(lambda: counters()["unstored"] == 2)
    assert sorted(client.keys("echo:*")) == ["echo:0", "echo:1"]
    assert 2000 < counters()["stored_bytes"] <= 6000 / 2


def test_what_has_expired_makes_room(
    client, new_worker, background, counters, eventually, most_stored
):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", 200)
    most_stored(3000)
    ask_for(client, worker, background, "echo:1", "x" * 1000)
    eventually(lambda: client.exists("echo:1"))
    ask_for(client, worker, background, "echo:2", "x" * 1000)
    eventually(lambda: counters()["unstored"] == 1)
    eventually(lambda: counters()["stored_bytes"] == 0)
    ask_for(client, worker, background, "echo:3", "x" * 1000)
    eventually(lambda: client.keys("echo:*") == ["echo:3"])


def test_an_evicting_server_may_store_more(
    client, worker, background, counters, limited, eventually, most_stored
):
    most_stored(10)
    limited("volatile-lru", more=1_000_000_000)
    ask_for(client, worker, background, "echo:1", "computed")
    eventually(lambda: client.exists("echo:1"))
    assert counters()["unstored"] == 0


def test_values_that_others_have_stored_are_not_counted(
    client, worker, background, counters, most_stored
):
    reply = background(client.get, "echo:1")
    item = worker.take_one()
    client.set("echo:1", "mine")
    worker.answer(item, "computed")
    assert reply.result(10) == "mine"
    assert counters()["stored_bytes"] == 0


def test_a_function_that_stores_much_leaves_room_for_the_others(
    client, new_worker, background, counters, eventually, most_stored
):
    worker = new_worker()
    worker.serve("flood", "flood:")
    worker.serve("calm", "calm:")
    most_stored(10_000)
    for number in range(20):
        reply = background(client.get, f"flood:{number}")
        worker.answer(worker.take_one("flood"), "x" * 1000)
        reply.result(10)
    reply = background(client.get, "calm:1")
    worker.answer(worker.take_one("calm"), "x" * 1000)
    reply.result(10)
    eventually(lambda: client.exists("calm:1"))
    assert len(client.keys("flood:*")) == 3


def test_what_may_not_be_evicted_is_bounded_on_an_evicting_server_too(
    client, new_worker, background, counters, limited, eventually, most_stored
):
    worker = new_worker()
    worker.serve("echo", "echo:", "CACHE", "forever")
    most_stored(3000)
    limited("volatile-lru", more=1_000_000_000)
    ask_for(client, worker, background, "echo:1", "x" * 1000)
    ask_for(client, worker, background, "echo:2", "x" * 1000)
    eventually(lambda: counters()["unstored"] == 1)
    assert client.keys("echo:*") == ["echo:1"]


def test_what_may_be_evicted_takes_no_room_from_what_may_not(
    client, new_worker, background, counters, limited, eventually, most_stored
):
    worker = new_worker()
    worker.serve("short", "short:")
    worker.serve("echo", "echo:", "CACHE", "forever")
    most_stored(3000)
    limited("volatile-lru", more=1_000_000_000)
    for number in range(10):
        reply = background(client.get, f"short:{number}")
        worker.answer(worker.take_one("short"), "x" * 1000)
        reply.result(10)
    ask_for(client, worker, background, "echo:1", "x" * 1000)
    eventually(lambda: client.exists("echo:1"))
    assert counters()["unstored"] == 0
