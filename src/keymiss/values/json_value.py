"""The form of every JSON value: an object that names its format, so that others are recognised."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FORMAT_FIELD = "v"


def to_json_value(
    version: int, fields: Mapping[str, Any], *, compact: bool = False, ascii: bool = False
) -> str:
    """The JSON object of these fields, with the number of their format in front.

    Args:
        compact: whether to leave out the blanks between parts.
        ascii: whether to escape all characters that are not ASCII. Names of documents need that:
            they may hold bytes that are not UTF-8, as surrogates (PEP 383).
    """
    separators = (",", ":") if compact else None
    record = {FORMAT_FIELD: version, **fields}
    return json.dumps(record, ensure_ascii=ascii, separators=separators)


def from_json_value(version: int, value: bytes | str) -> dict[str, Any]:
    """The fields of a value that `to_json_value` made.

    Raises:
        ValueError: the value is not JSON, or is of another format.
    """
    return fields_of(version, json.loads(value))


def fields_of(version: int, record: object) -> dict[str, Any]:
    """The fields of a value that has been parsed already, for instance as part of a list.

    Raises:
        ValueError: the value is of another format.
    """
    if not isinstance(record, dict) or record.pop(FORMAT_FIELD, None) != version:
        raise ValueError(f"the value is not of format {version}: {str(record)[:80]}")
    return record
