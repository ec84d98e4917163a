"""Write events: keys written or deleted under a prefix, to one worker or to each."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


@pytest.fixture
def follower(new_worker):
    made = new_worker()
    made.serve("tokens", "text:", "ON", "WRITE")
    return made


def keys(items):
    return sorted(item.key for item in items)


def test_a_written_key_is_an_event(client, follower):
    client.set("text:1", "x")
    item = follower.take_one("tokens")
    assert (item.event, item.key) == ("write", "text:1")
    assert follower.answer(item) == 1
    assert follower.take("tokens", block=0) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.hset("text:1", "f", "v"),
        lambda c: c.rpush("text:1", "v"),
        lambda c: c.sadd("text:1", "v"),
        lambda c: c.zadd("text:1", {"v": 1}),
        lambda c: c.xadd("text:1", {"f": "v"}),
        lambda c: c.eval("redis.call('SET', 'text:1', 'v')", 0),
    ],
    ids=["hash", "list", "set", "sorted set", "stream", "script"],
)
def test_every_type_of_write_is_an_event(client, follower, write):
    write(client)
    assert follower.take_one("tokens").key == "text:1"


def test_deleting_renaming_and_expiring_are_events(client, follower):
    client.set("text:1", "x")
    follower.answer(follower.take_one("tokens"))
    client.delete("text:1")
    follower.answer(follower.take_one("tokens"))
    client.set("other", "x")
    client.rename("other", "text:2")
    assert follower.take_one("tokens").key == "text:2"


def test_a_key_written_ten_times_before_it_is_taken_is_one_event(client, follower):
    for value in range(10):
        client.set("text:1", value)
    assert keys(follower.take("tokens")) == ["text:1"]


def test_a_write_during_the_work_makes_another_event(client, follower):
    client.set("text:1", "x")
    item = follower.take_one("tokens")
    client.set("text:1", "y")
    assert follower.take("tokens", block=0) == []
    follower.answer(item)
    follower.answer(follower.take_one("tokens"))
    assert follower.take("tokens", block=0) == []


def test_several_functions_may_follow_the_same_keys(client, new_worker, follower):
    concepts, images = new_worker(), new_worker()
    concepts.serve("concepts", "text:", "ON", "WRITE", "EACH")
    images.serve("images", "text:image:", "ON", "WRITE")
    client.mset({"text:1": "x", "text:image:2": "y"})
    assert keys(follower.take("tokens")) == ["text:1", "text:image:2"]
    assert keys(concepts.take("concepts")) == ["text:1", "text:image:2"]
    assert keys(images.take("images")) == ["text:image:2"]


def test_what_is_followed_cannot_be_computed_as_well(new_worker, follower):
    with pytest.raises(valkey.ResponseError, match="overlaps"):
        new_worker().serve("echo", "text:")


def test_keys_elsewhere_are_no_events(client, server, follower):
    client.set("tex", "x")
    with valkey.Valkey(port=server.port, db=2) as other:
        other.set("text:1", "x")
    assert follower.take("tokens", block=0) == []


def test_a_shared_event_goes_to_one_worker(client, new_worker, follower):
    second = new_worker()
    second.serve("tokens", "text:", "ON", "WRITE")
    client.set("text:1", "x")
    assert keys(follower.take("tokens")) == ["text:1"]
    assert second.take("tokens", block=0) == []


def test_a_lost_worker_leaves_its_events_to_the_next(client, new_worker, follower):
    client.set("text:1", "x")
    follower.take_one("tokens")
    follower.die()
    second = new_worker()
    second.serve("tokens", "text:", "ON", "WRITE")
    assert keys(second.take("tokens")) == ["text:1"]


def test_a_late_acknowledgement_does_not_swallow_a_later_write(client, new_worker):
    first = new_worker()
    first.serve("tokens", "text:", "ON", "WRITE", "LEASE", 100)
    client.set("text:1", "x")
    item = first.take_one("tokens")
    second = new_worker()
    second.serve("tokens", "text:", "ON", "WRITE", "LEASE", 100)
    second.take_one("tokens")
    assert first.answer(item) == 0


def test_each_worker_gets_every_event(client, new_worker):
    workers = [new_worker(), new_worker()]
    for worker in workers:
        worker.serve("index", "text:", "ON", "WRITE", "EACH")
    client.mset({"text:1": "x", "text:2": "y"})
    for worker in workers:
        items = worker.take("index")
        assert keys(items) == ["text:1", "text:2"]
        assert {item.id for item in items} == {""}
        assert worker.take("index", block=0) == []


def test_each_wakes_a_worker_that_waits(client, new_worker, background, counters, eventually):
    worker = new_worker()
    worker.serve("index", "text:", "ON", "WRITE", "EACH")
    taking = background(worker.take, "index", block=10_000)
    client.set("text:1", "x")
    assert keys(taking.result(10)) == ["text:1"]


def test_each_follows_a_worker_only_while_its_connection_lives(client, new_worker, counters):
    worker = new_worker()
    worker.serve("index", "text:", "ON", "WRITE", "EACH")
    client.set("text:1", "x")
    assert counters()["pending"] == 1
    worker.die()
    client.ping()
    assert counters()["pending"] == 0


def test_too_many_events_leave_a_mark_instead(client, new_worker):
    worker = new_worker()
    worker.serve("tokens", "text:", "ON", "WRITE", "PENDING", 2)
    for number in range(5):
        client.set(f"text:{number}", "x")
    items = worker.take("tokens")
    assert [item.event for item in items] == ["write", "write", "overflow"]
    assert items[-1].key == ""
    for item in items:
        assert worker.answer(item) == 1


def test_a_flush_leaves_a_mark(client, follower):
    client.flushall()
    assert follower.take_one("tokens").event == "overflow"


def test_misses_come_before_writes(client, new_worker, background, counters, eventually):
    worker = new_worker()
    worker.serve("tokens", "text:", "ON", "WRITE")
    worker.serve("echo", "echo:")
    client.set("text:1", "x")
    reply = background(client.get, "echo:1")
    eventually(lambda: counters()["pending"] == 2)
    items = worker.take("tokens", "echo")
    assert [item.event for item in items] == ["miss", "write"]
    worker.answer(items[0], "one")
    assert reply.result(10) == "one"


def lose(new_worker, follower, times):
    """Workers that take the event and are lost, one after the other."""
    for _ in range(times):
        event = follower.take_one("tokens")
        follower.die()
        follower = new_worker()
        follower.serve("tokens", "text:", "ON", "WRITE")
    return follower, event


def test_an_event_that_costs_three_workers_is_given_up(client, new_worker, follower):
    client.set("text:1", "x")
    follower, _ = lose(new_worker, follower, 3)
    assert follower.take("tokens", block=0) == []


def test_a_key_that_is_written_again_has_cost_nobody_anything(client, new_worker, follower):
    client.set("text:1", "x")
    follower, _ = lose(new_worker, follower, 2)
    item = follower.take_one("tokens")
    client.set("text:1", "y")
    follower.die()
    successor = new_worker()
    successor.serve("tokens", "text:", "ON", "WRITE")
    item = successor.take_one("tokens")
    assert item.key == "text:1"
    successor.answer(item)
    assert successor.take("tokens", block=0) == []


def test_that_events_were_lost_is_never_lost(client, new_worker, follower):
    client.flushall()
    follower, event = lose(new_worker, follower, 5)
    assert event.event == "overflow"
    assert follower.take_one("tokens").event == "overflow"
