"""Finds the best spans of tokens by their logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keymiss.reader.network import Logits


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens from `first` to `last`, both included, with the sum of start and end logit."""

    first: int
    last: int
    score: float


def best_spans(start: Logits, end: Logits, count: int, longest: int) -> list[Span]:
    """The highest scored spans that do not overlap, best first.

    Args:
        start: the start logits of the passage's tokens, shape (length,).
        end: their end logits, shape (length,).
        count: how many spans are returned, at most.
        longest: how many tokens a span has, at most.
    """
    length = len(start)
    scores = start[:, None] + end[None, :]
    allowed = np.tri(length, length, longest - 1, dtype=bool) & ~np.tri(length, length, -1, bool)
    scores = np.where(allowed, scores, -np.inf)
    spans: list[Span] = []
    while len(spans) < count and scores.size:
        first, last = divmod(int(scores.argmax()), length)
        score = float(scores[first, last])
        if score == -np.inf:
            break
        spans.append(Span(first, last, score))
        # Spans that start at or before `last` and end at or after `first` overlap this one.
        scores[: last + 1, first:] = -np.inf
    return spans


def trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The start and end of a span without the white space at its ends.

    Tokens of some tokenizers hold the space before their word, or that space only.
    """
    start += len(text[start:end]) - len(text[start:end].lstrip())
    return start, start + len(text[start:end].rstrip())
