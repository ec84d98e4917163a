"""Keys of a cluster are followed on all its nodes: documents change, move and go with them."""

import json
import subprocess
import sys

import httpx
import pytest

from keymiss.keys import document_keys
from keymiss.server.resharding import Move, move_slots
from keymiss.server.topology import has_slot_of, joined, slot_of
from tests.cluster.load import wait_for

NOTES = [f"note:{number}" for number in range(40)]


@pytest.fixture
def follower(system):
    """`keymiss ingest --keys note:* --follow`, until the test ends."""
    command = ("ingest", "--keys", "note:*", "--follow", "--json", "--url", system.cluster.url)
    process = subprocess.Popen(
        [sys.executable, "-m", "keymiss", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)
        for key in NOTES:
            system.client.delete(key)


def sentences(system, key):
    return system.client.hvals(document_keys(key).sentences)


def test_keys_on_every_node_are_followed_also_when_their_slots_move(system, follower):
    for key in NOTES[:20]:
        system.client.set(key, f"The keeper of {key} is called Agatha.")
    wait_for(lambda: all(sentences(system, key) for key in NOTES[:20]))
    for key in NOTES[20:]:
        system.client.set(key, f"The warden of {key} is called Beatrix.")
    wait_for(lambda: all(sentences(system, key) for key in NOTES))
    asked = {"search": "Who is the warden of note:33?"}
    wait_for(lambda: _first(httpx.post(f"{system.http}/qasearch", json=asked).json()) == "Beatrix")

    first, second = system.primaries[:2]
    moved = [key for key in NOTES if has_slot_of(system.cluster.members()[first].slots, key)]
    assert moved
    slots = joined(1 << slot_of(key) for key in moved)
    move_slots(system.cluster, [Move(first, second, slots)])
    try:
        for key in moved:
            system.client.set(key, "It has moved.")
        wait_for(lambda: all(sentences(system, key) == [b"It has moved."] for key in moved))
    finally:
        move_slots(system.cluster, [Move(second, first, slots)])

    for key in NOTES:
        system.client.delete(key)
    wait_for(lambda: not any(sentences(system, key) for key in NOTES))


def _first(reply):
    return reply["results"][0]["answer"] if reply["results"] else json.dumps(reply)
