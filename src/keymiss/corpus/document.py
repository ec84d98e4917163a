"""A document: what ingest reads from a file and writes as keys, and what tells two contents apart.

The text and all else have a hash each: a new title is no reason to tokenise, index and answer anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

Paragraph = str | tuple[str, ...]
"""Text that is to be cut into sentences; or sentences, which stay as they are."""


@dataclass(frozen=True, slots=True)
class Document:
    """An article. Sentences never cross the border of a paragraph."""

    id: str
    title: str
    paragraphs: tuple[Paragraph, ...]
    year: str = ""
    source: str = ""
    key: str = ""
    """The key of another program's that holds the text; empty when it comes from elsewhere."""

    @property
    def facts_hash(self) -> str:
        """Names all that is not text."""
        return _hash([self.title, self.year, self.source, self.key])

    @property
    def text(self) -> str:
        """All paragraphs, each on lines of its own."""
        return "\n".join(
            each if isinstance(each, str) else " ".join(each) for each in self.paragraphs
        )


def text_hash(sentences: Sequence[str], starts: Sequence[int]) -> str:
    """Names a text as it was cut: its sentences, and the numbers of those that begin paragraphs."""
    return _hash([list(sentences), list(starts)])


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]
