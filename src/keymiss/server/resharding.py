"""Moves slots between the primaries of a local cluster, by Valkey's atomic migration."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keymiss.errors import BadInput, KeymissError
from keymiss.keys import SLOTS
from keymiss.server.local_cluster import LocalCluster, LocalNode, Member
from keymiss.server.topology import Slots, first_slot, slot_ranges

MOVE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Move:
    """Slots that go from one primary to another."""

    source: LocalNode
    target: LocalNode
    slots: Slots


def plan_even(members: Mapping[LocalNode, Member]) -> list[Move]:
    """The fewest slots to move so that all primaries hold equally many, give or take one."""
    primaries = [node for node, member in members.items() if not member.primary]
    wanted = {
        node: SLOTS // len(primaries) + (number < SLOTS % len(primaries))
        # A primary that holds more keeps the odd slot.
        for number, node in enumerate(
            sorted(primaries, key=lambda node: -members[node].slots.bit_count())
        )
    }
    lacking = {node: wanted[node] - members[node].slots.bit_count() for node in primaries}
    moves = []
    for source in primaries:
        slots = members[source].slots
        for target in primaries:
            count = min(-lacking[source], lacking[target])
            if count > 0:
                some = lowest(slots, count)
                moves.append(Move(source, target, some))
                slots &= ~some
                lacking[source] += count
                lacking[target] -= count
    return moves


def plan_emptying(members: Mapping[LocalNode, Member], leaving: LocalNode) -> list[Move]:
    """All slots of one primary, spread over the others.

    Raises:
        BadInput: there is no other primary.
    """
    others = [node for node, member in members.items() if not member.primary and node != leaving]
    if not others:
        raise BadInput(f"{leaving.name} is the only primary; no other can take its slots")
    moves, slots = [], members[leaving].slots
    for left, target in zip(range(len(others), 0, -1), others, strict=True):
        some = lowest(slots, slots.bit_count() // left)
        slots &= ~some
        if some:
            moves.append(Move(leaving, target, some))
    return moves


def lowest(slots: Slots, count: int) -> Slots:
    """The `count` lowest slots of a set."""
    chosen = 0
    for _ in range(count):
        chosen |= 1 << first_slot(slots & ~chosen)
    return chosen


def move_slots(cluster: LocalCluster, moves: Sequence[Move]) -> None:
    """Makes the moves one after the other; clients keep reading and writing.

    Raises:
        KeymissError: a move has failed; the moves before it are done.
    """
    for move in moves:
        target = cluster.members()[move.target].id
        ranges = [bound for pair in slot_ranges(move.slots) for bound in pair]
        with move.source.client() as client:
            client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", target)
        _wait_until_moved(cluster, move)
    cluster.wait_until_whole()


def _wait_until_moved(cluster: LocalCluster, move: Move) -> None:
    deadline = time.monotonic() + MOVE_SECONDS
    while move.slots & ~cluster.members()[move.target].slots:
        with move.source.client() as client:
            latest = client.execute_command("CLUSTER", "GETSLOTMIGRATIONS")[0]
        facts = dict(zip(latest[::2], latest[1::2], strict=True))
        if facts["state"] in ("failed", "cancelled"):
            raise KeymissError(
                f"slots did not move from {move.source.name} to {move.target.name}: "
                f"{facts.get('message') or facts['state']}"
            )
        if time.monotonic() > deadline:
            raise KeymissError(f"slots have not moved in {MOVE_SECONDS:.0f} s")
        time.sleep(0.05)
