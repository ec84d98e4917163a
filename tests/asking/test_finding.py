"""Candidates of all shards: each slot is spoken for once, however often its shard is asked."""

import asyncio
import itertools
import json

import pytest
import valkey
from hypothesis import given
from hypothesis import strategies as st

from keymiss import functions
from keymiss.asking.candidate_search import each_slot_once, find
from keymiss.corpus.ingest import ingest
from keymiss.keys import FIND, slot_tag
from keymiss.operating.served_functions import parse_list
from keymiss.search.search_functions import search_functions
from keymiss.server.client import connect
from keymiss.server.local_cluster import LocalCluster, free_cluster_ports
from keymiss.server.servers import Servers
from keymiss.server.topology import ALL_SLOTS
from keymiss.values.find_value import (
    Candidate,
    Candidates,
    ShardCandidates,
    shard_candidates_to_json,
)

NOTHING = Candidates(0, 0, 0, 0, {}, [], ())
SLOTS = st.integers(0, 2**8 - 1)


@st.composite
def replies(draw):
    """Some shards, each asked several times, with the slots that they have looked in by then."""
    whole = 2**8 - 1
    held = draw(SLOTS)
    asked = draw(st.lists(st.tuples(st.sampled_from([held, whole & ~held]), SLOTS), max_size=6))
    return [ShardCandidates(NOTHING, slots, owned, True) for owned, slots in asked]


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
def cluster_of(tmp_path):
    """A cluster of so many primaries."""
    cluster = LocalCluster(tmp_path)

    def create(primaries):
        cluster.create(primaries, 0, free_cluster_ports(primaries))
        return cluster

    yield create
    cluster.stop()


def findings(cluster, *served, shards=()):
    """What is found while these functions are served, each list by a worker of its own."""

    async def run():
        stop = asyncio.Event()
        serving = []
        for number, some in enumerate(served):
            ready = asyncio.Event()
            chosen = shards[number] if shards else "local"
            worker = functions.serve(some, cluster.url, stop, ready.set, chosen)
            serving.append(asyncio.create_task(worker))
            await ready.wait()
        async with Servers(cluster.url) as servers:
            found = await find(servers, "virus")
        stop.set()
        await asyncio.gather(*serving)
        return found

    return asyncio.run(run())


def test_a_shard_that_is_asked_ten_times_has_each_candidate_once(cluster_of):
    sentence = f"7:{{{slot_tag(0)}}}:1"
    candidate = Candidate(sentence, 100, [10], 20, [1], [0, 50, 60, 70, 0])
    found = Candidates(1, 20, 2, 200, {"virus": 1}, [1], (candidate,))
    asked = itertools.count(1)

    @functions.on_miss(FIND, name="find", cache="off", batch=1)
    def search(events):
        is_done = next(asked) == 10
        looked_in = ALL_SLOTS if is_done else ALL_SLOTS >> 1
        return [shard_candidates_to_json(ShardCandidates(found, looked_in, ALL_SLOTS, is_done))]

    found = findings(cluster_of(1), [search])
    assert next(asked) == 11
    assert [one.sentence for one in found.ranked] == [sentence]
    assert found.complete
    assert found.settled


@pytest.fixture
def documents(tmp_path):
    """Twelve documents, on every shard some."""
    path = tmp_path / "documents.jsonl"
    lines = [{"id": f"d{number}", "text": f"Virus {number} spreads."} for number in range(12)]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


def counted(cluster, function):
    """How many keys of a function have been asked for, on all nodes."""
    misses = 0
    for node in cluster.nodes:
        with valkey.Valkey(port=node.port) as client:
            misses += parse_list(client.execute_command("KEYMISS.LIST"))[function]["misses"]
    return misses


def test_one_shard_is_asked_for_all_of_its_host(cluster_of, documents):
    cluster = cluster_of(3)
    ingest(connect(cluster.url), [documents])
    found = findings(cluster, search_functions())
    assert found.complete
    assert len(found.ranked) == 12
    assert (counted(cluster, "findhere"), counted(cluster, "find")) == (1, 0)


def test_workers_that_share_a_host_are_asked_for_what_each_serves(cluster_of, documents):
    cluster = cluster_of(3)
    ingest(connect(cluster.url), [documents])
    names = [node.name for node in cluster.nodes]
    workers = [search_functions() for _ in names]
    found = findings(cluster, *workers, shards=names)
    assert found.complete
    assert len(found.ranked) == 12
    assert (counted(cluster, "findhere"), counted(cluster, "find")) == (1, 2)
