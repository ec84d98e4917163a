"""A document, which ingest reads from a file and writes as keys, and the hashes of its content.

The text has one hash and everything else has another: when only a title changes, nothing is
tokenised, indexed or answered again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

Paragraph = str | tuple[str, ...]
"""A paragraph is either text that is to be cut, or its sentences, which stay as they are."""


@dataclass(frozen=True, slots=True)
class Document:
    """An article. A sentence never reaches into the next paragraph."""

    id: str
    title: str
    paragraphs: tuple[Paragraph, ...]
    year: str = ""
    source: str = ""
    key: str = ""
    """Another program's key that holds the text; empty when the text comes from elsewhere."""

    @property
    def facts_hash(self) -> str:
        """The hash of everything but the text: title, year, source and key."""
        return _hash([self.title, self.year, self.source, self.key])

    @property
    def text(self) -> str:
        """All paragraphs, with a line break between them."""
        return "\n".join(
            each if isinstance(each, str) else " ".join(each) for each in self.paragraphs
        )


def text_hash(sentences: Sequence[str], starts: Sequence[int]) -> str:
    """The hash of a text as it was cut.

    It covers the sentences, and the numbers of those that begin a paragraph.
    """
    return _hash([list(sentences), list(starts)])


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]
