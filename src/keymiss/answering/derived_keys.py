"""What functions that derive keys from documents have in common: keys that name a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keymiss.functions import Shard
from keymiss.keys import DocumentKeys, encode, parse_document_key

ParseKey = Callable[[str], tuple[str, DocumentKeys] | None]
"""Gives the model's fingerprint and the document of a derived key, None for other keys."""


def documents_of(keys: Sequence[str], parse: ParseKey) -> list[DocumentKeys]:
    """The documents of these keys, each once: keys of documents or derived ones."""
    parsed = [(parse(key), key) for key in keys]
    found = (derived[1] if derived else parse_document_key(key) for derived, key in parsed)
    return list(dict.fromkeys(document for document in found if document))


async def delete_of_others(
    shard: Shard, keys: Sequence[str], parse: ParseKey, fingerprint: str, type: bytes
) -> None:
    """Deletes those of these keys that another model has made. A key of another type than such keys
    have belongs to another program."""
    of_others = [encode(key) for key in keys if (parsed := parse(key)) and parsed[0] != fingerprint]
    types = await shard.read([("TYPE", key) for key in of_others])
    pairs = zip(of_others, types, strict=True)
    await shard.read([("UNLINK", key) for key, found in pairs if found == type])
