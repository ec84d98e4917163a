"""The HTTP routes: `POST /qasearch`, health, OpenAPI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from valkey.exceptions import ValkeyError

from keymiss.answers.app import NAMES
from keymiss.answers.asking import READ, Answers, ask
from keymiss.answers.status import missing_functions
from keymiss.errors import Unavailable
from keymiss.server.routing import Servers
from keymiss.web.limits import BodyLimit
from keymiss.web.problems import PROBLEM_RESPONSES, install_problems

QUESTIONS = 20
"""Answered at the same time. Were all let in, under load none would be done before its deadline."""

QUEUE_SECONDS = 5
"""How long a further question waits for its turn before it is refused."""

CONNECTIONS = QUESTIONS * READ + 10
"""Each question reads its sentences over as many connections."""


class Search(BaseModel):
    """The body of a question."""

    search: str = Field(description="The question.", examples=["How does measles spread?"])


class Link(BaseModel):
    """An edge of the concept graph."""

    source: str
    target: str
    rank: int
    created_at: int


class Result(BaseModel):
    """An answer and where it stands: `sentence[start:end] == answer`, in characters."""

    answer: str
    sentence: str
    sentencekey: str = Field(description="Document, tag and number of the sentence.")
    title: str
    score: float = Field(description="Logits by which the answer beats 'no answer'.")
    probability: float = Field(description="How often an answer of this score is right.")
    start: int
    end: int


class SearchResults(BaseModel):
    """Ranked answers, best first; none when nothing in the corpus answers the question."""

    links: list[Link]
    results: list[Result]
    complete: bool = Field(description="False when part of the corpus did not answer.")


class Health(BaseModel):
    """What is up."""

    status: str


def create_app(url: str) -> FastAPI:
    """The web application for the Valkey server, or the cluster, at this URL."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Servers(url, CONNECTIONS) as servers:
            app.state.servers = servers
            yield

    app = FastAPI(
        title="keymiss",
        description="Answers questions from text that lives in Valkey.",
        version=version("keymiss"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit)
    install_problems(app)

    turns = asyncio.Semaphore(QUESTIONS)

    @app.post("/qasearch", responses=PROBLEM_RESPONSES)
    async def qasearch(body: Search, request: Request) -> SearchResults:
        """Answers a question from the corpus."""
        try:
            await asyncio.wait_for(turns.acquire(), QUEUE_SECONDS)
        except TimeoutError:
            raise Unavailable("too many questions wait for an answer; try again later") from None
        try:
            return _results(await ask(request.app.state.servers, body.search))
        finally:
            turns.release()

    @app.get("/health/live")
    async def live() -> Health:
        """Whether this process runs."""
        return Health(status="live")

    @app.get("/health/ready", responses=PROBLEM_RESPONSES)
    async def ready(request: Request) -> Health:
        """Whether a question can be answered: the server is there and workers serve it."""
        try:
            missing = await missing_functions(request.app.state.servers, NAMES)
        except (ValkeyError, OSError) as error:
            raise Unavailable(f"the server cannot be reached: {error}") from error
        if missing:
            raise Unavailable(f"no worker serves {', '.join(missing)}; start `keymiss worker`")
        return Health(status="ready")

    return app


def _results(answers: Answers) -> SearchResults:
    return SearchResults(
        links=[],
        results=[
            Result(
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
        complete=answers.complete,
    )
