"""A new version: only its workers get items, and what older ones have stored is dropped first."""

import pytest
import valkey

pytestmark = pytest.mark.smoke


def test_the_first_worker_of_a_version_is_told_to_drop_and_so_is_the_next_if_it_dies(
    new_worker, client
):
    first, second = new_worker(), new_worker()
    assert first.serve("echo", "echo:", "VERSION", "1") == 0
    # The first one died before it had dropped all: the next one hears the same.
    first.die()
    assert second.serve("echo", "echo:", "VERSION", "1") == 0
    assert second.serve("echo", "echo:", "VERSION", "1", "CLEAN") == 1
    assert new_worker().serve("echo", "echo:", "VERSION", "1") == 1


def test_another_version_is_not_clean(new_worker):
    worker = new_worker()
    worker.serve("echo", "echo:", "VERSION", "1", "CLEAN")
    assert worker.serve("echo", "echo:", "VERSION", "2") == 0
    assert worker.serve("echo", "echo:", "VERSION", "1") == 0


def test_without_a_version_nothing_needs_to_be_dropped(new_worker):
    assert new_worker().serve("echo", "echo:") == 1


def test_items_go_to_workers_of_the_new_version_only(new_worker, client, background):
    old, new = new_worker(), new_worker()
    old.serve("echo", "echo:", "VERSION", "1")
    reply = background(client.get, "echo:1")
    item = old.take_one()
    new.serve("echo", "echo:", "VERSION", "2")
    assert old.answer(item, "old") == 0
    with pytest.raises(valkey.ResponseError, match="KEYMISS superseded"):
        old.take()
    new.answer(new.take_one(), "new")
    assert reply.result(10) == "new"


def test_a_parked_worker_of_the_old_version_gets_nothing(new_worker, client, background, taking):
    old, new = new_worker(), new_worker()
    old.serve("echo", "echo:", "VERSION", "1")
    parked = taking(old, client, block=500)
    new.serve("echo", "echo:", "VERSION", "2")
    reply = background(client.get, "echo:1")
    new.answer(new.take_one(), "new")
    assert reply.result(10) == "new"
    assert parked.result(10) == []
