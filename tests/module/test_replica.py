"""On a replica: stored values are read, misses are sent to the primary, and nothing is computed."""

import pytest
import valkey


@pytest.fixture
def pair(launch, worker_of, replicate, connect, eventually):
    """A primary with a worker, and its replica, which knows the function."""
    primary, replica = launch(), launch()
    worker_of(primary).serve()
    replicate(replica, primary)
    eventually(lambda: connect(replica).execute_command("KEYMISS.LIST"))
    return primary, replica


def test_a_stored_value_is_read_there(pair, connect, eventually):
    primary, replica = pair
    connect(primary).set("echo:1", "one")
    eventually(lambda: connect(replica).exists("echo:1"))
    assert connect(replica).get("echo:1") == "one"


def test_a_miss_is_an_error_that_names_the_function(pair, connect):
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica .*'echo'"):
        connect(pair[1]).get("echo:1")


def test_inside_multi_a_miss_is_nil(pair, connect):
    pipeline = connect(pair[1]).pipeline(transaction=True)
    assert pipeline.get("echo:1").execute() == [None]


def test_a_computed_value_reaches_the_replica(pair, connect, worker_of, background, eventually):
    primary, replica = pair
    worker = worker_of(primary)
    worker.serve()
    reply = background(connect(primary).get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"
    eventually(lambda: connect(replica).exists("echo:1"))
    assert connect(replica).get("echo:1") == "one"
    assert 0 < connect(replica).ttl("echo:1") <= 3600


def test_workers_find_no_work_there(pair, worker_of):
    worker = worker_of(pair[1])
    with pytest.raises(valkey.ReadOnlyError):
        worker.serve()
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica"):
        worker.take()


def test_a_demoted_server_ends_every_wait(
    pair, launch, connect, worker_of, background, taking, eventually
):
    primary, _ = pair
    holder, parked = worker_of(primary), worker_of(primary)
    holder.serve()
    replies = [background(connect(primary).get, f"echo:{number}") for number in range(3)]
    info = connect(primary).info
    eventually(lambda: info("keymiss")["keymiss_pending"] == 3)
    held = holder.take()
    parked.serve()
    waiting = taking(parked, connect(primary))
    connect(primary).replicaof("127.0.0.1", launch().port)
    for reply in replies:
        with pytest.raises((valkey.ResponseError, valkey.ConnectionError)) as caught:
            reply.result(2)
        assert str(caught.value).startswith(("UNBLOCKED", "KEYMISS replica", "Connection"))
    assert isinstance(waiting.exception(2), (valkey.ResponseError, valkey.ConnectionError))
    # Its answers are of no use, and nothing is written on a replica.
    assert {holder.answer(item, "late") for item in held} == {0}
    with pytest.raises(valkey.ResponseError, match="KEYMISS replica"):
        holder.take()
    left = info("keymiss")
    assert (left["keymiss_waiting"], left["keymiss_pending"]) == (0, 0)


def test_a_demoted_server_computes_again_after_its_promotion(
    pair, launch, connect, worker_of, background
):
    primary, _ = pair
    client = connect(primary)
    client.replicaof("127.0.0.1", launch().port)
    client.execute_command("REPLICAOF", "NO", "ONE")
    worker = worker_of(primary)
    worker.serve()
    reply = background(client.get, "echo:1")
    worker.answer(worker.take_one(), "one")
    assert reply.result(10) == "one"


def test_writes_are_followed_on_the_primary_only(pair, connect, worker_of, eventually):
    primary, replica = pair
    worker_of(primary).serve("tokens", "text:", "ON", "WRITE", "PENDING", 5)
    for number in range(20):
        connect(primary).set(f"text:{number}", "x")
    eventually(lambda: connect(replica).exists("text:19"))
    # Its promotion brings workers that walk all keys: what it would have kept is of no use.
    assert connect(replica).info("keymiss")["keymiss_pending"] == 0


def test_a_worker_that_stayed_over_a_demotion_is_told_to_walk(
    pair, launch, connect, worker_of, eventually
):
    primary, _ = pair
    follower = worker_of(primary)
    follower.serve("tokens", "text:", "ON", "WRITE")
    other = launch()
    connect(other).set("text:new", "x")
    client = connect(primary)
    client.replicaof("127.0.0.1", other.port)
    eventually(lambda: client.exists("text:new"))
    client.execute_command("REPLICAOF", "NO", "ONE")
    assert follower.take_one("tokens").event == "overflow"
