"""Logs each question as a line of JSON: when, how long and how it ended, but never its text."""

from __future__ import annotations

import json
import logging
import secrets
import time
from datetime import UTC, datetime
from types import TracebackType

from keymiss.errors import outcome

logger = logging.getLogger("keymiss.questions")

QUESTION_ID = "X-Question-Id"


class QuestionLog:
    """A question from its arrival to its answer, as a context manager.

    `id` is random. The response has it in the header `X-Question-Id`, so that a complaint about an
    answer leads to its line in the log.
    """

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.complete = True
        self.results = 0
        self._started = time.perf_counter()

    def __enter__(self) -> QuestionLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not logger.isEnabledFor(logging.INFO):
            return
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": "question",
            "id": self.id,
            "ms": round(1000 * (time.perf_counter() - self._started), 1),
            "outcome": outcome(error),
            "results": self.results,
            "complete": self.complete,
        }
        logger.info(json.dumps(record))
