"""Candidates of all shards: each slot is spoken for once, however often its shard is asked."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keymiss import functions
from keymiss.answers.finding import Reply, each_slot_once, find
from keymiss.search.functions import candidates_to_json
from keymiss.search.index import Candidate, Candidates
from keymiss.server.embedded import free_ports
from keymiss.server.keys import FIND, slot_tag
from keymiss.server.local_cluster import LocalCluster
from keymiss.server.routing import Servers
from keymiss.server.topology import ALL_SLOTS

NOTHING = Candidates(0, 0, 0, {}, ())
SLOTS = st.integers(0, 2**8 - 1)


@st.composite
def replies(draw):
    """Some shards, each asked several times, with the slots that they have looked in by then."""
    whole = 2**8 - 1
    held = draw(SLOTS)
    asked = draw(st.lists(st.tuples(st.sampled_from([held, whole & ~held]), SLOTS), max_size=6))
    return [Reply(NOTHING, slots, True, owned) for owned, slots in asked]


@given(replies())
def test_each_slot_that_somebody_has_looked_in_counts_once(asked):
    parts = each_slot_once(asked)
    total = covered = 0
    for reply, part in parts:
        assert part
        assert part & ~reply.slots == 0
        assert part & total == 0
        total |= part
    for reply in asked:
        covered |= reply.slots
    assert total == covered


@given(replies())
def test_who_holds_a_slot_speaks_for_it_as_the_last_time_that_it_was_asked(asked):
    parts = each_slot_once(asked)
    for slot in range(8):
        holders = [reply for reply in asked if (reply.slots & reply.owned) >> slot & 1]
        if holders:
            (speaker,) = [reply for reply, part in parts if part >> slot & 1]
            assert speaker is holders[-1]


@pytest.fixture
def cluster(tmp_path):
    """One node that holds all slots."""
    cluster = LocalCluster(tmp_path)
    cluster.create(1, 0, free_ports(1))
    yield cluster
    cluster.stop()


def test_a_shard_that_is_asked_ten_times_has_each_candidate_once(cluster):
    sentence = f"7:{{{slot_tag(0)}}}:1"
    found = Candidates(1, 2, 20, {"virus": 1}, (Candidate(sentence, 10, [1]),))
    asked = itertools.count(1)

    @functions.on_miss(FIND, name="find", cache="off", batch=1)
    def search(events):
        is_done = next(asked) == 10
        looked_in = ALL_SLOTS if is_done else ALL_SLOTS >> 1
        return [candidates_to_json(found, looked_in, is_done)]

    async def all_findings():
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(functions.serve([search], cluster.url, stop, ready.set))
        await ready.wait()
        async with Servers(cluster.url) as servers:
            findings = await find(servers, "virus")
        stop.set()
        await serving
        return findings

    findings = asyncio.run(all_findings())
    assert next(asked) == 11
    assert [one.sentence for one in findings.ranked] == [sentence]
    assert findings.complete
    assert findings.settled
