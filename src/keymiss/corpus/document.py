"""A document: what ingest reads from a file and writes as keys."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """An article. Sentences never cross the border of a paragraph."""

    id: str
    title: str
    paragraphs: tuple[str, ...]
    year: str = ""
    source: str = ""
    key: str = ""
    """The key of another program's that holds the text; empty when it comes from elsewhere."""

    def content_hash(self, splitter: str) -> str:
        """Names the content and how it is cut: equal hashes mean equal keys."""
        parts = [splitter, self.title, self.year, self.source, self.key, *self.paragraphs]
        return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]
