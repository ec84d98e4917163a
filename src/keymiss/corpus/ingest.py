"""Ingests documents: stores each one that can be read, and reports each one that cannot."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from valkey.exceptions import ValkeyError

from keymiss.corpus.corpus_key import create_corpus
from keymiss.corpus.document import Document
from keymiss.corpus.document_writes import (
    Prepared,
    prepare,
    stored_documents,
    write_documents,
    write_facts,
)
from keymiss.corpus.file_formats import Read, Source, read_files
from keymiss.errors import BadInput
from keymiss.server.client import Client, addresses_of_primaries

BATCH_SENTENCES = 2_000
"""How many sentences the documents of a batch have, at least, except for the last batch."""

IN_FLIGHT = 4
"""How many batches may wait for the server before reading waits, too."""

FEW_NOTES = 16
"""How many answers may be dropped with a document of a batch. A document with more is written in a
separate round trip, because the server executes a packet without a pause."""

MOST_LOOKS = 3
"""How often all sources are looked at again after failovers, at most."""

Accept = Callable[[Document], bool]


@dataclass(slots=True)
class Report:
    """What an ingest did."""

    stored: int = 0
    renamed: int = 0
    """Documents of which only title, year or source had changed; their text was left alone."""
    unchanged: int = 0
    not_accepted: int = 0
    """Documents that the caller did not want."""
    forgotten: int = 0
    """Documents whose key is gone; only followers of keys look for them."""
    sentences: int = 0
    """Sentences of the documents that were stored."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """One line for each document, or file, that was left out, and why."""


Stream = Iterable[tuple[str, Prepared | None]]
"""Every document that can be stored, with the name of its source; None follows a source's last."""


_Named = list[tuple[str, Prepared]]
"""Documents with the names of their sources."""

Write = Callable[[Client, Sequence[Prepared]], list[ValkeyError | None]]


@dataclass(frozen=True, slots=True)
class _Batch:
    documents: _Named
    done: list[str]
    """The sources that are complete when this batch is written."""


def ingest(client: Client, paths: Iterable[Path]) -> Report:
    """Stores the documents of these files and folders, as `ingest_sources` does.

    >>> from keymiss.corpus.demo import ARTICLES
    >>> from keymiss.server.client import connect
    >>> with connect(url) as client:  # the second time, since the server has the demo
    ...     report = ingest(client, [ARTICLES])
    >>> report.stored, report.unchanged, report.problems
    (0, 20, [])
    """
    given = list(paths)
    return ingest_sources(client, lambda: read_files(given))


def ingest_sources(
    client: Client,
    sources: Callable[[], Iterable[Source]],
    on_done: Callable[[str], None] = lambda source: None,
    accept: Accept = lambda document: True,
) -> Report:
    """Stores the documents of these sources, and calls `on_done` when a source is complete.

    A document whose content is already stored is left alone. So an ingest that was killed, and is
    started again, goes on where it stopped. Batches are written while the next ones are read. When
    a replica becomes a primary meanwhile, it may lack the last writes: then all sources are looked
    at again.

    Args:
        sources: opens the sources; it is called again for each further look.

    Raises:
        SetupError: the server holds something else under the corpus's key.
        valkey.ConnectionError: the server cannot be reached, or is gone.
    """
    report = Report()
    primaries = addresses_of_primaries(client)
    create_corpus(client)
    store(client, read_documents(sources(), report, accept), report, on_done)
    for _ in range(MOST_LOOKS):
        before, primaries = primaries, addresses_of_primaries(client)
        if primaries == before:
            break
        again = Report()
        store(client, read_documents(sources(), again, accept), again)
        report.problems = again.problems
    return report


def read_documents(sources: Iterable[Source], report: Report, accept: Accept) -> Stream:
    """Reads documents and cuts them; those that cannot be stored are named in the report."""
    origins: dict[str, str] = {}
    for source, reads in sources:
        for read in reads:
            try:
                if isinstance(read, Document) and not accept(read):
                    report.not_accepted += 1
                    continue
                yield source, _checked(read, source, origins)
            except BadInput as error:
                report.problems.append(str(error))
        yield source, None


def store(
    client: Client,
    documents: Stream,
    report: Report,
    on_done: Callable[[str], None] = lambda source: None,
) -> None:
    """Writes documents in batches, in their order, while the next ones are read."""
    started = time.monotonic()
    writing: deque[Future[None]] = deque()
    # One thread writes batches in their order, and each count of the report has one writer.
    with ThreadPoolExecutor(1) as writer:
        for batch in _batches(documents):
            writing.append(writer.submit(_write, client, batch, report, on_done))
            if len(writing) == IN_FLIGHT:
                writing.popleft().result()
        for last in writing:
            last.result()
    report.seconds = round(time.monotonic() - started, 3)


def _checked(read: Read, source: str, origins: dict[str, str]) -> Prepared:
    if isinstance(read, BadInput):
        raise read
    try:
        prepared = prepare(read)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None
    if other := origins.get(prepared.keys.document):
        raise BadInput(f"{source}: the id {read.id!r} is taken by {other}")
    origins[prepared.keys.document] = source
    return prepared


def _batches(documents: Stream) -> Iterator[_Batch]:
    batch, sentences = _Batch([], []), 0
    for source, document in documents:
        if document is None:
            batch.done.append(source)
            continue
        batch.documents.append((source, document))
        sentences += len(document.sentences)
        if sentences >= BATCH_SENTENCES:
            yield batch
            batch, sentences = _Batch([], []), 0
    yield batch


def _write(client: Client, batch: _Batch, report: Report, on_done: Callable[[str], None]) -> None:
    known = stored_documents(client, [document.keys for _, document in batch.documents])
    few: _Named = []
    many: _Named = []
    renamed: _Named = []
    for (source, document), stored in zip(batch.documents, known, strict=True):
        if stored.foreign:
            error = BadInput(f"the key {stored.foreign!r} belongs to another program")
            _note_problem(report, source, document, error)
        elif (document.text_hash, len(document.sentences)) != (stored.text_hash, stored.sentences):
            (few if stored.noted <= FEW_NOTES else many).append((source, document))
        elif document.facts_hash != stored.facts_hash:
            renamed.append((source, document))
        else:
            report.unchanged += 1
    for some in (few, *([each] for each in many)):
        for document in _written(client, some, write_documents, report):
            report.stored += 1
            report.sentences += len(document.sentences)
    report.renamed += len(_written(client, renamed, write_facts, report))
    for done in batch.done:
        on_done(done)


def _written(client: Client, documents: _Named, write: Write, report: Report) -> list[Prepared]:
    """Writes documents, and returns those that were written."""
    errors = write(client, [document for _, document in documents])
    written = []
    for (source, document), error in zip(documents, errors, strict=True):
        if error is None:
            written.append(document)
        else:
            _note_problem(report, source, document, error)
    return written


def _note_problem(report: Report, source: str, document: Prepared, error: Exception) -> None:
    report.problems.append(f"{source}: the document {document.document.id!r}: {error}")
