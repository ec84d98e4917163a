"""Exports a corpus as JSON lines, which `ingest` stores elsewhere without cutting them again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from keymiss.corpus.corpus_key import check_corpus
from keymiss.corpus.file_formats import MAX_LINE_BYTES
from keymiss.corpus.key_survey import survey
from keymiss.corpus.sentences import read_starts
from keymiss.errors import BadInput, SetupError
from keymiss.keys import (
    PARAGRAPHS,
    SENTENCE_COUNT,
    SOURCE,
    SOURCE_KEY,
    TITLE,
    YEAR,
    DocumentKeys,
    decode_text,
    unescape,
)
from keymiss.server.client import Client, execute_transactions

DOCUMENTS_AT_ONCE = 10
"""How many documents are read in one round trip."""

ENDING = ".jsonl"


@dataclass(slots=True)
class ExportReport:
    """What an export wrote, and one line for each document that was left out."""

    documents: int = 0
    sentences: int = 0
    problems: list[str] = field(default_factory=list)


def export_corpus(client: Client, file: Path) -> ExportReport:
    """Writes all documents to a file of JSON lines, which `ingest` stores again as they are.

    A line has the id, title, year and source of a document, and its paragraphs as lists of
    sentences. The file appears under its name when it is complete.

    Raises:
        SetupError: the file's name does not end with `.jsonl`, or the file cannot be written.
        Unavailable: there is no corpus.
    """
    if file.suffix.lower() != ENDING:
        raise SetupError(f"{file} does not end with {ENDING}; ingest knows JSON lines by it")
    check_corpus(client)
    documents = sorted(
        (each for each, keys in survey(client).documents.items() if keys.facts),
        key=lambda each: each.document,
    )
    exported = ExportReport()
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as target:
            for document, record in _records(client, documents):
                if isinstance(record, BadInput):
                    exported.problems.append(f"{unescape(document.document)}: {record}")
                    continue
                line = json.dumps(record, ensure_ascii=False) + "\n"
                if len(line.encode()) > MAX_LINE_BYTES:
                    size = f"its line has {len(line.encode())} bytes; ingest takes {MAX_LINE_BYTES}"
                    exported.problems.append(f"{unescape(document.document)}: {size}")
                    continue
                target.write(line)
                exported.documents += 1
                exported.sentences += sum(map(len, record["paragraphs"]))
        os.replace(part, file)
    except OSError as error:
        raise SetupError(f"{file} cannot be written: {error}") from None
    finally:
        part.unlink(missing_ok=True)
    return exported


def _records(
    client: Client, documents: list[DocumentKeys]
) -> Iterator[tuple[DocumentKeys, dict[str, Any] | BadInput]]:
    rest = iter(documents)
    while some := list(islice(rest, DOCUMENTS_AT_ONCE)):
        # One transaction reads a document's facts and text, so that they belong together.
        read = execute_transactions(
            client,
            [(each.facts, [("HGETALL", each.facts), ("HGETALL", each.sentences)]) for each in some],
        )
        for document, result in zip(some, read, strict=True):
            if isinstance(result, Exception):
                yield document, BadInput(str(result))
                continue
            try:
                yield document, _record(document, *map(_fields, result))
            except (KeyError, ValueError) as error:
                yield document, BadInput(f"is not whole ({error}); see `keymiss corpus verify`")


def _fields(reply: Any) -> dict[bytes, bytes]:
    """The fields of a hash; inside a transaction, the reply is a flat list."""
    return dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else reply


def _record(
    keys: DocumentKeys, facts: dict[bytes, bytes], sentences: dict[bytes, bytes]
) -> dict[str, Any]:
    if int(facts[SENTENCE_COUNT.encode()]) != len(sentences):
        raise ValueError("sentences are missing")
    texts = [decode_text(sentences[b"%d" % number]) for number in range(len(sentences))]
    starts = read_starts(facts[PARAGRAPHS.encode()], len(texts))
    ends = (*starts[1:], len(texts))
    named = {
        name: decode_text(facts[name.encode()])
        for name in (TITLE, YEAR, SOURCE, SOURCE_KEY)
        if facts.get(name.encode())
    }
    paragraphs = [texts[start:end] for start, end in zip(starts, ends, strict=True)]
    return {"id": unescape(keys.document), **named, "paragraphs": paragraphs}
