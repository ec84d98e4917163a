"""Estimates what a corpus needs for its size and its questions, from constants of the benches."""

from __future__ import annotations

import math
from dataclasses import dataclass

MEASURED_SENTENCES, MEASURED_SHARDS = 1_000_000, 8
"""How many sentences the largest measured shard had, and how many shards the largest cluster.
Figures beyond them are an extrapolation."""

TEXT_BYTES = 120.0
"""How many bytes a sentence has, in the sample articles and in most prose."""

SHARD_BYTES = 8e9
"""How many bytes a Valkey process should hold, at most: saved, copied and moved as a whole."""

SHARD_FIND_MS = 25.0
UTILISATION = 0.6
"""The share of time that processors may be busy, so that questions seldom wait for each other."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Values that were measured on two cores of an AMD EPYC (Zen 3) with the bundled reader.

    docs/scale.md names the commands. Milliseconds are those of one core, except for `find`.
    """

    server_bytes_per_text_byte: float = 2.5
    """The server's memory for sentences, tokens and the keys themselves."""
    server_bytes_per_vector: float = 390.0
    worker_bytes: float = 465e6
    """The memory of a worker with the model, and an index that is nearly empty."""
    worker_bytes_per_sentence: float = 185.0
    worker_bytes_per_vector: float = 450.0
    find_ms: float = 1.3
    find_ms_per_million_sentences: float = 2.4
    read_ms: float = 45.0
    """The time to read a question with one candidate, a sentence and its neighbours."""
    web_ms: float = 4.8
    web_ms_per_shard: float = 1.3


@dataclass(frozen=True, slots=True)
class Size:
    """What a corpus needs: the bytes of all shards together, and the medians of an idle system."""

    shards: int
    server_bytes: float
    worker_bytes: float
    worker_cores: float
    web_cores: float
    find_ms: float
    first_ms: float
    cached_ms: float
    extrapolated: bool


def estimate(
    sentences: int,
    questions_per_second: float,
    candidates: int,
    constants: Constants = Constants(),
    text_bytes: float = TEXT_BYTES,
    vectors: bool = True,
) -> Size:
    """Estimates the memory, shards and cores that a corpus needs, and how fast answers come.

    Args:
        questions_per_second: how many have not been asked before; others need only the web server.
        candidates: how many sentences are read for a question.
        text_bytes: how many bytes a sentence has, on average.
        vectors: whether sentences have vectors.
    """
    of_text = text_bytes * constants.server_bytes_per_text_byte
    server_bytes = sentences * (of_text + vectors * constants.server_bytes_per_vector)
    of_worker = constants.worker_bytes_per_sentence + vectors * constants.worker_bytes_per_vector
    shards = max(
        1,
        math.ceil(server_bytes / SHARD_BYTES),
        math.ceil(
            sentences
            / 1e6
            * constants.find_ms_per_million_sentences
            / (SHARD_FIND_MS - constants.find_ms)
        ),
    )
    find_ms = find_milliseconds(sentences / shards, constants)
    core_ms = candidates * constants.read_ms + shards * find_ms
    worker_cores = questions_per_second * core_ms / 1000 / UTILISATION
    web_ms = constants.web_ms + constants.web_ms_per_shard * (shards - 1)
    cores = max(1, math.ceil(worker_cores))
    return Size(
        shards=shards,
        server_bytes=server_bytes,
        worker_bytes=shards * constants.worker_bytes + sentences * of_worker,
        worker_cores=worker_cores,
        web_cores=questions_per_second * web_ms / 1000 / UTILISATION,
        find_ms=find_ms,
        first_ms=web_ms + find_ms + candidates * constants.read_ms / cores,
        cached_ms=web_ms + find_ms,
        extrapolated=sentences > MEASURED_SENTENCES * shards or shards > MEASURED_SHARDS,
    )


def find_milliseconds(sentences: float, constants: Constants = Constants()) -> float:
    """How long a search in a shard of this many sentences takes."""
    return constants.find_ms + constants.find_ms_per_million_sentences * sentences / 1e6
