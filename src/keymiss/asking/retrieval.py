"""Ways of finding the sentences that may answer a question, and one ranking of what they find."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keymiss.asking.candidate_search import Retrieved, find
from keymiss.graph.neighbourhood import Neighbourhood
from keymiss.search.ranking import Ranked, join
from keymiss.server.servers import Servers

CONCEPTS_WEIGHT = 0.5
"""The weight of the ranking by concepts, beside 1 for that by words: docs/decisions/0014."""


class Retriever(Protocol):
    """A way of finding."""

    @property
    def weight(self) -> float:
        """How much its ranking counts beside the others."""

    async def retrieve(self, question: str) -> Retrieved:
        """The sentences for a normalised question.

        Raises:
            KeymissError, ValkeyError, OSError: nothing can be searched.
        """


@dataclass(frozen=True, slots=True)
class WordRetriever:
    """Finds sentences by their words."""

    servers: Servers
    weight: float = 1.0

    async def retrieve(self, question: str) -> Retrieved:
        """See `Retriever`."""
        return await find(self.servers, question)


@dataclass(frozen=True, slots=True)
class ConceptRetriever:
    """Finds sentences that name the question's concepts, which are being looked up."""

    linking: Awaitable[Neighbourhood]
    weight: float = CONCEPTS_WEIGHT

    async def retrieve(self, question: str) -> Retrieved:
        """See `Retriever`."""
        found = await self.linking
        ranked = [Ranked(name, rarity) for name, rarity in found.ranked_sentences()]
        return Retrieved(ranked, found.complete)


async def retrieve(retrievers: Sequence[Retriever], question: str) -> Retrieved:
    """One ranking of what all of them find. The scores are those of the first.

    Raises what `Retriever.retrieve` raises.
    """
    found = await asyncio.gather(*(each.retrieve(question) for each in retrievers))
    weighed = [(one.weight, each.ranked) for one, each in zip(retrievers, found, strict=True)]
    return Retrieved(
        join(weighed),
        all(each.complete for each in found),
        all(each.settled for each in found),
        max(each.passage_ms for each in found),
    )
