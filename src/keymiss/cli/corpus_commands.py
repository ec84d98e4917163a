"""Commands for the stored documents: ingest, forget, corpus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from keymiss.cli.terminal import (
    DEFAULT_URL,
    EXIT_FAILED,
    AsJsonOption,
    UrlOption,
    app,
    connect,
    err,
    number_of,
    out,
    serve_functions,
)
from keymiss.corpus.corpus_export import export_corpus
from keymiss.corpus.corpus_key import check_corpus
from keymiss.corpus.corpus_status import read_status
from keymiss.corpus.document_writes import forget_documents
from keymiss.corpus.file_formats import Source, find_files, read_files
from keymiss.corpus.followed_keys import follow_function
from keymiss.corpus.ingest import Accept, Report, ingest_sources
from keymiss.corpus.key_documents import KeyPattern, parse_keys, scan_keys
from keymiss.corpus.language import in_language
from keymiss.corpus.verify import Damage, repair, verify
from keymiss.keys import document_keys

corpus_app = typer.Typer(help="Look after the stored documents.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")


@app.command("ingest")
def ingest_command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Files or folders: CORD-19 .json, .jsonl, .md, .txt."),
    ] = None,
    keys: Annotated[
        str | None, typer.Option(help="Read keys of the server, like 'doc:*', instead of files.")
    ] = None,
    field: Annotated[
        str,
        typer.Option(
            help="Read the text from this field of hashes; without it, the keys are strings."
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", help="Keep the documents of --keys current until Ctrl-C.")
    ] = False,
    language: Annotated[
        str | None, typer.Option(help="Leave out documents in other languages; English is en.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    as_json: AsJsonOption = False,
) -> None:
    """Store documents; those that cannot be read are reported and left out.

    A document that is already stored and has not changed is left alone, so ingest can be repeated.
    """
    if bool(paths) == bool(keys):
        raise typer.BadParameter("give files or folders, or --keys")
    if (field or follow) and not keys:
        raise typer.BadParameter("--field and --follow need --keys")
    accept = in_language(language) if language else lambda document: True
    chosen = parse_keys(keys, field) if keys else None
    if chosen and follow:
        _follow(url, chosen, accept, as_json)
        return
    total = sum(1 for _ in find_files(paths)) if paths else None
    with connect(url) as client, _progress() as progress:
        task = progress.add_task("ingest", total=total)

        def sources() -> Iterable[Source]:
            return scan_keys(client, chosen) if chosen else read_files(paths or [])

        report = ingest_sources(client, sources, lambda source: progress.advance(task), accept)
    _print_report(report, as_json)
    if report.problems:
        raise typer.Exit(EXIT_FAILED)


def _follow(url: str, keys: KeyPattern, accept: Accept, as_json: bool) -> None:
    """Follows keys, and prints a report for every batch that has changed something."""

    def print_changes(report: Report) -> None:
        if report.stored or report.renamed or report.forgotten or report.problems:
            _print_report(report, as_json)

    def say_ready() -> None:
        err.print(f"following {keys.prefix}*; Ctrl-C ends", highlight=False)

    with connect(url) as client:
        function = follow_function(client, keys, accept, print_changes)
        asyncio.run(serve_functions([function], url, say_ready))


@app.command()
def forget(
    documents: Annotated[list[str], typer.Argument(help="The ids of the documents.")],
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Delete documents, and the answers that were computed from them."""
    with connect(url) as client:
        check_corpus(client)
        found = forget_documents(client, [document_keys(document) for document in documents])
    for document, there in zip(documents, found, strict=True):
        if not there:
            err.print(Text(f"there is no document {document!r}", style="yellow"), soft_wrap=True)
    out.print(f"{number_of(sum(found), 'document')} forgotten", highlight=False)
    if not all(found):
        raise typer.Exit(EXIT_FAILED)


@corpus_app.command("status")
def corpus_status(url: UrlOption = DEFAULT_URL, as_json: AsJsonOption = False) -> None:
    """Show what the corpus holds, and how many documents have been tokenised."""
    with connect(url) as client:
        status = asdict(read_status(client))
    if as_json:
        print(json.dumps(status))
        return
    for name, value in status.items():
        out.print(f"{name.replace('_', ' '):>18}  {value}", highlight=False)


@corpus_app.command("verify")
def corpus_verify(url: UrlOption = DEFAULT_URL, as_json: AsJsonOption = False) -> None:
    """Check texts, tokens and answers key by key; exit 1 when something is damaged."""
    with connect(url) as client:
        damages = verify(client)
    if as_json:
        print(json.dumps([asdict(damage) for damage in damages]))
    else:
        _print_damages(damages)
    if damages:
        raise typer.Exit(EXIT_FAILED)


@corpus_app.command("repair")
def corpus_repair(url: UrlOption = DEFAULT_URL) -> None:
    """Mend the damage that `corpus verify` finds; documents that are not whole are forgotten."""
    with connect(url) as client:
        damages = verify(client)
        _print_damages(damages)
        repair(client, damages)
    if damages:
        out.print(f"{len(damages)} mended", highlight=False)


@corpus_app.command("export")
def corpus_export(
    file: Annotated[Path, typer.Argument(help="A .jsonl file; an existing file is replaced.")],
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Write all documents as JSON lines, which `ingest` stores on another server as they are."""
    with connect(url) as client:
        exported = export_corpus(client, file)
    for problem in exported.problems:
        err.print(Text(f"left out: {problem}", style="yellow"), soft_wrap=True)
    documents, sentences = exported.documents, exported.sentences
    out.print(
        f"{number_of(documents, 'document')} with {number_of(sentences, 'sentence')} written, "
        f"{len(exported.problems)} left out",
        highlight=False,
    )
    if exported.problems:
        raise typer.Exit(EXIT_FAILED)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=err, transient=True)


def _print_report(report: Report, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(report)), flush=True)
        return
    for problem in report.problems:
        err.print(Text(f"left out: {problem}", style="yellow"), soft_wrap=True)
    out.print(_summary(report), highlight=False, soft_wrap=True)


def _summary(report: Report) -> str:
    rate = report.sentences / report.seconds if report.seconds else 0
    counts = [
        f"{number_of(report.stored, 'document')} stored with "
        f"{number_of(report.sentences, 'sentence')} ({rate:,.0f} a second)",
        f"{report.unchanged} unchanged",
        f"{len(report.problems)} left out",
    ]
    if report.renamed:
        counts.append(f"{report.renamed} with a new title, year or source")
    if report.not_accepted:
        counts.append(f"{report.not_accepted} in other languages")
    if report.forgotten:
        counts.append(f"{report.forgotten} forgotten")
    return ", ".join(counts)


def _print_damages(damages: list[Damage]) -> None:
    for damage in damages:
        out.print(Text(f"{damage.key} {damage.wrong}", style="yellow"), soft_wrap=True)
    if not damages:
        out.print("nothing is damaged")
