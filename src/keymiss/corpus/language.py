"""Recognises the language that a document is written in."""

from __future__ import annotations

from collections.abc import Callable

from keymiss.corpus.document import Document
from keymiss.errors import SetupError, missing_extra

ENOUGH = 2000
"""How many characters are looked at; a detector needs far fewer."""


def in_language(language: str) -> Callable[[Document], bool]:
    """A function that tells whether a document is written in a language.

    Args:
        language: an ISO 639-1 code, such as "en".

    Raises:
        SetupError: the language is unknown, or `py3langid` is not installed.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise missing_extra("py3langid", "language") from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if language not in identifier.labels:
        known = ", ".join(sorted(identifier.labels))
        raise SetupError(f"the language {language!r} is not one of {known}")

    def accept(document: Document) -> bool:
        return bool(identifier.classify(document.text[:ENOUGH])[0] == language)

    return accept
