"""Reads vocabularies from files: TSV, JSON lines, and MRCONSO.RRF of UMLS."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keymiss.errors import BadInput, SetupError
from keymiss.graph.vocabulary import (
    MAX_CONCEPTS,
    MAX_TERM_CHARACTERS,
    MAX_TERMS,
    Concept,
    Vocabulary,
    check_concept,
)

MAX_LINE_CHARACTERS = 1 << 20

# Columns of MRCONSO.RRF (UMLS Reference Manual, chapter 3).
_CUI, _LANGUAGE, _STATUS, _FORM, _PREFERRED, _TEXT, _SUPPRESSED = 0, 1, 2, 4, 6, 14, 16
_RRF_COLUMNS = 18


@dataclass
class Loaded:
    """A vocabulary, and what was wrong with the lines that it leaves out."""

    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary(()))
    problems: list[str] = field(default_factory=list)


def load_vocabulary(path: Path) -> Loaded:
    """Reads a vocabulary file. The end of its name says its kind: `.tsv`, `.jsonl` or `.RRF`.

    A line that cannot be used is reported as a problem; the other lines are read.

    TSV has a header that names its columns: `id`, `name`, and optionally `type` and `synonyms`,
    which are separated by `|`. JSON lines have the same fields; `synonyms` is a list. From
    MRCONSO.RRF the English terms that are not suppressed are taken.

    Raises:
        SetupError: the file cannot be read, is of another kind, or holds no concept.
    """
    readers: dict[str, Callable[[Iterable[str], list[str]], Iterator[Concept]]] = {
        ".tsv": _read_tsv,
        ".jsonl": _read_jsonl,
        ".rrf": _read_rrf,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise SetupError(
            f"{path} is not a vocabulary; its name must end in one of {', '.join(readers)}"
        )
    loaded = Loaded()
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as lines:
            concepts = _checked(read(lines, loaded.problems), loaded.problems)
            loaded.vocabulary = Vocabulary(itertools.islice(concepts, MAX_CONCEPTS))
    except OSError as error:
        raise SetupError(f"the vocabulary cannot be read: {error}") from None
    if not loaded.vocabulary.concepts:
        first = f"; the first problem: {loaded.problems[0]}" if loaded.problems else ""
        raise SetupError(f"{path} holds no concept{first}")
    return loaded


def _checked(concepts: Iterable[Concept], problems: list[str]) -> Iterator[Concept]:
    for concept in concepts:
        try:
            check_concept(concept)
        except BadInput as error:
            problems.append(str(error))
        else:
            yield concept


def _read_tsv(lines: Iterable[str], problems: list[str]) -> Iterator[Concept]:
    rows = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip().casefold() for name in next(rows, [])]
    if not {"id", "name"} <= set(header):
        problems.append("the first line does not name the columns `id` and `name`")
        return
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header):
            problems.append(f"line {number} has {len(row)} columns; the header has {len(header)}")
            continue
        fields = dict(zip(header, map(str.strip, row), strict=True))
        synonyms = tuple(term.strip() for term in fields.get("synonyms", "").split("|"))
        yield Concept(
            fields["id"], fields["name"], tuple(filter(None, synonyms)), fields.get("type", "")
        )


def _read_jsonl(lines: Iterable[str], problems: list[str]) -> Iterator[Concept]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            if len(line) > MAX_LINE_CHARACTERS:
                raise ValueError(f"it has more than {MAX_LINE_CHARACTERS} characters")
            yield _concept_of_record(json.loads(line))
        except (ValueError, RecursionError) as error:
            problems.append(f"line {number} is not a concept: {error}")


def _concept_of_record(record: object) -> Concept:
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    synonyms = record.get("synonyms", [])
    texts = [record.get("id"), record.get("name"), record.get("type", "")]
    if not isinstance(synonyms, list) or not all(isinstance(t, str) for t in [*texts, *synonyms]):
        raise ValueError("`id`, `name` and `type` must be texts, `synonyms` a list of texts")
    id_, name, type_ = texts
    return Concept(id_, name, tuple(term for term in synonyms if term.strip()), type_)


def _read_rrf(lines: Iterable[str], problems: list[str]) -> Iterator[Concept]:
    """Expects that the lines of one concept stand together, as they do in all releases."""
    rows = (_rrf_row(number, line, problems) for number, line in enumerate(lines, start=1))
    usable = (row for row in rows if row is not None)
    for id_, group in itertools.groupby(usable, key=lambda row: row[_CUI]):
        terms: list[str] = []
        name = ""
        for row in group:
            if row[_STATUS] == "P" and row[_FORM] == "PF" and row[_PREFERRED] == "Y":
                name = name or row[_TEXT]
            terms.append(row[_TEXT])
        name = name or terms[0]
        synonyms = [term for term in dict.fromkeys(terms) if term != name]
        yield Concept(id_, name, tuple(synonyms[: MAX_TERMS - 1]))


def _rrf_row(number: int, line: str, problems: list[str]) -> list[str] | None:
    row = line.rstrip("\r\n").split("|")
    if len(row) <= _RRF_COLUMNS - 1:
        problems.append(f"line {number} has {len(row)} columns; MRCONSO.RRF has {_RRF_COLUMNS}")
        return None
    # Long terms are descriptions, which no sentence contains.
    fits = 0 < len(row[_TEXT]) <= MAX_TERM_CHARACTERS
    return row if fits and row[_LANGUAGE] == "ENG" and row[_SUPPRESSED] == "N" else None
