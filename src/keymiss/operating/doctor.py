"""Finds what is wrong with an installation or a running system, and says what to do about it."""

from __future__ import annotations

import json
import platform
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import valkey
from valkey.exceptions import AuthenticationError, NoPermissionError, ResponseError

from keymiss.corpus.corpus_status import read_status
from keymiss.corpus.key_survey import survey
from keymiss.errors import KeymissError, SetupError, Unavailable
from keymiss.function_names import ALWAYS_SERVED, FunctionName
from keymiss.keys import OURS, VECTORS_NOTE, decode_text, find_key, slot_tag
from keymiss.operating.served_functions import parse_list, unserved
from keymiss.server.client import Client, a_slot_of_each, nodes_of, primaries_of
from keymiss.server.embedded_server import module_path

SHOWN_KEYS, SHOWN_BYTES = 5, 80
OLDEST = {"valkey": (8, 0), "redis": (7, 4)}


@dataclass(frozen=True, slots=True)
class Defect:
    """Something that is wrong, and what to do about it."""

    wrong: str
    advice: str


def examine(client: Client) -> list[Defect]:
    """Examines the installation, then each server, its workers, and the corpus.

    Parts that depend on a missing part are not examined, so that the list begins with the cause.
    """
    defects = list(_installation())
    blocked = False
    for name, node in nodes_of(client):
        found, last = _examine_node(node, clustered=bool(name))
        blocked |= last is not None
        of_node = [*found, last] if last else found
        defects += [
            replace(each, wrong=f"{name}: {each.wrong}") if name else each for each in of_node
        ]
    if blocked:
        return defects
    served = [parse_list(node.execute_command("KEYMISS.LIST")) for node in primaries_of(client)]
    return [
        *defects,
        *_corpus(client, {name for each in served for name in each}),
    ]


def vectors_note(client: Client) -> str:
    """What a worker has said of vectors: its encoder, whether it makes them, and why; empty when no
    worker has said anything."""
    try:
        return decode_text(client.get(VECTORS_NOTE) or b"")
    except valkey.ValkeyError:
        return ""


def _examine_node(node: valkey.Valkey, clustered: bool) -> tuple[list[Defect], Defect | None]:
    """The defects of a server, and the one that prevents a further look, or None."""
    try:
        info: dict[str, Any] = node.info("everything")
    except (AuthenticationError, NoPermissionError) as error:
        return [], Defect(f"the server refuses: {error}", "give a user name and a password")
    except valkey.ConnectionError as error:
        advice = "start one with `keymiss serve`, or give its address with --url"
        return [], Defect(f"no server can be reached: {error}", advice)
    defects = [*_server(info, clustered), *_memory(node), *_persistence(node)]
    if "keymiss_functions" not in info:
        advice = "start it with `loadmodule PATH`; see docs/commands.md"
        return defects, Defect("the server has not loaded keymiss.so", advice)
    defects += [*_versions(info), *_stored(info)]
    if info.get("role") == "slave" and clustered:
        return defects, None
    return [*defects, *_workers(parse_list(node.execute_command("KEYMISS.LIST")))], None


def _installation() -> Iterator[Defect]:
    try:
        module_path()
    except SetupError as error:
        yield Defect("the module is not installed", str(error))
    if platform.system() != "Linux":
        yield Defect(f"{platform.system()} is not supported", "use Linux, or a container")


def _server(info: dict[str, Any], clustered: bool) -> Iterator[Defect]:
    name = str(info.get("server_name", "redis"))
    shown = str(info.get(f"{name}_version", info.get("redis_version", "0")))
    oldest = OLDEST.get(name, OLDEST["redis"])
    if tuple(int(part) for part in shown.split(".")[:2]) < oldest:
        yield Defect(
            f"the server is {name} {shown}: hits are slower and permissions coarser there",
            f"use Valkey {'.'.join(map(str, OLDEST['valkey']))} or later",
        )
    if info.get("role") == "slave" and not clustered:
        yield Defect("the server is a replica, where nothing is computed", "ask its primary")


def _versions(info: dict[str, Any]) -> Iterator[Defect]:
    installed = version("keymiss")
    loaded = [module["ver"] for module in info["modules"] if module["name"] == "keymiss"]
    if loaded != [_module_version(installed)]:
        shown = ", ".join(
            f"{number // 10_000}.{number // 100 % 100}.{number % 100}" for number in loaded
        )
        yield Defect(
            f"the server has loaded keymiss.so {shown}, and this is keymiss {installed}",
            "load the keymiss.so of this installation, and restart the server",
        )


def _module_version(version: str) -> int:
    """A version as the module states it: two digits for each part."""
    major, minor, patch = map(int, version.split(".")[:3])
    return 10_000 * major + 100 * minor + patch


def _config(client: valkey.Valkey, name: str) -> str:
    """The value of a setting; empty when the server does not tell it."""
    try:
        return str(client.config_get(name).get(name, ""))
    except ResponseError:
        return ""


def _memory(client: valkey.Valkey) -> Iterator[Defect]:
    policy = _config(client, "maxmemory-policy")
    if policy.startswith("allkeys") and _config(client, "maxmemory") != "0":
        yield Defect(
            f"maxmemory-policy {policy} may delete sentences when memory is short",
            "CONFIG SET maxmemory-policy volatile-lru, so that only cached answers are deleted",
        )


def _stored(info: dict[str, Any]) -> Iterator[Defect]:
    if info["keymiss_unstored"]:
        yield Defect(
            f"{info['keymiss_unstored']} answers were not stored due to keymiss.max-stored-bytes",
            "let Valkey evict answers: CONFIG SET maxmemory, and maxmemory-policy volatile-lru",
        )


def _persistence(client: valkey.Valkey) -> Iterator[Defect]:
    if _config(client, "appendonly") == "no" and not _config(client, "save"):
        yield Defect(
            "persistence is off: a restart loses the corpus",
            "CONFIG SET appendonly yes, and set it in the server's configuration",
        )


def _workers(functions: dict[str, dict[str, Any]]) -> Iterator[Defect]:
    needed = list(ALWAYS_SERVED)
    if FunctionName.TOKENS in functions:
        needed.append(FunctionName.TOKENS)
    missing = unserved(functions, needed)
    if missing:
        yield Defect(f"no worker serves {', '.join(missing)}", "start `keymiss worker`")
    counts = {functions[name]["workers"] for name in needed if name not in missing}
    if len(counts) > 1:
        yield Defect(
            "not all workers serve all functions",
            "wait a moment if they have just started; otherwise read their logs",
        )
    for name, function in functions.items():
        if 2 * function["pending"] > function["limit"]:
            yield Defect(
                f"{function['pending']} keys wait for {name}; the limit is {function['limit']}",
                "start more workers, or ask less",
            )


def _corpus(client: Client, served: Container[str]) -> Iterator[Defect]:
    try:
        seen = survey(client)
        yield from _foreign(seen.foreign)
        status = read_status(client, seen)
    except Unavailable as error:
        wrong, _, advice = str(error).partition("; ")
        yield Defect(wrong, advice)
        return
    except KeymissError as error:
        yield Defect(str(error), "use a separate server or database for keymiss")
        return
    for function, made, what in (
        (FunctionName.TOKENS, status.with_tokens, "tokens yet: they are read more slowly"),
        (FunctionName.VECTORS, status.with_vectors, "vectors yet: they are found by words only"),
    ):
        if function in served and made < status.documents:
            yield Defect(
                f"{status.documents - made} of {status.documents} documents have no {what}",
                "wait a moment; if it stays so, start `keymiss worker` again",
            )
    indexed = _indexed(client)
    if indexed is not None and indexed != status.documents:
        yield Defect(
            f"the index holds {indexed} documents, the corpus {status.documents}",
            "wait a moment; if it stays so, start `keymiss worker` again",
        )


def _foreign(keys: list[str]) -> Iterator[Defect]:
    if not keys:
        return
    shown = ", ".join(key[:SHOWN_BYTES] for key in keys[:SHOWN_KEYS])
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    yield Defect(
        f"keys that keymiss has not written begin with {OURS!r}: {shown}{more}",
        "keymiss leaves them alone; rename them, since later versions may use these names",
    )


def _indexed(client: Client) -> int | None:
    """How many documents the indexes of all shards hold; None when one shard does not answer."""
    total = 0
    for slot in a_slot_of_each(client):
        try:
            value = client.get(find_key(slot_tag(slot), "doctor"))
        except ResponseError:
            return None
        if value is None:
            return None
        total += int(json.loads(value)["documents"])
    return total
