"""The routes of the concept graph: `/search`, `/edge` and `/exclude`."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from keymiss.asking.concept_links import edge_sentences, neighbourhood
from keymiss.errors import BadInput
from keymiss.graph.neighbourhood import Link
from keymiss.web.problems import PROBLEM_RESPONSES

MOST_LINKS = 400
MOST_EDGE_SENTENCES = 100

_EDGE = re.compile(r"(?P<source>[^:{}\s]+):(?P<target>[^:{}\s]+)")

router = APIRouter(responses=PROBLEM_RESPONSES)


class NodeBody(BaseModel):
    """A concept. Its `rank` is the sum of the ranks of its links."""

    id: str
    name: str
    type: str
    rank: int


class LinkBody(BaseModel):
    """An edge of the concept graph: `rank` sentences name both concepts. The year of the earliest
    is `created_at`."""

    source: str
    target: str
    rank: int
    created_at: int | None


class ConceptSearchBody(BaseModel):
    """The body of a search for concepts."""

    search: str = Field(description="A text that names concepts.", examples=["measles vaccine"])
    years: list[int] = Field([], max_length=200, description="Count sentences of these years only.")
    limit: int = Field(200, ge=1, le=MOST_LINKS, description="How many links to return, at most.")


class ConceptsBody(BaseModel):
    """The concepts of a text, their strongest links, and the concepts that these lead to."""

    nodes: list[NodeBody]
    links: list[LinkBody]
    years: list[int] = Field(description="All years of the links' sentences, asked for or not.")
    complete: bool = Field(description="False when part of the corpus did not answer.")


class EdgeSentenceBody(BaseModel):
    """A sentence that names both concepts."""

    title: str
    sentence: str
    sentencekey: str


class EdgeBody(BaseModel):
    """The sentences of an edge, best first, one from each article."""

    results: list[EdgeSentenceBody]
    years: list[int]
    complete: bool


class ExclusionBody(BaseModel):
    """A concept that the visitor does not want to see."""

    id: str


class ExcludedBody(BaseModel):
    """The concepts that the visitor has excluded."""

    excluded: list[str]


def shown_links(found: list[Link]) -> list[LinkBody]:
    """Links in the form that the routes return."""
    return [
        LinkBody(
            source=link.source, target=link.target, rank=link.rank, created_at=link.first or None
        )
        for link in found
    ]


@router.post("/search")
async def search(body: ConceptSearchBody, request: Request) -> ConceptsBody:
    """The concepts that a text names, and their links."""
    state = request.app.state
    async with state.turns:
        found = await neighbourhood(state.servers, body.search)
    unwanted = state.visitors.of(request).excluded
    kept = found.links(body.years, unwanted)[: body.limit]
    years = {year for link in kept for year in found.edges[link.source, link.target]}
    return ConceptsBody(
        nodes=[
            NodeBody(id=one.id, name=one.name, type=one.type, rank=one.rank)
            for one in found.nodes(kept, unwanted)
        ],
        links=shown_links(kept),
        years=sorted(years - {0}),
        complete=found.complete,
    )


@router.get("/search")
async def get_search(
    request: Request,
    search_for: Annotated[str, Query(alias="search")],
    years: Annotated[list[int], Query(max_length=200)] = [],  # noqa: B006
    limit: Annotated[int, Query(ge=1, le=MOST_LINKS)] = 200,
) -> ConceptsBody:
    """The same as POST, for a browser's address bar."""
    return await search(ConceptSearchBody(search=search_for, years=years, limit=limit), request)


@router.get("/edge/{name}")
async def edge(
    name: str, request: Request, limit: Annotated[int, Query(ge=1, le=MOST_EDGE_SENTENCES)] = 5
) -> EdgeBody:
    """The best sentences of an edge; `name` is `edges:SRC:DST`."""
    match = _EDGE.fullmatch(name.removeprefix("edges:"))
    if not match:
        raise BadInput(f"{name[:100]!r} is not an edge; write edges:SRC:DST")
    async with request.app.state.turns:
        found = await edge_sentences(
            request.app.state.servers, match["source"], match["target"], limit
        )
    return EdgeBody(
        results=[
            EdgeSentenceBody(title=one.title, sentence=one.text, sentencekey=one.sentence)
            for one in found.sentences
        ],
        years=[year for year in found.years if year],
        complete=found.complete,
    )


@router.post("/exclude")
async def post_exclude(body: ExclusionBody, request: Request, response: Response) -> ExcludedBody:
    """Leaves a concept and its links out of this visitor's later searches."""
    state = request.app.state
    visitor = state.visitors.of(request).exclude(body.id)
    state.visitors.remember(visitor, request, response)
    return ExcludedBody(excluded=list(visitor.excluded))


@router.delete("/exclude/{concept}")
async def delete_exclude(concept: str, request: Request, response: Response) -> ExcludedBody:
    """Lets a concept and its links into this visitor's later searches again."""
    state = request.app.state
    visitor = state.visitors.of(request).include(concept)
    state.visitors.remember(visitor, request, response)
    return ExcludedBody(excluded=list(visitor.excluded))
