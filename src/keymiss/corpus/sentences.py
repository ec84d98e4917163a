"""Paragraphs to sentences, each exactly as it stands in the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version

from tokenizesentences import tokenize_spans

LONGEST = 1500
"""Characters. Text without any full stop is cut at white space: a reader has 512 tokens of room."""

SPLITTER = f"tokenizesentences-{version('tokenizesentences')}"
"""Names the way of cutting: stored with a corpus, and part of a document's content hash."""


def split_sentences(paragraphs: Iterable[str]) -> list[str]:
    """The sentences of all paragraphs, in order; nothing but white space between them is lost."""
    return [
        piece
        for paragraph in paragraphs
        for start, end in tokenize_spans(paragraph)
        for piece in _pieces(paragraph[start:end])
    ]


def _pieces(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST:
        space = max(sentence.rfind(white, 1, LONGEST) for white in " \n\t")
        cut = space if space > 0 else LONGEST
        yield sentence[:cut].rstrip()
        sentence = sentence[cut:].lstrip()
    if sentence:
        yield sentence
