"""A vocabulary: concepts and the terms by which texts name them."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keymiss.errors import BadInput

DEMO = Path(__file__).parent / "demo" / "vocabulary.tsv"
"""The vocabulary of the demo: viruses, diseases, symptoms and what is done about them."""

MAX_ID_BYTES = 64
MAX_TERM_CHARACTERS = 200
MAX_TERMS = 1000
MAX_CONCEPTS = 5_000_000

_ID = re.compile(r"[^{}:%\s\x00-\x1f\x7f\ud800-\udfff]+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that texts name. `id` is part of keys; `name` is the preferred one of its terms."""

    id: str
    name: str
    synonyms: tuple[str, ...] = ()
    type: str = ""

    @property
    def terms(self) -> tuple[str, ...]:
        """All names of the concept, the preferred one first."""
        return (self.name, *self.synonyms)


def check_id(id_: str) -> None:
    """Raises BadInput when this cannot be a concept's id."""
    if not _ID.fullmatch(id_) or len(id_.encode()) > MAX_ID_BYTES:
        raise BadInput(
            f"a concept's id has 1 to {MAX_ID_BYTES} bytes without spaces and {{}}:%, "
            f"not {id_[:80]!r}"
        )


def check_concept(concept: Concept) -> None:
    """Raises BadInput when the concept cannot be used, and says why."""
    check_id(concept.id)
    if not concept.name.strip():
        raise BadInput(f"the concept {concept.id} has no name")
    if len(concept.terms) > MAX_TERMS:
        raise BadInput(f"the concept {concept.id} has more than {MAX_TERMS} terms")
    for term in (*concept.terms, concept.type):
        if _SURROGATE.search(term):
            raise BadInput(f"the concept {concept.id} has a term that is not UTF-8 text")
        if len(term) > MAX_TERM_CHARACTERS:
            raise BadInput(
                f"the concept {concept.id} has a term of more than {MAX_TERM_CHARACTERS} characters"
            )


class Vocabulary:
    """Concepts in a fixed order, each id once.

    Args:
        concepts: checked concepts; of those with the same id the first one is kept.
    """

    def __init__(self, concepts: Iterable[Concept]) -> None:
        first: dict[str, Concept] = {}
        for concept in concepts:
            first.setdefault(concept.id, concept)
        self.concepts = tuple(first.values())

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each id in `concepts`."""
        return {concept.id: number for number, concept in enumerate(self.concepts)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all concepts, which tells this vocabulary from others."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()[:16]

    def lines(self) -> Iterator[str]:
        """The concepts as JSON, one on each line; `concept_of_line` reads them."""
        for one in self.concepts:
            yield json.dumps([one.id, one.name, list(one.synonyms), one.type], ensure_ascii=False)


def concept_of_line(line: str) -> Concept:
    """The concept of a line that `Vocabulary.lines` made."""
    id_, name, synonyms, type_ = json.loads(line)
    return Concept(id_, name, tuple(synonyms), type_)
