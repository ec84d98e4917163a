"""Fetches what is read for a key, a sentence with its neighbours, and notes the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keymiss.answering.answer_notes import MOST_NOTED, NOTED_SECONDS, Notes
from keymiss.answering.sentence_window import SentenceWindow, make_window, window_numbers
from keymiss.answering.tokens_function import unpack
from keymiss.errors import KeymissError, Moving, NotFound
from keymiss.functions import Shard
from keymiss.keys import TEXT_HASH, AnswerKey, decode_text
from keymiss.reader import Passage, Tokenizer
from keymiss.server.lua_script import load_lua
from keymiss.server.topology import is_elsewhere
from keymiss.server.transactions import Command

TRIES = 10
MOVING_TRY_SECONDS = 0.05
"""How long to wait between tries: a document that moves to another node is whole again when all of
its keys are there."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is read for a key: the text of its window, with token ids where they are stored."""

    window: SentenceWindow
    passage: str | Passage


Named = tuple[str, AnswerKey]

_READ = load_lua(__file__, "note_and_read")


async def read_texts(
    shard: Shard, keys: Sequence[Named], tokenizer: Tokenizer, notes: Notes
) -> list[Text | KeymissError]:
    """The text for each key, or an error. A key is noted with its document before text is read.

    A document that is on its way to another node is tried again for a short while.
    """
    texts = await _read_once(shard, keys, tokenizer, notes)
    for _ in range(TRIES):
        moving = [number for number, text in enumerate(texts) if isinstance(text, Moving)]
        if not moving:
            break
        await asyncio.sleep(MOVING_TRY_SECONDS)
        again = await _read_once(shard, [keys[number] for number in moving], tokenizer, notes)
        for number, text in zip(moving, again, strict=True):
            texts[number] = text
    return texts


async def _read_once(
    shard: Shard, keys: Sequence[Named], tokenizer: Tokenizer, notes: Notes
) -> list[Text | KeymissError]:
    now = int(time.time())
    replies = await shard.read([_reading(name, key, tokenizer, now) for name, key in keys])
    asked = list(zip(keys, map(_is_noted, replies), strict=True))
    excess = notes.add(shard, [(name, key.keys.answers) for (name, key), noted in asked if noted])
    if any(noted is False for _, noted in asked):
        excess += notes.make_room(shard)
    await shard.transactions(excess)
    return [
        _still_moving(shard, key, _text(key, reply, tokenizer))
        for (_, key), reply in zip(keys, replies, strict=True)
    ]


def read_numbers(key: AnswerKey) -> range:
    """The numbers of the sentences that are read for a key."""
    return window_numbers(key.sentence) if key.last is None else range(key.sentence, key.last + 1)


def _reading(name: str, key: AnswerKey, tokenizer: Tokenizer, now: int) -> Command:
    """The command that calls the script for a key."""
    keys = (key.keys.sentences, key.keys.facts, key.keys.tokens(tokenizer.fingerprint))
    window = read_numbers(key)
    noting = (name, now, now + NOTED_SECONDS, MOST_NOTED)
    return ("EVAL", _READ, 4, *keys, key.keys.answers, key.sentence, *noting, TEXT_HASH, *window)


def _is_noted(reply: object) -> bool | None:
    """Whether the key has been noted; None when its sentence does not exist or cannot be read."""
    return bool(reply[0]) if isinstance(reply, list) and reply else None


def _still_moving(shard: Shard, key: AnswerKey, text: Text | KeymissError) -> Text | KeymissError:
    """Replaces NotFound by Moving when the server does not hold the slot: the text may arrive."""
    if isinstance(text, NotFound) and not shard.coverage.holds(key.keys.sentences):
        return _moving(key)
    return text


def _text(key: AnswerKey, read: object, tokenizer: Tokenizer) -> Text | KeymissError:
    """The text to read, from the reply of the script."""
    if is_elsewhere(read):
        return _moving(key)
    if not isinstance(read, list):
        return KeymissError(f"the text of {key.keys.document!r} cannot be read: {read}")
    if not read:
        return _no_sentence(key)
    _, texts, of_text, (of_tokens, *packed) = read
    window = make_window(
        key.sentence,
        read_numbers(key),
        [None if text is None else decode_text(text) for text in texts],
    )
    if window is None:
        return _no_sentence(key)
    if not tokenizer.concatenates:
        return Text(window, window.text)
    stored = dict(zip(read_numbers(key), packed, strict=True))
    wanted = [stored[window.first + index] for index in range(len(window.sentences))]
    if of_text is None or of_tokens != of_text or None in wanted:
        return Text(window, window.text)
    ids = np.concatenate([unpack(value, tokenizer.vocabulary) for value in wanted])
    return Text(window, Passage(window.text, ids))


def _no_sentence(key: AnswerKey) -> NotFound:
    return NotFound(f"document {key.keys.document!r} has no sentence {key.sentence}")


def _moving(key: AnswerKey) -> Moving:
    return Moving(f"the document {key.keys.document!r} is on its way to another node; ask again")
