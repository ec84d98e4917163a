"""Checks whether the application's functions are served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from valkey.exceptions import ResponseError

from keymiss.errors import Unavailable
from keymiss.server.servers import Servers


def parse_list(reply: list[list[Any]]) -> dict[str, dict[str, Any]]:
    """The reply of KEYMISS.LIST as one dictionary for each function, by its name."""
    functions = {}
    for fields in reply:
        names = [name.decode() for name in fields[::2]]
        functions[fields[1].decode()] = dict(zip(names, fields[1::2], strict=True))
    return functions


def unserved(functions: dict[str, dict[str, Any]], names: Iterable[str]) -> list[str]:
    """The names whose functions no worker serves, according to the reply of KEYMISS.LIST."""
    return [name for name in names if not functions.get(name, {}).get("workers")]


async def missing_functions(servers: Servers, names: Sequence[str]) -> list[str]:
    """The names whose functions no worker serves on at least one of the primaries.

    Raises:
        Unavailable: a server has not loaded the module.
        ValkeyError, OSError: a server cannot be reached.
    """
    topology = await servers.topology()
    missing = set()
    for primary in topology.primaries:
        try:
            functions = parse_list(await servers.execute_at(primary, "KEYMISS.LIST"))
        except ResponseError as error:
            raise Unavailable(f"{primary.name} has not loaded keymiss.so: {error}") from None
        missing.update(unserved(functions, names))
    return [name for name in names if name in missing]
