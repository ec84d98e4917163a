"""Ingest: every document that can be read is stored, every one that cannot is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import valkey
from valkey.exceptions import ResponseError

from keymiss.corpus.document import Document
from keymiss.corpus.formats import find_files, read_file
from keymiss.corpus.sentences import SPLITTER
from keymiss.corpus.store import Corpus, create_corpus, stored_hash, write_document
from keymiss.errors import BadInput


@dataclass(slots=True)
class Report:
    """What an ingest did."""

    stored: int = 0
    unchanged: int = 0
    sentences: int = 0
    """Sentences of the documents that were stored."""
    problems: list[str] = field(default_factory=list)
    """One line for each file or document that was left out, and why."""


def ingest(
    client: valkey.Valkey,
    paths: Iterable[Path],
    on_file: Callable[[Path], None] = lambda path: None,
) -> Report:
    """Stores the documents of these files and folders; `on_file` is called after each file.

    A document whose content is stored already is left alone.

    Raises:
        SetupError: the server holds something else under the corpus's key.
        valkey.ConnectionError: the server cannot be reached, or is gone.
    """
    corpus = create_corpus(client)
    report = Report()
    origins: dict[str, Path] = {}
    for path, default_id in find_files(paths):
        for read in read_file(path, default_id):
            if isinstance(read, BadInput):
                report.problems.append(str(read))
                continue
            try:
                _store(client, corpus, read, path, origins, report)
            except (BadInput, ResponseError) as error:
                report.problems.append(f"{path}: {error}")
        on_file(path)
    return report


def _store(
    client: valkey.Valkey,
    corpus: Corpus,
    document: Document,
    path: Path,
    origins: dict[str, Path],
    report: Report,
) -> None:
    keys = corpus.keys(document.id)
    other = origins.setdefault(keys.document, path)
    if other != path:
        raise BadInput(f"the id {document.id!r} is taken by {other}")
    if stored_hash(client, keys) == document.content_hash(SPLITTER):
        report.unchanged += 1
        return
    report.sentences += write_document(client, keys, document)
    report.stored += 1
