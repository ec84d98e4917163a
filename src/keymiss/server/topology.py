"""Which server holds which hash slots: one server that holds all, or the primaries of a cluster.

Sets of slots are integers with a bit for each slot: union, difference and emptiness take one
operation each.
"""

from __future__ import annotations

import functools
import operator
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from valkey.connection import parse_url
from valkey.crc import key_slot
from valkey.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ResponseError,
    TryAgainError,
    ValkeyError,
)

from keymiss.keys import SLOTS, decode, encode

Slots = int
ALL_SLOTS: Slots = (1 << SLOTS) - 1

MOVED, ASK = "MOVED", "ASK"
_CLASSES = {
    MovedError: MOVED,
    AskError: ASK,
    TryAgainError: "TRYAGAIN",
    ClusterDownError: "CLUSTERDOWN",
}
"""The library's cluster client turns these errors into these classes, and removes the word."""


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that holds slots, with the address that the cluster announces."""

    host: str
    port: int
    slots: Slots

    @property
    def name(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """All primaries, in the order of their first slots; outside a cluster, the single server."""

    primaries: tuple[Primary, ...]
    clustered: bool

    def owner(self, key: str | bytes) -> Primary | None:
        """The primary that holds the key's slot; None while no primary does."""
        slot = slot_of(key)
        return next((each for each in self.primaries if each.slots >> slot & 1), None)


def address_of(url: str) -> tuple[str, int]:
    """The host and port that a URL names, or the usual ones when it names none."""
    parsed = parse_url(url)
    return parsed.get("host", "localhost"), parsed.get("port", 6379)


def server_name(url: str) -> str:
    """A name for a server and its database: host and port, or path, without user and password."""
    parsed = parse_url(url)
    place = parsed.get("path") or "{}:{}".format(*address_of(url))
    return f"{place}/{parsed.get('db', 0)}"


def slot_of(key: str | bytes) -> int:
    """The key's slot."""
    slot: int = key_slot(encode(key) if isinstance(key, str) else key)
    return slot


def has_slot_of(slots: Slots, key: str | bytes) -> bool:
    """Whether the key's slot is in the set."""
    return bool(slots >> slot_of(key) & 1)


def slot_range(first: int, last: int) -> Slots:
    """The slots from the first to the last one, both included."""
    return (1 << last + 1) - (1 << first)


def slot_ranges(slots: Slots) -> list[tuple[int, int]]:
    """The slots of a set as ranges, first and last slot of each."""
    ranges = []
    while slots:
        first = first_slot(slots)
        last = first + first_slot(~(slots >> first)) - 1
        ranges.append((first, last))
        slots &= ~slot_range(first, last)
    return ranges


def first_slot(slots: Slots) -> int:
    """The lowest slot of a set that is not empty."""
    return (slots & -slots).bit_length() - 1


def union(ranges: Iterable[Sequence[int]]) -> Slots:
    """The set of all slots in these ranges."""
    return joined(slot_range(first, last) for first, last in ranges)


def joined(sets: Iterable[Slots]) -> Slots:
    """All slots that are in any of the sets."""
    return functools.reduce(operator.or_, sets, 0)


def single_server(url: str) -> Topology:
    """The topology of a server that is not a node of a cluster."""
    return Topology((Primary(*address_of(url), ALL_SLOTS),), clustered=False)


def parse_topology(reply: Sequence[Sequence[Any]], host: str) -> Topology:
    """The topology in a reply of CLUSTER SLOTS. `host` is the host of the node that gave it, since
    a node may not know its own host."""
    found: dict[tuple[str, int], Slots] = {}
    for first, last, primary, *_ in reply:
        address = (decode(primary[0]) if primary[0] else host, int(primary[1]))
        found[address] = found.get(address, 0) | slot_range(first, last)
    primaries = [Primary(*address, slots) for address, slots in found.items()]
    return Topology(
        tuple(sorted(primaries, key=lambda each: first_slot(each.slots))), clustered=True
    )


def slots_of_node(reply: Sequence[Sequence[Any]], node: str) -> Slots:
    """The slots that the node with this id holds, from a reply of CLUSTER SLOTS."""
    slots = 0
    for first, last, primary, *_ in reply:
        if decode(primary[2]) == node:
            slots |= slot_range(first, last)
    return slots


def parse_cluster_info(reply: bytes | str) -> dict[str, str]:
    """The values in a reply of CLUSTER INFO, by name."""
    text = decode(reply) if isinstance(reply, bytes) else reply
    return dict(line.split(":", 1) for line in text.split() if ":" in line)


def is_elsewhere(error: object) -> bool:
    """Whether this is a node's error for a key whose slot is, or soon will be, at another node."""
    return isinstance(error, ResponseError) and _code(error) in _CLASSES.values()


def raise_unless_elsewhere(reply: object) -> None:
    """Raises a reply that is an error, unless it says that the key is elsewhere."""
    if isinstance(reply, ValkeyError) and not is_elsewhere(reply):
        raise reply


def _code(error: ResponseError) -> str:
    """The word that the server's error begins with."""
    return _CLASSES.get(type(error)) or str(error).partition(" ")[0]


def redirection(error: ResponseError, host: str) -> tuple[str, str, int] | None:
    """MOVED or ASK, and the host and port that the error names; None for other errors.

    `host` is the host of the node that has sent the error; it stands in when the error names none.
    """
    word = _code(error)
    if word not in (MOVED, ASK):
        return None
    there, _, port = str(error).rpartition(" ")[2].rpartition(":")
    return word, there or host, int(port)


def node_url(url: str, host: str, port: int) -> str:
    """The URL of another node of the same cluster; scheme, user, password and options stay."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{shown}:{port}"))


def is_local(host: str) -> bool:
    """Whether a host name or address belongs to this machine."""
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(_can_bind(str(address)) for address in addresses)


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
