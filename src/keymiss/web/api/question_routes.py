"""The route that answers questions: `/qasearch`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from keymiss.asking.answers import CorpusAnswers, ask
from keymiss.asking.effort import Effort
from keymiss.web.api.concept_routes import LinkBody, shown_links
from keymiss.web.problems import PROBLEM_RESPONSES
from keymiss.web.question_log import QUESTION_ID, QuestionLog

MOST_ANSWER_LINKS = 20
"""How many links of the question's concepts come with its answers, at most."""

router = APIRouter(responses=PROBLEM_RESPONSES)


class QuestionBody(BaseModel):
    """The body of a question."""

    search: str = Field(description="The question.", examples=["How does measles spread?"])
    effort: Effort = Field(Effort.NORMAL, description="How much is read for it.")


class AnswerBody(BaseModel):
    """An answer and its place in a sentence: `sentence[start:end] == answer`, in characters."""

    answer: str
    sentence: str
    sentencekey: str = Field(description="Document, tag and number of the sentence.")
    title: str
    score: float = Field(description="By how many logits the answer beats 'no answer'.")
    probability: float = Field(description="How often an answer like this one is right.")
    start: int
    end: int


class AnswersBody(BaseModel):
    """The likeliest answers, best first."""

    links: list[LinkBody] = Field(description="The strongest links of the question's concepts.")
    results: list[AnswerBody]
    answered: bool = Field(
        description="False when no result is likely enough: the corpus has no answer, and the "
        "results are the best of what was read."
    )
    complete: bool = Field(description="False when part of the corpus did not answer.")


@router.post("/qasearch")
async def qasearch(body: QuestionBody, request: Request, response: Response) -> AnswersBody:
    """Answers a question from the corpus."""
    state = request.app.state
    with QuestionLog() as log:
        request.state.question = response.headers[QUESTION_ID] = log.id
        async with state.turns:
            answers = await ask(
                state.servers, body.search, state.by_concepts, body.effort, state.read_ms
            )
        log.complete, log.results = answers.complete, len(answers.answers)
        unwanted = state.visitors.of(request).excluded
        links = answers.concepts.links(excluded=unwanted)[:MOST_ANSWER_LINKS]
        return _shown(answers, shown_links(links))


def _shown(answers: CorpusAnswers, links: list[LinkBody]) -> AnswersBody:
    return AnswersBody(
        links=links,
        results=[
            AnswerBody(
                answer=answer.text,
                sentence=answer.sentence_text,
                sentencekey=answer.sentence,
                title=answer.title,
                score=answer.score,
                probability=answer.probability,
                start=answer.start,
                end=answer.end,
            )
            for answer in answers.answers
        ],
        answered=answers.answered,
        complete=answers.complete,
    )
