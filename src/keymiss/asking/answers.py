"""Asks a question: all shards give candidates, the best are read there, answers are ranked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from valkey.exceptions import TimeoutError as ValkeyTimeout
from valkey.exceptions import ValkeyError

from keymiss.asking.candidate_reading import (
    SENTENCES_READ,
    SENTENCES_READ_UNSETTLED,
    read_candidates,
)
from keymiss.asking.candidate_search import find
from keymiss.asking.concept_links import neighbourhood_if_any
from keymiss.asking.metrics import count_question, stage
from keymiss.asking.shown_text import Shown, read_shown
from keymiss.errors import KeymissError, TooSlow, Unavailable, outcome
from keymiss.graph.neighbourhood import Neighbourhood
from keymiss.keys import DocumentKeys
from keymiss.search.question import normalise_question
from keymiss.search.ranking import fuse
from keymiss.server.servers import Servers
from keymiss.values.qa_value import Found

MOST_ANSWERS = 5
"""How many answers a question gets, at most."""

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CorpusAnswer:
    """An answer and the place that it comes from.

    `sentence_text[start:end] == text`; `sentence` is the name `DOC:{TAG}:N`. `score` is the
    reader's margin in logits: how much more likely the span is than no answer. `probability` is how
    often an answer with that score is right.
    """

    text: str
    start: int
    end: int
    score: float
    probability: float
    sentence: str
    sentence_text: str
    title: str


@dataclass(frozen=True, slots=True)
class CorpusAnswers:
    """The answers, best first, and the concepts that the question names.

    `complete` is false when part of the corpus did not answer.
    """

    answers: tuple[CorpusAnswer, ...]
    complete: bool
    concepts: Neighbourhood


async def ask(servers: Servers, text: str, by_concepts: bool = False) -> CorpusAnswers:
    """Answers a question from the parts of the corpus that can be reached in time.

    Args:
        by_concepts: whether sentences that name the question's concepts are candidates as well.

    Raises:
        BadInput: the text is not a question.
        Unavailable: no server, no worker, or no corpus.
        TooSlow: there was no answer in time.

    >>> async def asked(text: str) -> CorpusAnswers:
    ...     async with Servers(url) as servers:
    ...         return await ask(servers, text)
    >>> first = asyncio.run(asked("What causes whooping cough?")).answers[0]
    >>> first.text, first.sentence
    ('bacterium Bordetella pertussis', 'pertussis-whooping-cough:{XS}:0')
    """
    linking = asyncio.create_task(neighbourhood_if_any(servers, text))
    try:
        with stage("all"):
            answers, complete = await _ask(servers, text, linking if by_concepts else None)
        count_question("answered" if answers else "unanswered", complete)
        return CorpusAnswers(tuple(answers), complete, await linking)
    except KeymissError as error:
        count_question(outcome(error))
        raise
    finally:
        linking.cancel()


async def _ask(
    servers: Servers, text: str, linking: Awaitable[Neighbourhood] | None
) -> tuple[list[CorpusAnswer], bool]:
    """The answers, and whether all parts of the corpus have answered."""
    question = normalise_question(text)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            with stage("find"):
                found = await find(servers, question)
            sentences, complete = [one.sentence for one in found.ranked], found.complete
            if linking:
                concepts = await linking
                sentences = fuse(sentences, concepts.ranked_sentences(sentences))
                complete = complete and concepts.complete
            count = SENTENCES_READ if found.settled else SENTENCES_READ_UNSETTLED
            with stage("read"):
                read = await read_candidates(servers, question, sentences[:count])
            with stage("show"):
                answers, shown = await _with_texts(servers, _best(read.found))
            return answers, complete and read.complete and shown
    except (TimeoutError, ValkeyTimeout):
        raise TooSlow(f"no answer within {DEADLINE_SECONDS:.0f} s") from None
    except (ValkeyError, OSError) as error:
        raise Unavailable(f"the server cannot be reached: {error}") from error


def _best(found: Sequence[tuple[DocumentKeys, Found]]) -> list[tuple[DocumentKeys, Found]]:
    """The likely answers, best first, each text once."""
    kept: dict[str, tuple[DocumentKeys, Found]] = {}
    for keys, one in sorted(found, key=lambda pair: (-pair[1].margin, pair[0].document)):
        if one.is_answer:
            kept.setdefault(" ".join(one.text.casefold().split()), (keys, one))
    return list(kept.values())[:MOST_ANSWERS]


async def _with_texts(
    servers: Servers, best: Sequence[tuple[DocumentKeys, Found]]
) -> tuple[list[CorpusAnswer], bool]:
    """The answers with their sentences and titles, and whether all of these could be read: a node
    may have died after its sentences were read."""
    read = await read_shown(servers, [(keys, found.sentence) for keys, found in best])
    answers = []
    for (keys, found), shown in zip(best, read, strict=True):
        # The sentence may have been deleted or rewritten after it was read.
        if not isinstance(shown, Shown) or shown.text[found.start : found.end] != found.text:
            continue
        answers.append(
            CorpusAnswer(
                text=found.text,
                start=found.start,
                end=found.end,
                score=round(found.margin, 4),
                probability=found.probability,
                sentence=keys.sentence(found.sentence),
                sentence_text=shown.text,
                title=shown.title,
            )
        )
    return answers, not any(isinstance(shown, Exception) for shown in read)
