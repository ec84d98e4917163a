"""Reads documents from files: CORD-19 JSON, JSON lines, Markdown, plain text.

A file may hold many documents, and some of them may be broken. A reader yields an error in the
place of a broken document, and goes on.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from keymiss.corpus.document import Document, Paragraph
from keymiss.errors import BadInput, TooLarge
from keymiss.keys import SOURCE, SOURCE_KEY, TITLE, YEAR

MAX_FILE_BYTES = 64 << 20
MAX_LINE_BYTES = 2 * MAX_FILE_BYTES
"""How many bytes a line of a JSON lines file may have; the file itself may have any size. The line
that `corpus export` writes for the largest file fits, unless the text is full of control
characters."""

Read = Document | BadInput
Source = tuple[str, Iterable[Read]]
"""The name of the file or key that documents come from, and what is read there."""


def read_files(paths: Iterable[Path]) -> Iterator[Source]:
    """The documents of these files and folders."""
    for path, default_id in find_files(paths):
        yield str(path), read_file(path, default_id)


def find_files(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """The files to ingest, each once, with the id of its document if the content names no id.

    Folders are searched for all known endings. The id of a file that is found there is its path
    below the folder.
    """
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            files = [
                (file, file.relative_to(path).with_suffix("").as_posix())
                for file in sorted(path.rglob("*"))
                if file.suffix.lower() in READERS and file.is_file()
            ]
        else:
            files = [(path, path.stem)]
        for file, default_id in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, default_id


def read_file(path: Path, default_id: str) -> Iterator[Read]:
    """Yields the documents of a file, or the errors in their place."""
    if not path.exists():
        yield BadInput(f"{path}: there is no such file or folder")
        return
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        yield BadInput(f"{path}: the ending is not one of {', '.join(sorted(READERS))}")
        return
    try:
        yield from reader(path, default_id)
    except BadInput as error:
        yield type(error)(f"{path}: {error}")
    except (OSError, UnicodeDecodeError) as error:
        yield BadInput(f"{path}: cannot be read: {error}")


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise TooLarge(f"the file has {size} bytes; the limit is {MAX_FILE_BYTES}")
    # newline="" keeps the text as it stands in the file, carriage returns included.
    with path.open(encoding="utf-8-sig", newline="") as file:
        return file.read()


def _load_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f"a JSON object is needed, not {type(value).__name__}")
    return value


def _text(value: Any, name: str) -> str:
    """A field that must be text. JSON can hold lone surrogates, which UTF-8 cannot encode."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInput(f"the field {name!r} is {type(value).__name__}; text is needed")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"the field {name!r} holds half a surrogate pair") from None
    return value


def _label(value: Any, name: str) -> str:
    """A field that may be text or a number, such as an id or a year."""
    return str(value) if type(value) is int else _text(value, name)


def _document(
    id: str, title: str, paragraphs: Sequence[Paragraph], year: str, source: str, key: str = ""
) -> Document:
    kept = tuple(each for each in paragraphs if (each.strip() if isinstance(each, str) else each))
    if not kept:
        raise BadInput(f"the document {id!r} has no text")
    return Document(id, title.strip() or id, kept, year, source, key)


_BLANK_LINES = re.compile(r"(?:\r?\n[ \t]*){2,}")


def _split_paragraphs(text: str) -> list[str]:
    return _BLANK_LINES.split(text)


# ---- CORD-19 JSON ----


def _read_cord19(path: Path, default_id: str) -> Iterator[Read]:
    """Reads CORD-19 JSON: paper_id, metadata.title, abstract and body_text as lists of {text}."""
    article = _load_object(_read_text(path))
    metadata = article.get("metadata", {})
    if not isinstance(metadata, dict):
        raise BadInput("the field 'metadata' is not an object")
    paragraphs = [
        *_section(article, "abstract", required=False),
        *_section(article, "body_text", required=True),
    ]
    id = _label(article.get("paper_id"), "paper_id") or default_id
    title = _text(metadata.get(TITLE), TITLE)
    yield _document(id, title, paragraphs, _label(metadata.get(YEAR), YEAR), "")


def _section(article: dict[str, Any], name: str, required: bool) -> list[str]:
    section = article.get(name)
    if section is None and not required:
        return []
    if not isinstance(section, list) or not all(isinstance(part, dict) for part in section):
        raise BadInput(f"the field {name!r} is not a list of objects; is this CORD-19 JSON?")
    return [_text(part.get("text"), f"{name}.text") for part in section]


# ---- JSON lines ----


def _read_jsonl(path: Path, default_id: str) -> Iterator[Read]:
    """Reads one object from each line: id, title, text, and year and source if there are any.

    In place of the text there may be paragraphs, which are lists of sentences, as `corpus export`
    writes them.
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            try:
                if len(line) > MAX_LINE_BYTES:
                    _skip_line(file.readline)
                    raise TooLarge(f"has more than {MAX_LINE_BYTES} bytes")
                if line.strip():
                    yield _jsonl_document(line, f"{default_id}-{number}")
            except BadInput as error:
                yield type(error)(f"{path}: line {number}: {error}")


def _skip_line(readline: Callable[[int], bytes]) -> None:
    while (part := readline(1 << 20)) and not part.endswith(b"\n"):
        pass


def _jsonl_document(line: bytes, default_id: str) -> Document:
    try:
        record = _load_object(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8: {error}") from None
    id = _label(record.get("id"), "id") or default_id
    if "paragraphs" in record:
        return _cut_document(record, id)
    return record_document(record, id, "text")


def _cut_document(record: dict[str, Any], id: str) -> Document:
    """The document of a record whose paragraphs are already lists of sentences."""
    paragraphs = record["paragraphs"]
    if not isinstance(paragraphs, list) or not all(isinstance(each, list) for each in paragraphs):
        raise BadInput("the field 'paragraphs' is not a list of lists of sentences")
    cut = [tuple(_text(one, "paragraphs") for one in each) for each in paragraphs]
    if not all(one.strip() for each in cut for one in each):
        raise BadInput("the field 'paragraphs' holds a sentence without text")
    title, source, key = (_text(record.get(name), name) for name in (TITLE, SOURCE, SOURCE_KEY))
    return _document(id, title, cut, _label(record.get(YEAR), YEAR), source, key)


def record_document(record: dict[str, Any], id: str, text_field: str) -> Document:
    """The document of a record that has a text, and may have a title, year and source.

    Raises:
        BadInput: a field is not text, or there is no text.
    """
    title, text, source = (_text(record.get(name), name) for name in (TITLE, text_field, SOURCE))
    year = _label(record.get(YEAR), YEAR)
    return _document(id, title, _split_paragraphs(text), year, source)


# ---- Markdown and plain text ----


def _read_markdown(path: Path, default_id: str) -> Iterator[Read]:
    """Reads CommonMark with front matter (title, year, source) as the text that a page shows."""
    parser = MarkdownIt("commonmark").enable("table").use(front_matter_plugin)
    tokens = parser.parse(_read_text(path))
    fields = _front_matter(tokens)
    heading, paragraphs = _markdown_text(tokens)
    title = _text(fields.get(TITLE), TITLE) or heading
    year, source = _text(fields.get(YEAR), YEAR), _text(fields.get(SOURCE), SOURCE)
    yield _document(default_id, title, paragraphs, year, source)


class _TextLoader(yaml.SafeLoader):
    """Reads scalars as text: a title may look like a number, or like a date that is impossible."""


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _front_matter(tokens: list[Token]) -> dict[str, Any]:
    if not tokens or tokens[0].type != "front_matter":
        return {}
    try:
        fields = yaml.load(tokens[0].content, _TextLoader) or {}  # noqa: S506 - it is safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"the front matter is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(fields, dict):
        raise BadInput("the front matter has no fields; write `title: ...`, or nothing")
    return fields


def _markdown_text(tokens: list[Token]) -> tuple[str, list[str]]:
    """The first heading, and the text of all paragraphs, list items and table cells."""
    title = ""
    paragraphs = []
    for before, token in itertools.pairwise(tokens):
        if token.type != "inline":
            continue
        text = "".join(_inline_text(child) for child in token.children or [])
        if before.type != "heading_open":
            paragraphs.append(text)
        elif not title:
            title = text
    return title, paragraphs


def _inline_text(token: Token) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type in ("text", "code_inline", "image") else ""


def _read_plain(path: Path, default_id: str) -> Iterator[Read]:
    yield plain_document(_read_text(path), default_id)


def plain_document(text: str, id: str) -> Document:
    """The document of a plain text: blank lines separate paragraphs; the first line is the title.

    Raises:
        BadInput: there is no text.
    """
    title = text.strip().split("\n", 1)[0].strip()[:200]
    return _document(id, title, _split_paragraphs(text), "", "")


READERS: dict[str, Callable[[Path, str], Iterator[Read]]] = {
    ".json": _read_cord19,
    ".jsonl": _read_jsonl,
    ".md": _read_markdown,
    ".txt": _read_plain,
}
