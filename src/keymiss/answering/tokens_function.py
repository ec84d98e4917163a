"""The function `tokens`, which tokenises sentences once, when they are written."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import numpy as np

from keymiss.answering.derived_keys import delete_of_others, documents_of
from keymiss.corpus.document_reads import StoredText, read_derived, read_stored
from keymiss.function_names import FunctionName
from keymiss.functions import Event, Function, Shard, keys_by_shard, on_write
from keymiss.keys import (
    SENTENCES,
    TEXT_HASH,
    TOKENS,
    DocumentKeys,
    encode,
    parse_tokens_key,
)
from keymiss.reader import Ids, Tokenizer
from keymiss.server.topology import raise_unless_elsewhere
from keymiss.server.transactions import Command

SMALL_VOCABULARY = 1 << 16


def tokens_function(tokenizer: Tokenizer) -> Function:
    """The function that keeps `keymiss:tokens:` keys in step with the sentences."""

    @on_write(
        SENTENCES, name=FunctionName.TOKENS, batch=64, derived=TOKENS, version=tokenizer.fingerprint
    )
    async def follow(events: Sequence[Event]) -> None:
        for shard, keys in keys_by_shard(events).items():
            await update_tokens(tokenizer, shard, keys)

    return follow


async def update_tokens(tokenizer: Tokenizer, shard: Shard, keys: Sequence[str]) -> None:
    """Makes the tokens of these documents agree with their texts.

    `keys` are keys of sentences or of tokens. Tokens of another tokenizer, or of a document that
    does not exist, are deleted.
    """
    await delete_of_others(shard, keys, parse_tokens_key, tokenizer.fingerprint, b"hash")
    documents = documents_of(keys, parse_tokens_key)
    beside = await read_derived(
        shard, documents, lambda each: ("HGET", each.tokens(tokenizer.fingerprint), TEXT_HASH)
    )
    stale = [each.document for each in beside if each.text_hash != each.reply]
    writing = [
        await _writing(tokenizer, document, text)
        for document, text in zip(stale, await read_stored(shard, stale), strict=True)
        if text
    ]
    for result in await shard.write(writing):
        raise_unless_elsewhere(result)


async def _writing(tokenizer: Tokenizer, document: DocumentKeys, text: StoredText) -> list[Command]:
    key = encode(document.tokens(tokenizer.fingerprint))
    if text.text_hash is None or not text.sentences:
        return [("UNLINK", key)]
    made = await asyncio.to_thread(tokenizer.encode, list(text.sentences.values()))
    packed = [pack(ids, tokenizer.vocabulary) for ids in made]
    fields = itertools.chain(*zip(text.sentences, packed, strict=True))
    return [("UNLINK", key), ("HSET", key, TEXT_HASH, text.text_hash, *fields)]


def pack(ids: Ids, vocabulary: int) -> bytes:
    """Token ids as they are stored: little-endian uint16, or uint32 for large vocabularies."""
    return ids.astype("<u2" if vocabulary <= SMALL_VOCABULARY else "<u4").tobytes()


def unpack(value: bytes, vocabulary: int) -> Ids:
    """Token ids, int32, from what `pack` made."""
    stored = np.frombuffer(value, "<u2" if vocabulary <= SMALL_VOCABULARY else "<u4")
    return stored.astype(np.int32)
