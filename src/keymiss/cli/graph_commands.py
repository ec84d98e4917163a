"""Commands for the concept graph: load its vocabulary, and export the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from keymiss.cli.terminal import DEFAULT_URL, UrlOption, app, connect, err, number_of, out
from keymiss.errors import SetupError
from keymiss.graph.concept_matcher import Matcher
from keymiss.graph.graph_export import collect_graph, write_csv, write_graphml, write_to_falkordb
from keymiss.graph.vocabulary_files import load_vocabulary
from keymiss.graph.vocabulary_store import store_vocabulary

vocabulary_app = typer.Typer(help="The concepts that are looked for in sentences.")
graph_app = typer.Typer(help="The graph of concepts that sentences name together.")
app.add_typer(vocabulary_app, name="vocabulary")
app.add_typer(graph_app, name="graph")


@vocabulary_app.command("load")
def vocabulary_load(
    file: Annotated[Path, typer.Argument(help="A .tsv, a .jsonl, or UMLS's MRCONSO.RRF.")],
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Replace the vocabulary; workers then match all sentences again."""
    loaded = load_vocabulary(file)
    for problem in loaded.problems:
        err.print(Text(f"left out: {problem}", style="yellow"), soft_wrap=True)
    with connect(url) as client:
        store_vocabulary(client, loaded.vocabulary)
    terms = Matcher(loaded.vocabulary).terms
    out.print(
        f"{number_of(len(loaded.vocabulary.concepts), 'concept')} with "
        f"{number_of(terms, 'term')}; {len(loaded.problems)} left out",
        highlight=False,
    )


@graph_app.command("export")
def graph_export(
    file: Annotated[
        Path | None, typer.Argument(help="A .graphml file, or a folder for two .csv files.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="A FalkorDB server to write to, redis://host:port.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Write the graph to a file, a folder or a graph database."""
    if (file is None) == (to is None):
        raise SetupError("say where to write: a .graphml file, a folder for .csv, or --to URL")
    with connect(url) as client:
        graph = collect_graph(client)
    if to is not None:
        write_to_falkordb(graph, to)
    elif file is not None and file.suffix == ".graphml":
        write_graphml(graph, file)
    elif file is not None:
        write_csv(graph, file)
    out.print(
        f"{number_of(len(graph.nodes), 'concept')} and {number_of(len(graph.links), 'edge')}",
        highlight=False,
    )
