"""Turns text into token ids, and token positions back into characters."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from keymiss.errors import ModelError
from keymiss.reader.network import Ids

WHOLE = "tokenizer.json"
WORD_PIECES = "vocab.txt"
BYTE_PAIRS = ("vocab.json", "merges.txt")


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of the special tokens that frame a pair.

    BERT: `[CLS] question [SEP] passage [SEP]`; RoBERTa: `<s> question </s></s> passage </s>`.
    """

    start: int
    separator: int
    padding: int
    separators_between: int


class Tokenizer:
    """A tokenizer that yields ids without special tokens.

    Reads `tokenizer.json`, or the files of older checkpoints: `vocab.txt` (WordPiece), or
    `vocab.json` with `merges.txt` (byte-level BPE).

    Raises:
        ModelError: these files are missing or damaged, or lack the special tokens.
    """

    def __init__(self, folder: Path) -> None:
        files = tokenizer_files(folder)
        try:
            self._tokenizer = _load(files)
        except Exception as error:  # the library raises plain Exception
            raise ModelError(f"{files[0]} is damaged: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        digest = hashlib.sha256()
        for path in files:
            digest.update(path.read_bytes())
        self.fingerprint = digest.hexdigest()[:8]
        self.vocabulary: int = self._tokenizer.get_vocab_size()
        self.special = _special(self._tokenizer, files[0])
        # WordPiece splits at white space first, so a sentence's tokens do not depend on neighbours.
        self.concatenates = isinstance(self._tokenizer.model, models.WordPiece)
        """Whether the tokens of several texts, joined, are those of the texts joined by spaces."""

    def encode(self, texts: list[str]) -> list[Ids]:
        """The token ids of each text, int32, without special tokens."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in encodings]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """The start and end of each token in the text, in characters."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(
            text, add_special_tokens=False
        ).offsets
        return offsets

    def word_offsets(self, text: str) -> list[tuple[int, int]]:
        """The start and end of the word that each token is part of, in characters."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        words = [
            None if word is None else encoding.word_to_chars(word) for word in encoding.word_ids
        ]
        return [word or token for word, token in zip(words, encoding.offsets, strict=True)]


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that a model's tokenizer is made of.

    Raises:
        ModelError: the folder has no tokenizer.
    """
    for names in ((WHOLE,), (WORD_PIECES, "tokenizer_config.json"), BYTE_PAIRS):
        files = [folder / name for name in names if (folder / name).is_file()]
        if files[:1] == [folder / names[0]] and (names != BYTE_PAIRS or len(files) == 2):
            return files
    raise ModelError(
        f"{folder / WHOLE} is missing; a model folder holds its tokenizer as {WHOLE}, "
        f"{WORD_PIECES}, or {' with '.join(BYTE_PAIRS)}"
    )


def _load(files: list[Path]) -> tokenizers.Tokenizer:
    if files[0].name == WHOLE:
        return tokenizers.Tokenizer.from_buffer(files[0].read_bytes())
    if files[0].name == WORD_PIECES:
        return _word_pieces(*files)
    tokenizer = tokenizers.Tokenizer(models.BPE.from_file(*map(str, files)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    return tokenizer


def _word_pieces(vocabulary: Path, settings: Path | None = None) -> tokenizers.Tokenizer:
    options: dict[str, Any] = json.loads(settings.read_bytes()) if settings else {}
    tokenizer = tokenizers.Tokenizer(models.WordPiece.from_file(str(vocabulary), unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=options.get("do_lower_case", True),
        strip_accents=options.get("strip_accents"),
        handle_chinese_chars=options.get("tokenize_chinese_chars", True),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    return tokenizer


def _special(tokenizer: tokenizers.Tokenizer, path: Path) -> SpecialTokens:
    def id_of(name: str) -> int:
        number: int | None = tokenizer.token_to_id(name)
        if number is None:
            raise ModelError(f"{path} lacks the token {name}")
        return number

    if tokenizer.token_to_id("<s>") is None:
        return SpecialTokens(id_of("[CLS]"), id_of("[SEP]"), id_of("[PAD]"), separators_between=1)
    return SpecialTokens(id_of("<s>"), id_of("</s>"), id_of("<pad>"), separators_between=2)
