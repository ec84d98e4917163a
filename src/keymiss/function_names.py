"""The names by which the server knows the functions of the default worker (`application.py`)."""

from __future__ import annotations

from enum import StrEnum


class FunctionName(StrEnum):
    """A function of keymiss; docs/keys.md says which keys each one computes or follows."""

    INDEX = "index"
    FIND = "find"
    FIND_HERE = "findhere"
    QA = "qa"
    BERTQA = "bertqa"
    PASSAGE = "passage"
    TOKENS = "tokens"
    MODELINFO = "modelinfo"
    CONCEPTS = "concepts"
    GRAPH = "graph"
    LINKS = "links"
    EDGE = "edge"
    VECTORS = "vectors"
    VECTOR_INDEX = "vectorindex"


ASKED = (FunctionName.FIND, FunctionName.PASSAGE, FunctionName.QA, FunctionName.BERTQA)
"""The functions that must be served before a question can be asked."""

ALWAYS_SERVED = (FunctionName.INDEX, *ASKED)
"""The functions that every default worker serves; also `tokens`, if its tokenizer allows it."""
