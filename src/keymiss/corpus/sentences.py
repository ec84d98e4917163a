"""Cuts paragraphs into sentences, each exactly as it stands in the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise

from tokenizesentences import tokenize_spans

from keymiss.corpus.document import Paragraph

LONGEST_SENTENCE = 1500
"""How many characters a sentence has, at most. Text without a full stop is cut at white space,
because a reader has room for 512 tokens."""

SPLITTER_NAME = f"tokenizesentences-{version('tokenizesentences')}"
"""The name and version of the splitter, which is stored with a corpus."""


@dataclass(frozen=True, slots=True)
class CutText:
    """The sentences of a text, in order, and the numbers of those that begin paragraphs."""

    sentences: tuple[str, ...]
    starts: tuple[int, ...]


def cut_text(paragraphs: Iterable[Paragraph]) -> CutText:
    """Cuts the paragraphs that are not cut yet; only white space between sentences is lost."""
    sentences: list[str] = []
    starts = []
    for paragraph in paragraphs:
        cut = _sentences(paragraph) if isinstance(paragraph, str) else paragraph
        before = len(sentences)
        sentences.extend(cut)
        if len(sentences) > before:
            starts.append(before)
    return CutText(tuple(sentences), tuple(starts))


def _sentences(paragraph: str) -> Iterator[str]:
    for start, end in tokenize_spans(paragraph):
        yield from _pieces(paragraph[start:end])


def _pieces(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST_SENTENCE:
        space = max(sentence.rfind(white, 1, LONGEST_SENTENCE) for white in " \n\t")
        cut = space if space > 0 else LONGEST_SENTENCE
        yield sentence[:cut].rstrip()
        sentence = sentence[cut:].lstrip()
    if sentence:
        yield sentence


def write_starts(starts: Iterable[int]) -> str:
    """The numbers as they are stored: in decimal digits, with spaces between them."""
    return " ".join(map(str, starts))


def read_starts(stored: bytes, sentences: int) -> tuple[int, ...]:
    """The numbers that `write_starts` wrote for a text with this many sentences.

    Raises:
        ValueError: the numbers do not begin with 0 and rise, or one of them is too large.
    """
    starts = tuple(map(int, stored.split()))
    if not starts or starts[0] != 0 or starts[-1] >= sentences:
        raise ValueError(f"{stored[:80]!r} cannot be where the paragraphs of the text begin")
    if any(one >= other for one, other in pairwise(starts)):
        raise ValueError(f"the numbers {stored[:80]!r} do not rise")
    return starts
