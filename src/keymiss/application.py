"""The default application of a worker: all of its functions, in one list.

Only here may asking and answering meet, since this module stands above both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keymiss.answering.model_statistics import ModelStatistics, statistics_function
from keymiss.answering.qa_functions import answer_functions
from keymiss.answering.tokens_function import tokens_function
from keymiss.answering.vector_memory import VectorsMode
from keymiss.answering.vector_service import VectorService
from keymiss.functions import Function
from keymiss.graph.graph_service import serve_graph
from keymiss.reader import BUNDLED_ENCODER, BUNDLED_MODEL, Encoder, Reader
from keymiss.search.search_functions import search_functions

Background = Callable[[str, asyncio.Event, str], Coroutine[Any, Any, None]]
"""Runs beside the functions, for a server's URL, until the event is set. The last text names the
shards that the worker serves (`--shards`)."""


@dataclass(frozen=True, slots=True)
class Application:
    """The functions of a worker, what runs beside them, and their reader."""

    functions: tuple[Function, ...]
    background: tuple[Background, ...]
    reader: Reader


def load_application(
    model: str | Path = BUNDLED_MODEL,
    cache: Path | None = None,
    precision: str = "auto",
    threads: int | None = None,
    vectors: VectorsMode = VectorsMode.AUTO,
    encoder: str | Path = BUNDLED_ENCODER,
) -> Application:
    """Loads the models and makes all functions of the default worker.

    Args:
        model: the reader's model.
        cache: the folder where search indexes are kept between runs; None keeps them in memory.
        precision: the reader's precision: "auto", "fp32", "bf16" or "int8".
        threads: how many threads of the reader compute; by default as many as the process may use.
        vectors: whether sentences are found by their vectors, too.
        encoder: the model that makes the vectors.

    Raises:
        ModelError: a model cannot be loaded.
    """
    reader = Reader.from_pretrained(model, precision, threads)
    reader.warm_up()
    if vectors is VectorsMode.OFF:
        return application_of(reader, cache)
    loaded = Encoder.from_pretrained(encoder, threads=threads)
    return application_of(reader, cache, VectorService(loaded, vectors))


def application_of(
    reader: Reader, cache: Path | None = None, service: VectorService | None = None
) -> Application:
    """The default application with models that are loaded already."""
    statistics = ModelStatistics(reader)
    functions = (
        *search_functions(cache, reader.passage_ms, service.vectors if service else None),
        *answer_functions(reader, statistics),
        statistics_function(),
        # Tokens that do not depend on neighbouring text are made once, when text is written.
        *([tokens_function(reader.tokenizer)] if reader.tokenizer.concatenates else []),
    )
    # The graph's functions depend on the vocabulary, which may change while the worker runs.
    background: tuple[Background, ...] = (serve_graph, statistics.keep)
    return Application(functions, (*background, *([service.run] if service else [])), reader)
