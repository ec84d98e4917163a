"""Terms: the words of texts and of questions in the one form in which they are compared."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import tantivy

TermHashes = npt.NDArray[np.uint32]
"""Terms as numbers that any process gives them: CRC-32. Two terms of 300,000 share a number."""

MAX_QUESTION_TERMS = 64

FRAME_WEIGHT = 0.4
"""How much a word of a question's frame counts, beside one that says what is asked about."""

FRAME_WORDS = """
what which who whom whose how why when where do does did doing done can could should would shall may
might must has have had having i me my we us our you your he she his her its them some any many much
more most than from about after before during between because so also were been being am all each
other only very just here out up over off same too own while both few such per via main role kind
type name called give tell
"""
"""The words that most questions are made of, whatever they are about."""

_DIGIT = re.compile(r"\d")
_LETTER_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


def terms_of(text: str) -> list[str]:
    """The terms of a text in their order: words in lower case, without accents and English endings;
    stop words are left out."""
    return list(_english().analyze(cut_digits(text)))


def cut_digits(text: str) -> str:
    """The text with letters cut from digits, so that COVID-19 and covid19 have the same terms."""
    return _LETTER_BESIDE_DIGIT.sub(" ", text) if _DIGIT.search(text) else text


def question_terms(question: str) -> list[str]:
    """The distinct terms of a question, the first `MAX_QUESTION_TERMS`."""
    return list(dict.fromkeys(terms_of(question)))[:MAX_QUESTION_TERMS]


def term_weights(terms: Iterable[str]) -> list[float]:
    """How much each term of a question counts."""
    frame = _frame()
    return [FRAME_WEIGHT if term in frame else 1.0 for term in terms]


def hash_terms(terms: Sequence[str]) -> TermHashes:
    """The number of each term.

    Raises:
        UnicodeEncodeError: a term holds half a surrogate pair.
    """
    return np.fromiter((zlib.crc32(term.encode()) for term in terms), np.uint32, len(terms))


@cache
def _frame() -> frozenset[str]:
    return frozenset(term for word in FRAME_WORDS.split() for term in terms_of(word))


@cache
def _english() -> tantivy.TextAnalyzer:
    return (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.stopword("english"))
        .filter(tantivy.Filter.stemmer("english"))
        .build()
    )
