"""Checks questions, and brings them into the one form that becomes part of a key."""

from __future__ import annotations

import unicodedata

from keymiss.errors import BadInput, TooLarge

MAX_QUESTION_BYTES = 2048


def normalise_question(text: str) -> str:
    """The question in NFC with white space folded, so that two ways of typing it give one key.

    Raises:
        BadInput: the question is empty, or holds half a surrogate pair.
        TooLarge: the question has more than 2,048 bytes of UTF-8.
    """
    if len(text) > MAX_QUESTION_BYTES:
        raise TooLarge(_too_long(len(text), "characters"))
    question = " ".join(unicodedata.normalize("NFC", text).split())
    check_question(question)
    return question


def check_question(question: str) -> None:
    """Raises what `normalise_question` raises. Changes nothing: the question is part of a key."""
    if not question.strip():
        raise BadInput("the question is empty")
    try:
        size = len(question.encode("utf-8"))
    except UnicodeEncodeError:
        raise BadInput("the question is not UTF-8 text") from None
    if size > MAX_QUESTION_BYTES:
        raise TooLarge(_too_long(size, "bytes"))


def _too_long(size: int, unit: str) -> str:
    return f"the question has {size} {unit}; the limit is {MAX_QUESTION_BYTES} bytes"
