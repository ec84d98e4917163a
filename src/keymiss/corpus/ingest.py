"""Ingest: every document that can be read is stored, every one that cannot is reported."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import valkey

from keymiss.corpus.document import Document
from keymiss.corpus.formats import find_files, read_file
from keymiss.corpus.store import (
    Corpus,
    Prepared,
    create_corpus,
    prepare,
    stored_hashes,
    write_documents,
)
from keymiss.errors import BadInput

BATCH_SENTENCES = 2_000
"""Documents are sent together until they have so many sentences."""

IN_FLIGHT = 4
"""Batches that may wait for the server; then reading waits, too."""


@dataclass(slots=True)
class Report:
    """What an ingest did."""

    stored: int = 0
    unchanged: int = 0
    sentences: int = 0
    """Sentences of the documents that were stored."""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """One line for each file or document that was left out, and why."""


@dataclass(frozen=True, slots=True)
class _Batch:
    documents: list[tuple[Path, Prepared]]
    done: list[Path]
    """Files of which this batch holds the last document."""


def ingest(
    client: valkey.Valkey,
    paths: Iterable[Path],
    on_file: Callable[[Path], None] = lambda path: None,
) -> Report:
    """Stores the documents of these files and folders; `on_file` is called as files are done.

    A document whose content is stored already is left alone: an ingest that was killed goes on
    where it was when it is started again. Batches are written while the next ones are read.

    Raises:
        SetupError: the server holds something else under the corpus's key.
        valkey.ConnectionError: the server cannot be reached, or is gone.
    """
    started = time.monotonic()
    report = Report()
    corpus = create_corpus(client)
    writing: deque[Future[None]] = deque()
    # One thread: batches are written in their order, and the report has one writer.
    with ThreadPoolExecutor(1) as writer:
        for batch in _batches(_documents(corpus, paths, report)):
            writing.append(writer.submit(_write, client, batch, report, on_file))
            if len(writing) == IN_FLIGHT:
                writing.popleft().result()
        for last in writing:
            last.result()
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _documents(
    corpus: Corpus, paths: Iterable[Path], report: Report
) -> Iterator[tuple[Path, Prepared | None]]:
    """Every document that can be stored, and None behind the last one of each file."""
    origins: dict[str, Path] = {}
    for path, default_id in find_files(paths):
        for read in read_file(path, default_id):
            try:
                yield path, _checked(corpus, read, path, origins)
            except BadInput as error:
                report.problems.append(str(error))
        yield path, None


def _checked(
    corpus: Corpus, read: Document | BadInput, path: Path, origins: dict[str, Path]
) -> Prepared:
    if isinstance(read, BadInput):
        raise read
    try:
        prepared = prepare(corpus, read)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    if other := origins.get(prepared.keys.document):
        raise BadInput(f"{path}: the id {read.id!r} is taken by {other}")
    origins[prepared.keys.document] = path
    return prepared


def _batches(documents: Iterable[tuple[Path, Prepared | None]]) -> Iterator[_Batch]:
    batch, sentences = _Batch([], []), 0
    for path, document in documents:
        if document is None:
            batch.done.append(path)
            continue
        batch.documents.append((path, document))
        sentences += len(document.sentences)
        if sentences >= BATCH_SENTENCES:
            yield batch
            batch, sentences = _Batch([], []), 0
    yield batch


def _write(
    client: valkey.Valkey, batch: _Batch, report: Report, on_file: Callable[[Path], None]
) -> None:
    stored = stored_hashes(client, [document.keys for _, document in batch.documents])
    changed = [
        (path, document)
        for (path, document), content_hash in zip(batch.documents, stored, strict=True)
        if document.content_hash != content_hash
    ]
    report.unchanged += len(batch.documents) - len(changed)
    errors = write_documents(client, [document for _, document in changed])
    for (path, document), error in zip(changed, errors, strict=True):
        if error is not None:
            report.problems.append(f"{path}: the document {document.document.id!r}: {error}")
            continue
        report.stored += 1
        report.sentences += len(document.sentences)
    for path in batch.done:
        on_file(path)
