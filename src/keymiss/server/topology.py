"""Which server holds which hash slots: one server that holds all, or the primaries of a cluster.

Sets of slots are integers with a bit for each slot: union, difference and emptiness are one
operation each.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import valkey.asyncio
from valkey.connection import parse_url
from valkey.exceptions import NoPermissionError, ResponseError

from keymiss.server.keys import SLOTS, decode

Slots = int
ALL_SLOTS: Slots = (1 << SLOTS) - 1

MOVED, ASK = "MOVED", "ASK"
_ELSEWHERE = (MOVED, ASK, "TRYAGAIN", "CLUSTERDOWN")


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that holds slots, by the address that the cluster announces."""

    host: str
    port: int
    slots: Slots
    replicas: int

    @property
    def name(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Topology:
    """All primaries, in the order of their first slots; of a single server, that one."""

    primaries: tuple[Primary, ...]
    clustered: bool

    def owner(self, slot: int) -> Primary | None:
        """The primary that holds the slot; None while nobody does."""
        return next((each for each in self.primaries if each.slots >> slot & 1), None)


def server_name(url: str) -> str:
    """What tells a server and its database from others: the URL without user and password."""
    parsed = parse_url(url)
    place = parsed.get("path") or f"{parsed.get('host', 'localhost')}:{parsed.get('port', 6379)}"
    return f"{place}/{parsed.get('db', 0)}"


def slot_range(first: int, last: int) -> Slots:
    """The slots from the first to the last one, both included."""
    return (1 << last + 1) - (1 << first)


def slot_ranges(slots: Slots) -> list[tuple[int, int]]:
    """The slots of a set as ranges, first and last slot of each."""
    return list(_runs(slots))


def _runs(slots: Slots) -> Iterator[tuple[int, int]]:
    first = 0
    while slots >> first:
        first += _lowest(slots >> first)
        last = first + _lowest(~(slots >> first)) - 1
        yield first, last
        first = last + 1


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def first_slot(slots: Slots) -> int:
    """The lowest slot of a set that is not empty."""
    return _lowest(slots)


def union(ranges: Iterable[Sequence[int]]) -> Slots:
    """The set of all slots in these ranges."""
    slots = 0
    for first, last in ranges:
        slots |= slot_range(first, last)
    return slots


def single_server(url: str) -> Topology:
    """The topology of a server that is no cluster's node."""
    parsed = parse_url(url)
    host, port = parsed.get("host", "localhost"), parsed.get("port", 6379)
    return Topology((Primary(host, port, ALL_SLOTS, 0),), clustered=False)


def parse_topology(reply: Sequence[Sequence[Any]], host: str) -> Topology:
    """The reply of CLUSTER SLOTS; `host` is that of the node that gave it, which may not know its
    own."""
    found: dict[tuple[str, int], list[Any]] = {}
    for first, last, primary, *replicas in reply:
        address = (decode(primary[0]) if primary[0] else host, int(primary[1]))
        known = found.setdefault(address, [0, 0])
        known[0] |= slot_range(first, last)
        known[1] = len(replicas)
    primaries = [Primary(*address, *facts) for address, facts in found.items()]
    return Topology(
        tuple(sorted(primaries, key=lambda each: first_slot(each.slots))), clustered=True
    )


def is_elsewhere(error: object) -> bool:
    """Whether this is what a node says of a key whose slot is, or soon will be, another's."""
    return isinstance(error, ResponseError) and str(error).partition(" ")[0] in _ELSEWHERE


def redirection(error: ResponseError, host: str) -> tuple[str, str, int] | None:
    """MOVED or ASK, and to which host and port; None when the error names none.

    `host` is that of the node that said so, which leaves it out when it knows no other.
    """
    word, _, rest = str(error).partition(" ")
    if word not in (MOVED, ASK):
        return None
    there, _, port = rest.rpartition(" ")[2].rpartition(":")
    return word, there or host, int(port)


def node_url(url: str, host: str, port: int) -> str:
    """The URL of another node of the same cluster: same scheme, user, password and options."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}{shown}:{port}"))


async def ask_topology(client: valkey.asyncio.Valkey, url: str) -> Topology:
    """What the server at this URL, which the client is connected to, says of its cluster.

    To a user who may not ask it is a single server.

    Raises:
        ValkeyError, OSError: it cannot be asked.
    """
    try:
        reply = await client.execute_command("CLUSTER", "SLOTS")
    except ResponseError as error:
        if "cluster support disabled" in str(error) or isinstance(error, NoPermissionError):
            return single_server(url)
        raise
    return parse_topology(reply, parse_url(url).get("host", "localhost"))


def is_local(host: str) -> bool:
    """Whether a name or address is one of this machine's."""
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
