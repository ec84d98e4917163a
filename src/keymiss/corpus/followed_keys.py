"""Follows keys: a document is what its key holds, and is forgotten when the key is gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keymiss.corpus.corpus_key import create_corpus
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.ingest import Accept, Report, Stream, read_documents, store
from keymiss.corpus.key_documents import KeyPattern, read_keys
from keymiss.errors import BadInput, SetupError
from keymiss.functions import Event, Function, on_write
from keymiss.keys import (
    BERTQA,
    DOCUMENTS,
    OURS,
    SOURCE_KEY,
    decode,
    document_keys,
    encode,
    parse_document_key,
)
from keymiss.server.client import Client


def follow_function(
    client: Client, keys: KeyPattern, accept: Accept, on_report: Callable[[Report], None]
) -> Function:
    """The function that keeps the documents of these keys current.

    When a worker attaches it, it is told of all these keys and of all documents, so that it finds
    the documents whose key has gone meanwhile. `on_report` is called in a thread, after every
    batch.

    Raises:
        SetupError: the prefix overlaps with the prefixes of keymiss's own keys.
    """
    if any(keys.prefix.startswith(own) or own.startswith(keys.prefix) for own in (OURS, BERTQA)):
        raise SetupError(
            f"'{keys.prefix}*' cannot be followed: keymiss's own keys begin with {OURS!r} and "
            f"{BERTQA!r}; name a prefix that has nothing in common with them"
        )

    # Every follower is told of every write. If two shared a queue, the slower one could store an
    # older text over a later one. Nothing is queued while there is no follower.
    @on_write(keys.prefix, name=f"follow:{keys.prefix}", each=True, derived=DOCUMENTS)
    def follow(events: Sequence[Event]) -> None:
        on_report(update_documents(client, keys, [event.key for event in events], accept))

    return follow


def update_documents(
    client: Client, keys: KeyPattern, named: Sequence[str], accept: Accept
) -> Report:
    """Makes documents agree with these keys.

    `named` are keys that hold text, or `keymiss:document:` keys, which stand for the keys that
    their documents were taken from.
    """
    facts = [key for key in named if key.startswith(DOCUMENTS) and parse_document_key(key)]
    sources = {encode(key) for key in named if not key.startswith(DOCUMENTS)}
    sources.update(key for key in _keys_of(client, facts) if key and decode(key) in keys)
    report = Report()
    create_corpus(client)
    without: list[str] = []
    documents = read_documents(read_keys(client, keys, sources), report, accept)
    store(client, _note_empty(documents, without), report)
    gone = []
    for key in without:
        try:
            gone.append((key, document_keys(key)))
        except BadInput:
            continue  # no document can have this id
    # A document with the same id that came from a file must stay.
    owners = _keys_of(client, [document.facts for _, document in gone])
    ours = [
        document
        for (key, document), owner in zip(gone, owners, strict=True)
        if owner == key.encode()
    ]
    report.forgotten = sum(forget_documents(client, ours))
    return report


def _note_empty(documents: Stream, without: list[str]) -> Stream:
    """Adds to `without` the sources that have no document to store."""
    full = False
    for source, document in documents:
        if document is not None:
            full = True
        else:
            if not full:
                without.append(source)
            full = False
        yield source, document


def _keys_of(client: Client, facts: Sequence[str]) -> list[bytes | None]:
    """The key that each document was taken from; None if it came from elsewhere, or is gone."""
    pipeline = client.pipeline(transaction=False)
    for each in facts:
        pipeline.hget(encode(each), SOURCE_KEY)
    replies = pipeline.execute(raise_on_error=False) if facts else []
    return [reply if isinstance(reply, bytes) else None for reply in replies]
