"""The commands that a person types."""

from __future__ import annotations

import sys

import valkey
from rich.text import Text

from keymiss.cli import (
    ask_commands,
    bench_commands,
    cluster_commands,
    corpus_commands,
    demo_command,
    graph_commands,
    model_commands,
    serve_commands,
)
from keymiss.cli.terminal import EXIT_FAILED, app, err
from keymiss.errors import KeymissError, SetupError
from keymiss.local_stack import EXIT_SETUP

__all__ = [
    "app",
    "ask_commands",
    "bench_commands",
    "cluster_commands",
    "corpus_commands",
    "demo_command",
    "graph_commands",
    "main",
    "model_commands",
    "serve_commands",
]


def main() -> None:
    """Runs a command; an error that keymiss can explain is one line and a status, no traceback."""
    try:
        app(standalone_mode=True)
    except KeymissError as error:
        err.print(Text(f"keymiss: {error}"), soft_wrap=True)
        sys.exit(EXIT_SETUP if isinstance(error, SetupError) else EXIT_FAILED)
    except valkey.ValkeyError as error:
        err.print(Text(f"keymiss: the Valkey server cannot be used: {error}"), soft_wrap=True)
        sys.exit(EXIT_FAILED)
