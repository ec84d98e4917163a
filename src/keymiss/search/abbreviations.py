"""Abbreviations that a text defines, so that each form finds the sentences with the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

FEWEST_LETTERS, MOST_LETTERS = 2, 10
"""How many characters an abbreviation has."""

_IN_BRACKETS = re.compile(rf"\(([^\W_][^()\s,;]{{{FEWEST_LETTERS - 1},{MOST_LETTERS - 1}}})[),;]")


def find_abbreviations(sentences: Iterable[str]) -> dict[str, str]:
    """The long form of each abbreviation that follows its long form in brackets: equine arteritis
    virus (EAV). The first definition counts (Schwartz and Hearst 2003)."""
    found: dict[str, str] = {}
    for sentence in sentences:
        for match in _IN_BRACKETS.finditer(sentence):
            short = match[1]
            long = _long_form(short, sentence[: match.start()]) if _is_short(short) else ""
            if long:
                found.setdefault(short, long)
    return found


def _is_short(text: str) -> bool:
    return any(each.isupper() for each in text) and sum(each.isalpha() for each in text) > 1


def _long_form(short: str, before: str) -> str:
    """The words at the end of `before` that hold the letters of `short` in their order, the first
    of them at the beginning of a word; empty when there are none."""
    words = before.split()
    most = min(len(short) + 5, 2 * len(short))
    text = " ".join(words[-most:])
    place = len(text)
    for number in range(len(short) - 1, -1, -1):
        wanted = short[number].casefold()
        if not wanted.isalnum():
            continue
        place -= 1
        while place >= 0 and (
            text[place].casefold() != wanted
            or (number == 0 and place > 0 and text[place - 1].isalnum())
        ):
            place -= 1
        if place < 0:
            return ""
    long = text[place:]
    return "" if len(long) <= len(short) or set(long) & set("()") else long


def with_other_forms(sentences: Mapping[int, str]) -> dict[int, str]:
    """The sentences, each followed by the other form of every abbreviation that it has in one form
    only."""
    forms = [
        (short, long.casefold(), re.compile(rf"(?<!\w){re.escape(short)}(?!\w)"), long)
        for short, long in find_abbreviations(sentences.values()).items()
    ]
    if not forms:
        return dict(sentences)
    completed = {}
    for number, sentence in sentences.items():
        folded, added = sentence.casefold(), []
        for short, folded_long, pattern, long in forms:
            has_short = short in sentence and pattern.search(sentence) is not None
            has_long = folded_long in folded
            if has_short != has_long:
                added.append(long if has_short else short)
        completed[number] = " ".join([sentence, *added])
    return completed
