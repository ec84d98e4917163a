"""What counts as a question, and the one form of it that becomes part of a key."""

from __future__ import annotations

import unicodedata

from keymiss.errors import BadInput, TooLarge

MAX_QUESTION_BYTES = 2048


def normalise_question(text: str) -> str:
    """NFC, white space folded: the same question typed in two ways is one key.

    Raises:
        BadInput: it is empty, or holds half a surrogate pair.
        TooLarge: it has more than 2,048 bytes of UTF-8.
    """
    if len(text) > MAX_QUESTION_BYTES:
        raise TooLarge(_too_long(len(text), "characters"))
    question = " ".join(unicodedata.normalize("NFC", text).split())
    check_question(question)
    return question


def check_question(question: str) -> None:
    """Raises what `normalise_question` raises; changes nothing, since a key is what it is."""
    if not question.strip():
        raise BadInput("the question is empty")
    try:
        size = len(question.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput("the question is no UTF-8 text") from None
    if size > MAX_QUESTION_BYTES:
        raise TooLarge(_too_long(size, "bytes"))


def _too_long(size: int, unit: str) -> str:
    return f"the question has {size} {unit}; the limit is {MAX_QUESTION_BYTES} bytes"
