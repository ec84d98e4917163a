"""What a corpus of a size, asked so often, needs: from constants that the benches have measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

MEASURED_SENTENCES, MEASURED_SHARDS = 1_000_000, 8
"""Of the largest shard and cluster that were measured; beyond them figures are an extrapolation."""

TEXT_BYTES = 120.0
"""Of a sentence: of the sample articles, and of most prose."""

SHARD_BYTES = 8e9
"""That a Valkey process should hold: it is saved, copied and moved as a whole."""

SHARD_FIND_MS = 25.0
UTILISATION = 0.6
"""Share of the time that processors may be busy, so that questions seldom wait for one another."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Measured on two cores of an AMD EPYC (Zen 3) with the bundled reader; docs/scale.md names the
    commands. Milliseconds are of one core but for those of `find`."""

    server_bytes_per_text_byte: float = 2.5
    """Sentences, tokens and the keys' own weight."""
    worker_bytes: float = 465e6
    """Of a worker with the model, and an index that is nearly empty."""
    worker_bytes_per_sentence: float = 185.0
    find_ms: float = 1.3
    find_ms_per_million_sentences: float = 2.4
    read_ms: float = 45.0
    """For a candidate: a question with its sentence and the neighbours of that."""
    web_ms: float = 4.8
    web_ms_per_shard: float = 1.3


@dataclass(frozen=True, slots=True)
class Size:
    """What is needed. Bytes are of all shards together; latencies are medians of an idle system."""

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
) -> Size:
    """How much memory, how many shards and cores, and how fast.

    Args:
        questions_per_second: that have not been asked before; others cost the web server alone.
        candidates: sentences that are read for a question.
        text_bytes: of a sentence, on average.
    """
    server_bytes = sentences * text_bytes * constants.server_bytes_per_text_byte
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
        worker_bytes=shards * constants.worker_bytes
        + sentences * constants.worker_bytes_per_sentence,
        worker_cores=worker_cores,
        web_cores=questions_per_second * web_ms / 1000 / UTILISATION,
        find_ms=find_ms,
        first_ms=web_ms + find_ms + candidates * constants.read_ms / cores,
        cached_ms=web_ms + find_ms,
        extrapolated=sentences > MEASURED_SENTENCES * shards or shards > MEASURED_SHARDS,
    )


def find_milliseconds(sentences: float, constants: Constants = Constants()) -> float:
    """How long a shard of so many sentences searches."""
    return constants.find_ms + constants.find_ms_per_million_sentences * sentences / 1e6
