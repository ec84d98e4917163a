"""Finds the functions that a user's module defines."""

from __future__ import annotations

import importlib
import sys

from keymiss.errors import SetupError
from keymiss.functions.function import Function


def load_app(name: str) -> list[Function]:
    """Imports `pkg.module`, also from the current directory, and returns its functions.

    Raises:
        SetupError: there is no such module, it fails to import, or it defines no function.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise SetupError(
            f"the app {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found = {id(value): value for value in vars(module).values() if isinstance(value, Function)}
    if not found:
        raise SetupError(f"the app {name!r} defines no function; decorate one with on_miss")
    return list(found.values())
