"""The web application: `POST /qasearch`, health, OpenAPI; the graph's routes are in `graph.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field
from valkey.exceptions import ValkeyError

from keymiss.application import NAMES
from keymiss.asking.answers import READ, Answers, ask
from keymiss.asking.concept_links import neighbourhood_if_any
from keymiss.errors import Unavailable
from keymiss.operating.served_functions import missing_functions
from keymiss.server.servers import Servers
from keymiss.web.api.concept_routes import Link, router, shown
from keymiss.web.limits import BodyLimit, HostNames, OneCookie, Turns
from keymiss.web.problems import PROBLEM_RESPONSES, install_problems
from keymiss.web.question_log import HEADER, QuestionLog
from keymiss.web.visitors import COOKIE, Visitors

QUESTIONS = 20
"""Answered at the same time."""

QUEUE_SECONDS = 5
"""How long a further question waits for its turn before it is refused."""

LINKS = 20
"""Of a question, at most."""

CONNECTIONS = QUESTIONS * READ + 10
"""Each question reads its sentences over as many connections."""


class Search(BaseModel):
    """The body of a question."""

    search: str = Field(description="The question.", examples=["How does measles spread?"])


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

    links: list[Link] = Field(description="The strongest links of the question's concepts.")
    results: list[Result]
    complete: bool = Field(description="False when part of the corpus did not answer.")


class Health(BaseModel):
    """What is up."""

    status: str


def create_app(
    url: str,
    secret: str,
    origins: Sequence[str] = (),
    by_concepts: bool = False,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """The web application for the Valkey server, or the cluster, at this URL.

    Args:
        secret: signs the visitors' cookies.
        origins: web sites whose pages may read what we answer; "*" stands for all, which are then
            sent no cookie.
        by_concepts: whether sentences that name a question's concepts are candidates, too.
        hosts: names by which we may be asked; any when there are none.
    """

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
        redirect_slashes=False,  # to where the request's own headers say
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(OneCookie, name=COOKIE)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Content-Type"],
            allow_credentials="*" not in origins,
        )
    if hosts:
        app.add_middleware(HostNames, names=hosts)
    install_problems(app)
    app.include_router(router)
    app.state.turns = Turns(QUESTIONS, QUEUE_SECONDS)
    app.state.visitors = Visitors(secret)

    @app.post("/qasearch", responses=PROBLEM_RESPONSES)
    async def qasearch(body: Search, request: Request, response: Response) -> SearchResults:
        """Answers a question from the corpus."""
        state = request.app.state
        with QuestionLog() as log:
            request.state.question = response.headers[HEADER] = log.id
            async with state.turns:
                linking = asyncio.create_task(neighbourhood_if_any(state.servers, body.search))
                try:
                    concepts = linking if by_concepts else None
                    answers = await ask(state.servers, body.search, concepts)
                    unwanted = state.visitors.of(request).excluded
                    links = (await linking)[0].links(excluded=unwanted)[:LINKS]
                finally:
                    linking.cancel()
            log.complete, log.results = answers.complete, len(answers.answers)
            return _results(answers, shown(links))

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

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """What this process has measured, for Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def _results(answers: Answers, links: list[Link]) -> SearchResults:
    return SearchResults(
        links=links,
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
