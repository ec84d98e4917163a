"""Slots move under load, in both ways: answers stay correct, and complete nearly all the time."""

import itertools
import json
import time

import pytest
from valkey.crc import key_slot

from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import ingest
from keymiss.keys import document_keys, find_key, slot_tag
from keymiss.server.local_cluster import free_cluster_ports
from keymiss.server.resharding import Move, lowest, move_slots, plan_emptying, plan_even
from keymiss.server.topology import first_slot, has_slot_of, parse_cluster_info, slot_ranges
from tests.cluster.load import ask, wait_for


def atomically(cluster, source, target, slots):
    move_slots(cluster, [Move(source, target, slots)])


def classically(cluster, source, target, slots):
    """Slot by slot and key by key, as resharding tools before Valkey 9 do it."""
    members = cluster.members()
    here, there = source.client(), target.client()
    for first, last in slot_ranges(slots):
        for slot in range(first, last + 1):
            there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", members[source].id)
            here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", members[target].id)
            while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 10):
                address = ("127.0.0.1", target.port)
                here.execute_command("MIGRATE", *address, "", 0, 5000, "KEYS", *keys)
            for node in (there, here):
                node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", members[target].id)
    cluster.wait_until_whole()


def documents_found(system):
    """In the indexes of all shards together."""
    members = system.cluster.members()
    total = 0
    for node in system.primaries:
        with node.client() as client:
            key = find_key(slot_tag(first_slot(members[node].slots)), "virus")
            total += json.loads(client.get(key))["documents"]
    return total


def slots_of_documents(system, node):
    """The slots of a primary in which there are documents."""
    slots = 0
    with node.client() as client:
        for key in client.scan_iter("keymiss:document:*"):
            slots |= 1 << key_slot(key.encode())
    return slots


@pytest.mark.parametrize("move", [atomically, classically])
def test_slots_that_move_to_another_primary_take_their_documents_along(system, load, move):
    source, target = system.primaries[:2]
    slots = slots_of_documents(system, source)
    assert slots.bit_count() > 1
    slots |= lowest(system.cluster.members()[source].slots, 100)
    wait_for(lambda: len(load.seen.asked) > 20)
    move(system.cluster, source, target, slots)
    before = len(load.seen.asked)
    wait_for(lambda: len(load.seen.asked) > before + 60)
    move(system.cluster, target, source, slots)
    before = len(load.seen.asked)
    wait_for(lambda: len(load.seen.asked) > before + 60)
    assert load.wrong() == []
    assert load.late() == []
    assert load.incomplete_seconds() < 2
    wait_for(lambda: documents_found(system) == 20)


def epoch(node):
    with node.client() as client:
        info = parse_cluster_info(client.execute_command("CLUSTER", "INFO"))
    return int(info["cluster_my_epoch"])


def test_what_other_nodes_think_of_slots_changes_no_answer(system, load):
    # Of the highest epoch: its own word counts in the end, and the slots stay with it.
    *others, holder = sorted(system.primaries, key=epoch)
    slots = slots_of_documents(system, holder)
    mistaken, other = others[:2]
    id_of_other = system.cluster.members()[other].id
    with mistaken.client() as client:
        for _ in range(250):
            for first, last in slot_ranges(slots):
                for slot in range(first, last + 1):
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", id_of_other)
            time.sleep(0.02)
    assert slots_of_documents(system, holder) == slots
    assert load.wrong() == []
    assert load.incomplete_seconds() < 2
    system.cluster.wait_until_whole()


def test_documents_are_stored_and_forgotten_right_after_their_slot_has_moved(system, text_file):
    source, target = system.primaries[:2]
    slots = lowest(system.cluster.members()[source].slots, 300)
    keys = next(
        keys
        for keys in (document_keys(f"visitor-{number}") for number in itertools.count())
        if has_slot_of(slots, keys.facts)
    )
    sentence = "A zeppelin crossed the Bodensee without a pilot."
    atomically(system.cluster, source, target, slots)
    ingest(system.client, [text_file([json.dumps({"id": keys.document, "text": sentence})])])
    atomically(system.cluster, target, source, slots)
    wait_for(lambda: first_sentence(system, "What crossed the Bodensee?") == sentence)
    assert forget_documents(system.client, [keys]) == [True]
    wait_for(lambda: documents_found(system) == 20)


def first_sentence(system, question):
    return next((each["sentence"] for each in ask(system.http, question).results), None)


def test_a_new_primary_takes_its_share_and_gives_it_back(system, load):
    cluster = system.cluster
    assert {key: system.client.get(key) for key in system.values} == system.values
    node = cluster.add(*free_cluster_ports(1))
    move_slots(cluster, plan_even(cluster.members()))
    counts = {each.slots.bit_count() for each in cluster.members().values() if not each.primary}
    assert counts == {16384 // 5, 16384 // 5 + 1}
    before = len(load.seen.asked)
    wait_for(lambda: len(load.seen.asked) > before + 60)
    assert all(system.client.exists(key) for key in system.values)
    wait_for(lambda: documents_found(system) == 20)

    move_slots(cluster, plan_emptying(cluster.members(), node))
    cluster.remove(node)
    before = len(load.seen.asked)
    wait_for(lambda: len(load.seen.asked) > before + 60)
    assert load.wrong() == []
    assert load.late() == []
    assert load.incomplete_seconds() < 2
    wait_for(lambda: documents_found(system) == 20)
