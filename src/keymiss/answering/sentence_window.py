"""The window that is read for a sentence: the sentence itself and its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEIGHBOURS = 1
"""How many neighbours there are on either side, at most. Measured on the demo questions; see
docs/decisions/0002-window.md."""


LONGEST_WINDOW = 1500
"""How many characters a window with neighbours has, at most. A neighbour that would make it longer
is left out: a reader that has to cut its text would cut the sentence that was asked for."""


@dataclass(frozen=True, slots=True)
class SentenceWindow:
    """Consecutive sentences of a document, joined for reading."""

    first: int
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """The text that the reader reads."""
        return " ".join(self.sentences)

    def locate(self, start: int, end: int) -> tuple[int, int, int]:
        """The sentence in which a span of the joined text begins, and its offsets there.

        A span that goes on into the next sentence is cut at the end of the one in which it begins.
        """
        offset = 0
        for index, sentence in enumerate(self.sentences):
            if start <= offset + len(sentence):
                inside = start - offset
                return self.first + index, inside, min(end - offset, len(sentence))
            offset += len(sentence) + 1
        raise ValueError(f"the span {start}:{end} is outside of the window")


def window_numbers(sentence: int) -> range:
    """The numbers of the sentences that are read for this one, some of which may not exist."""
    return range(max(0, sentence - NEIGHBOURS), sentence + NEIGHBOURS + 1)


def make_window(
    sentence: int, numbers: range, texts: Sequence[str | None]
) -> SentenceWindow | None:
    """The window around a sentence from the texts of these numbers; None when the sentence itself
    is missing."""
    found = {number: text for number, text in zip(numbers, texts, strict=True) if text is not None}
    if sentence not in found:
        return None
    # A sentence belongs to the window only when no sentence is missing in between.
    first = last = sentence
    room = LONGEST_WINDOW - len(found[sentence])
    while first - 1 in found and len(found[first - 1]) < room:
        first -= 1
        room -= len(found[first]) + 1
    while last + 1 in found and len(found[last + 1]) < room:
        last += 1
        room -= len(found[last]) + 1
    return SentenceWindow(first, tuple(found[number] for number in range(first, last + 1)))
