"""Which keys belong to keymiss: those that are exactly as keymiss would have written them."""

from __future__ import annotations

import re

from keymiss.keys.document_keys import (
    PART,
    matched_document,
    parse_bucket_key,
    parse_document_key,
    parse_tokens_key,
    parse_vectors_key,
)
from keymiss.keys.function_keys import ANSWER_PATTERN
from keymiss.keys.hash_tags import is_bucket_tag
from keymiss.keys.key_prefixes import CORPUS, EDGES, OURS, STATISTICS, VECTORS_NOTE, VOCABULARY

_EDGES = re.compile(rf"{EDGES}{PART}:{PART}:\{{(?P<tag>{PART})\}}")
_VOCABULARY_PART = re.compile(rf"{VOCABULARY}:[0-9a-f]+:[0-9]+")
_STATISTICS = re.compile(rf"{STATISTICS}\{{{PART}\}}")


def is_reserved(key: str) -> bool:
    """Whether only keymiss may write this key: nothing else may be kept under its name."""
    return key.startswith(OURS) or ANSWER_PATTERN.fullmatch(key) is not None


def has_known_form(key: str) -> bool:
    """Whether a key has a form that keymiss writes."""
    if key in (CORPUS, VOCABULARY, VECTORS_NOTE):
        return True
    edges = _EDGES.fullmatch(key)
    return bool(
        parse_document_key(key)
        or parse_tokens_key(key)
        or parse_vectors_key(key)
        or parse_bucket_key(key)
        or (edges and is_bucket_tag(edges["tag"]))
        or _VOCABULARY_PART.fullmatch(key)
        or _STATISTICS.fullmatch(key)
        or matched_document(ANSWER_PATTERN.fullmatch(key))
    )


def vocabulary_part(fingerprint: str, part: int) -> str:
    """`keymiss:vocabulary:FINGERPRINT:N`, a string."""
    return f"{VOCABULARY}:{fingerprint}:{part}"
