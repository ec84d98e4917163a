"""The keys that functions compute: `qa`, `bertqa`, `find`, `links` and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keymiss.errors import BadInput
from keymiss.keys.document_keys import PART, DocumentKeys
from keymiss.keys.key_escaping import MAX_DOCUMENT_BYTES, encode, escape_name, unescape
from keymiss.keys.key_prefixes import (
    BERTQA,
    EDGE,
    FIND,
    FIND_HERE,
    LINKS,
    MODELINFO,
    OURS,
    PASSAGE,
    QA,
    STATISTICS,
)

_NUMBER = "(?:0|[1-9][0-9]{0,8})"
ANSWER_PATTERN = re.compile(
    rf"(?:{OURS}qa|bertqa|(?P<passage>{OURS}passage))\{{(?P<tag>{PART})\}}"
    rf"_(?P<document>{PART}):\{{(?P=tag)\}}:(?P<sentence>{_NUMBER})"
    rf"(?(passage):(?P<last>{_NUMBER}))_(?P<question>.*)",
    re.DOTALL,
)
_OF_SHARD = re.compile(
    rf"{OURS}(?:find|findhere|links|edge)\{{(?P<tag>{PART})\}}_(?P<asked>.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """A parsed `keymiss:qa`, `bertqa` or `keymiss:passage` key.

    `last` is the last sentence of a passage, whose first one is `sentence`; None for other keys.
    """

    keys: DocumentKeys
    sentence: int
    question: str
    last: int | None = None


def qa_key(sentence: str, question: str) -> str:
    """`keymiss:qa{TAG}_DOC:{TAG}:N_QUESTION`; `sentence` is the name `DOC:{TAG}:N`."""
    return _answer_key(QA, sentence, question)


def bertqa_key(sentence: str, question: str) -> str:
    """`bertqa{TAG}_DOC:{TAG}:N_QUESTION`, the article's own key."""
    return _answer_key(BERTQA, sentence, question)


def passage_key(first: str, last: int, question: str) -> str:
    """`keymiss:passage{TAG}_DOC:{TAG}:FIRST:LAST_QUESTION`; `first` is the name of the first
    sentence, `DOC:{TAG}:FIRST`."""
    return _answer_key(PASSAGE, f"{first}:{last}", question)


def _answer_key(prefix: str, sentence: str, question: str) -> str:
    tag = sentence[sentence.index("{") + 1 : sentence.index("}")]
    return f"{prefix}{tag}}}_{sentence}_{question}"


def parse_answer_key(key: str) -> AnswerKey:
    """Parses a `keymiss:qa`, `bertqa` or `keymiss:passage` key.

    Raises:
        BadInput: the key does not have the form.
    """
    match = ANSWER_PATTERN.fullmatch(key)
    if not match:
        raise BadInput(
            "the key is not of the form bertqa{TAG}_DOC:{TAG}:N_QUESTION with two equal tags, or "
            "keymiss:passage{TAG}_DOC:{TAG}:FIRST:LAST_QUESTION"
        )
    keys = DocumentKeys(match["document"], match["tag"])
    if len(encode(keys.document)) > MAX_DOCUMENT_BYTES:
        raise BadInput(f"a document's id has at most {MAX_DOCUMENT_BYTES} bytes")
    last = None if match["last"] is None else int(match["last"])
    return AnswerKey(keys, int(match["sentence"]), match["question"], last)


def statistics_key(model: str) -> str:
    """`keymiss:statistics:{NAME}`, a hash: what readers of this name have done, for each shard."""
    return f"{STATISTICS}{{{escape_name(model)}}}"


def modelinfo_key(model: str) -> str:
    """`keymiss:modelinfo{NAME}`, in the same slot: these statistics, computed when asked for."""
    return f"{MODELINFO}{escape_name(model)}}}"


def parse_modelinfo_key(key: str) -> str:
    """The model's name in a `modelinfo` key.

    Raises:
        BadInput: the key does not have the form.
    """
    name = unescape(key.removeprefix(MODELINFO).removesuffix("}"))
    if modelinfo_key(name) != key:
        raise BadInput("the key is not of the form keymiss:modelinfo{NAME}")
    return name


def find_key(tag: str, question: str) -> str:
    """`keymiss:find{TAG}_QUESTION`: the candidates of the shard that owns the tag's slot."""
    return f"{FIND}{tag}}}_{question}"


def find_here_key(tag: str, question: str) -> str:
    """`keymiss:findhere{TAG}_QUESTION`: the candidates of all shards on the tag's host."""
    return f"{FIND_HERE}{tag}}}_{question}"


def links_key(tag: str, question: str) -> str:
    """`keymiss:links{TAG}_QUESTION`: the question's concepts and their edges on the shard."""
    return f"{LINKS}{tag}}}_{question}"


def edge_key(tag: str, source: str, target: str) -> str:
    """`keymiss:edge{TAG}_SRC:DST`: the sentences of an edge on the tag's shard."""
    return f"{EDGE}{tag}}}_{source}:{target}"


def parse_shard_key(key: str) -> str:
    """What a `find`, `links` or `edge` key asks a shard: a question, or SRC:DST.

    Raises:
        BadInput: the key does not have the form.
    """
    match = _OF_SHARD.fullmatch(key)
    if not match:
        name = key.partition("{")[0]
        asked = "SRC:DST" if name == EDGE[:-1] else "QUESTION"
        raise BadInput(f"the key is not of the form {name}{{TAG}}_{asked}")
    return match["asked"]
