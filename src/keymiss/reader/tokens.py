"""Text to token ids, and token positions back to characters."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from keymiss.reader.errors import ModelError

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Ids of the tokens that frame a pair: `[CLS] question [SEP] passage [SEP]`."""

    start: int
    separator: int
    padding: int


class Tokens:
    """A tokenizer that yields ids without special tokens.

    Raises:
        ModelError: `tokenizer.json` is missing, damaged, or lacks BERT's special tokens.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelError(f"{path} is missing; a model folder holds its tokenizer")
        content = path.read_bytes()
        try:
            self._tokenizer = Tokenizer.from_buffer(content)
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"{path} is damaged: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.fingerprint = hashlib.sha256(content).hexdigest()[:8]
        self.vocabulary: int = self._tokenizer.get_vocab_size()
        self.special = SpecialTokens(
            *(_token_id(self._tokenizer, name, path) for name in ("[CLS]", "[SEP]", "[PAD]"))
        )

    def encode(self, texts: list[str]) -> list[Ids]:
        """Token ids of each text, int32, without special tokens."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Character start and end of each token in the text."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(
            text, add_special_tokens=False
        ).offsets
        return offsets


def _token_id(tokenizer: Tokenizer, name: str, path: Path) -> int:
    number: int | None = tokenizer.token_to_id(name)
    if number is None:
        raise ModelError(f"{path} lacks the token {name}")
    return number
