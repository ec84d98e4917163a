"""The web application: its routers, in one list, and the middleware in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from keymiss.asking.effort import MOST_READ, READ_MS
from keymiss.server.servers import Servers
from keymiss.web.api import concept_routes, health_routes, question_routes
from keymiss.web.problems import install_problems
from keymiss.web.request_limits import BodyLimit, HostNames, OneCookie, Turns
from keymiss.web.visitors import COOKIE, Visitors

ROUTERS = (question_routes.router, concept_routes.router, health_routes.router)
"""The routers of all routes. A page for people is a router of a module in `web/pages`."""

QUESTIONS_AT_ONCE = 20
"""How many questions are answered at the same time."""

TURN_SECONDS = 5
"""How long a further question waits for its turn before it is refused."""

CONNECTIONS = QUESTIONS_AT_ONCE * MOST_READ + 10
"""How many connections each node gets, at most: a question uses one for each passage it reads."""


def create_app(
    url: str,
    secret: str,
    origins: Sequence[str] = (),
    by_concepts: bool = False,
    hosts: Sequence[str] = (),
    read_ms: float = READ_MS,
) -> FastAPI:
    """The web application for the Valkey server, or the cluster, at this URL.

    Args:
        secret: signs the visitors' cookies.
        origins: web sites whose pages may read the answers; "*" stands for all sites, which then
            get no cookie.
        by_concepts: whether sentences that name a question's concepts are candidates, too.
        read_ms: the budget for reading, in milliseconds of a reader (`asking/effort.py`).
        hosts: the host names that requests may ask for; any name when the list is empty.
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
        redirect_slashes=False,  # it would redirect to the host in the request's headers
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
    for router in ROUTERS:
        app.include_router(router)
    app.state.by_concepts = by_concepts
    app.state.read_ms = read_ms
    app.state.turns = Turns(QUESTIONS_AT_ONCE, TURN_SECONDS)
    app.state.visitors = Visitors(secret)
    return app
