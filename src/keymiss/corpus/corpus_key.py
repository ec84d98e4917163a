"""The key `keymiss:corpus` tells whether a server has a corpus, and whether keymiss can read it."""

from __future__ import annotations

import time
from typing import Any

from valkey.exceptions import ClusterDownError, ResponseError

from keymiss.corpus.sentences import SPLITTER_NAME
from keymiss.errors import SetupError, Unavailable
from keymiss.keys import BUCKET_COUNT, BUCKETS, CORPUS, CREATED, OLD_CORPUS, SPLITTER
from keymiss.server.client import Client
from keymiss.server.transactions import Command


def check_corpus(client: Client) -> None:
    """Checks that there is a corpus on this server.

    Raises:
        Unavailable: there is no corpus yet, or it has key names that keymiss does not read.
        SetupError: the key `keymiss:corpus` holds something else.
    """
    try:
        buckets = client.hget(CORPUS, BUCKET_COUNT)
    except ClusterDownError as error:
        raise Unavailable(f"the cluster cannot be read: {error}") from None
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    if buckets is None:
        raise no_corpus(_has_old_corpus(client))
    if buckets != b"%d" % BUCKETS:
        raise SetupError(f"the key {CORPUS!r} is damaged: {BUCKET_COUNT} is {buckets!r}")


def no_corpus(is_old: bool) -> Unavailable:
    """The error for a server without a corpus, or with one that has the old key names."""
    if is_old:
        return Unavailable(
            "the corpus here has key names that keymiss does not read; "
            "ingest it again with `keymiss ingest PATH`"
        )
    return Unavailable("there is no corpus yet; create it with `keymiss ingest PATH`")


OLD_FACTS: Command = ("HMGET", OLD_CORPUS, BUCKET_COUNT, SPLITTER, CREATED)
"""The command that reads the fields that `is_old_corpus` checks."""


def is_old_corpus(facts: Any) -> bool:
    """Whether keymiss wrote these fields to the key `corpus`, when its keys had no prefix."""
    if not isinstance(facts, list) or not all(facts):
        return False
    return facts[0].isdigit() and bool(facts[1].startswith(b"tokenizesentences-"))


def _has_old_corpus(client: Client) -> bool:
    try:
        return is_old_corpus(client.execute_command(*OLD_FACTS))
    except ResponseError:
        return False


def create_corpus(client: Client) -> None:
    """Creates the corpus on this server if there is none.

    Raises what `check_corpus` raises.
    """
    try:
        # Followers call this for every batch: a key that is correct is not written again.
        if client.hget(CORPUS, SPLITTER) != SPLITTER_NAME.encode():
            client.hsetnx(CORPUS, BUCKET_COUNT, BUCKETS)
            client.hsetnx(CORPUS, CREATED, int(time.time()))
            client.hset(CORPUS, SPLITTER, SPLITTER_NAME)
    except ClusterDownError as error:
        raise Unavailable(f"the cluster cannot store anything: {error}") from None
    except ResponseError as error:
        raise SetupError(f"the key {CORPUS!r} belongs to another program: {error}") from None
    check_corpus(client)
