"""Asks a question: all shards give candidates, the best are read there, answers are ranked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from valkey.exceptions import TimeoutError as ValkeyTimeout
from valkey.exceptions import ValkeyError

from keymiss.asking.choosing import ChosenSpan, choose, choosing_model, found_by
from keymiss.asking.concept_links import neighbourhood_if_any
from keymiss.asking.effort import READ_MS, Effort, candidates_read
from keymiss.asking.metrics import count_question, stage
from keymiss.asking.passage_reading import read_passages
from keymiss.asking.passages import cut_passages
from keymiss.asking.retrieval import ConceptRetriever, Retriever, WordRetriever, retrieve
from keymiss.asking.shown_text import Shown, read_shown
from keymiss.errors import KeymissError, TooSlow, Unavailable, outcome
from keymiss.graph.neighbourhood import Neighbourhood
from keymiss.keys import document_of_sentence
from keymiss.search.question import normalise_question
from keymiss.server.servers import Servers

MOST_ANSWERS = 5
"""How many answers a question gets, at most."""

DEADLINE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CorpusAnswer:
    """An answer and the place that it comes from.

    `sentence_text[start:end] == text`; `sentence` is the name `DOC:{TAG}:N`. `score` is the
    reader's margin in logits: how much more likely the span is than no answer. `probability` is how
    often an answer like this one is right, by the score and by how it was found.
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
    """The likeliest answers, best first, and the concepts that the question names.

    `answered` says whether the first one is likely enough; otherwise the corpus has no answer, and
    these are the best of what was read. `complete` is false when part of the corpus did not answer.
    """

    answers: tuple[CorpusAnswer, ...]
    answered: bool
    complete: bool
    concepts: Neighbourhood


async def ask(
    servers: Servers,
    text: str,
    by_concepts: bool = False,
    effort: Effort = Effort.NORMAL,
    read_ms: float = READ_MS,
) -> CorpusAnswers:
    """Answers a question from the parts of the corpus that can be reached in time.

    Args:
        by_concepts: whether sentences that name the question's concepts are candidates as well.
        effort: how much is read.
        read_ms: the budget for reading, in milliseconds of a reader beside the data.

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
    retrievers: list[Retriever] = [WordRetriever(servers)]
    if by_concepts:
        retrievers.append(ConceptRetriever(linking))
    try:
        with stage("all"):
            answers, least, complete = await _ask(servers, text, retrievers, effort, read_ms)
        answered = bool(answers) and answers[0].probability >= least
        count_question("answered" if answered else "unanswered", complete)
        return CorpusAnswers(tuple(answers), answered, complete, await linking)
    except KeymissError as error:
        count_question(outcome(error))
        raise
    finally:
        linking.cancel()


async def _ask(
    servers: Servers,
    text: str,
    retrievers: Sequence[Retriever],
    effort: Effort,
    read_ms: float,
) -> tuple[list[CorpusAnswer], float, bool]:
    """The answers, how probable the first must be to count, and whether all parts of the corpus
    have answered."""
    question = normalise_question(text)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            with stage("find"):
                found = await retrieve(retrievers, question)
            count = candidates_read(effort, found.passage_ms, read_ms, found.settled)
            passages = cut_passages(found.ranked[:count])
            with stage("read"):
                read = await read_passages(servers, question, passages)
            with stage("show"):
                model = choosing_model(found_by(read.found))
                chosen = choose(read.found, MOST_ANSWERS, model)
                answers, shown = await _with_texts(servers, chosen)
            return answers, model.least, found.complete and read.complete and shown
    except (TimeoutError, ValkeyTimeout):
        raise TooSlow(f"no answer within {DEADLINE_SECONDS:.0f} s") from None
    except (ValkeyError, OSError) as error:
        raise Unavailable(f"the server cannot be reached: {error}") from error


async def _with_texts(
    servers: Servers, chosen: Sequence[ChosenSpan]
) -> tuple[list[CorpusAnswer], bool]:
    """The answers with their sentences and titles, and whether all of these could be read: a node
    may have died after its sentences were read."""
    places = [(document_of_sentence(one.sentence), one.span.sentence) for one in chosen]
    read = await read_shown(servers, places)
    answers = []
    for one, shown in zip(chosen, read, strict=True):
        span = one.span
        # The sentence may have been deleted or rewritten after it was read.
        if not isinstance(shown, Shown) or shown.text[span.start : span.end] != span.text:
            continue
        answers.append(
            CorpusAnswer(
                text=span.text,
                start=span.start,
                end=span.end,
                score=span.margin,
                probability=round(one.probability, 4),
                sentence=one.sentence,
                sentence_text=shown.text,
                title=shown.title,
            )
        )
    return answers, not any(isinstance(shown, Exception) for shown in read)
