"""What waits for a busy handler is in its next call, with what its shard has besides."""

import asyncio

import pytest

from keymiss.functions import Event, Shard, handler_batches, on_miss
from keymiss.functions.handler_batches import LATE_SECONDS, Batches
from keymiss.functions.handler_call import compute

SHARD = Shard("valkey://127.0.0.1:1", "nowhere")


def events(*keys):
    return [Event(f"key:{key}", SHARD) for key in keys]


def handled(*waiting, limit=256):
    """The calls of a handler that is busy with one event while these wait; and what each got."""
    calls, gate = [], asyncio.Event()

    @on_miss("key:", batch=limit)
    async def handler(misses):
        calls.append([miss.key.removeprefix("key:") for miss in misses])
        await gate.wait()
        return [miss.key for miss in misses]

    async def run():
        calling = Batches(handler)
        tasks = [asyncio.create_task(calling.handle(events("first")))]
        tasks += [asyncio.create_task(calling.handle(*each)) for each in waiting]
        await asyncio.sleep(2 * LATE_SECONDS)
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return calls, asyncio.run(run())


async def two_more(room):
    return events("x", "y")[:room]


async def lost(room):
    raise ConnectionError("the server is gone")


async def nothing(room):
    pytest.fail("asked for more than there is room for")


def test_what_a_shard_has_besides_is_in_the_same_call():
    calls, (_, got, other) = handled((events("a"), two_more), (events("b"),))
    assert calls == [["first"], ["a", "x", "y", "b"]]
    assert got == [b"key:a", b"key:x", b"key:y"]
    assert len(other) == 1


def test_a_shard_that_is_lost_meanwhile_takes_no_other_with_it():
    calls, (_, gone, got) = handled((events("a"), lost), (events("b"), two_more))
    assert calls == [["first"], ["b", "x", "y"]]
    assert isinstance(gone, ConnectionError)
    assert len(got) == 3


def test_when_all_that_waited_are_lost_the_handler_is_not_called():
    calls, (_, gone) = handled((events("a"), lost))
    assert calls == [["first"]]
    assert isinstance(gone, ConnectionError)


def test_what_may_have_cost_a_worker_goes_alone():
    waiting = ((events("a"), two_more), (events("suspect"), None, True), (events("b"),))
    calls, _ = handled(*waiting)
    assert calls == [["first"], ["a", "x", "y"], ["suspect"], ["b"]]


def test_a_shard_that_is_silent_holds_up_no_other_for_long(monkeypatch):
    monkeypatch.setattr(handler_batches, "MORE_SECONDS", 0.02)

    async def late(room):
        await asyncio.sleep(0.2)
        return events("x")

    calls, (_, got, _) = handled((events("a"), late), (events("b"),))
    assert calls == [["first"], ["b"], ["a", "x"]]
    assert got == [b"key:a", b"key:x"]


def test_events_that_fail_alike_are_one_line_in_the_log(caplog):
    @on_miss("key:")
    async def handler(misses):
        raise ValueError("the other server is away")

    results = asyncio.run(compute(handler, events("a", "b", "c")))
    assert [type(result) for result in results] == [ValueError] * 3
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert line.startswith("handler failed on 'key:a' and 2 others: ")
    assert line.endswith("ValueError('the other server is away')")


def test_a_full_batch_is_not_filled_up():
    calls, _ = handled((events("a", "b"), nothing), (events("c"), two_more), limit=2)
    assert calls == [["first"], ["a", "b"], ["c", "x"]]


def test_shards_share_the_room_that_is_left():
    calls, _ = handled((events("a"), two_more), (events("b"), two_more), limit=4)
    assert calls == [["first"], ["a", "x", "b", "x"]]
