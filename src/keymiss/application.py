"""The functions that a worker of the application serves: search and answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from keymiss.answering.model_statistics import ModelStatistics, statistics_function
from keymiss.answering.qa_functions import answer_functions
from keymiss.answering.tokens_function import tokens_function
from keymiss.functions import Function
from keymiss.reader import BUNDLED_MODEL, Reader
from keymiss.search.search_functions import search_functions

NAMES = ("find", "qa", "bertqa")
"""The functions that must be attached before a question can be asked."""


@dataclass(frozen=True, slots=True)
class Application:
    """The functions, and what their reader has done: `statistics.keep` counts it in the server."""

    functions: list[Function]
    reader: Reader
    statistics: ModelStatistics


def application(
    model: str | Path = BUNDLED_MODEL, cache: Path | None = None, precision: str = "auto"
) -> Application:
    """Loads the model and makes all functions of the application.

    Args:
        model: the reader's.
        precision: the reader's, "auto", "fp32", "bf16" or "int8".
        cache: the folder where search indexes are kept between runs; in memory only when None.

    Raises:
        ModelError: the model cannot be loaded.
    """
    reader = Reader.from_pretrained(model, precision)
    reader.warm_up()
    statistics = ModelStatistics(reader)
    served = [*search_functions(cache), *answer_functions(reader, statistics)]
    served.append(statistics_function())
    if reader.tokens.concatenates:
        served.append(tokens_function(reader.tokens))
    return Application(served, reader, statistics)
