"""Loads the library keymiss_search and declares its functions."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int32, c_void_p
from functools import cache
from importlib import resources
from pathlib import Path

from keymiss.errors import SetupError


@cache
def search_library() -> ctypes.CDLL:
    """The library. Its functions release Python's lock while they run.

    Raises:
        SetupError: the library is missing.
    """
    path = Path(str(resources.files("keymiss.search.native") / "keymiss_search.so"))
    if not path.is_file():
        raise SetupError(f"{path} is missing; install keymiss with pip, which compiles it")
    library = ctypes.CDLL(str(path))
    ranked = (c_void_p, c_int32, c_void_p, c_int32, c_void_p, c_void_p)
    for name, result, *arguments in (
        ("rank_sentences", c_int32, *ranked),
        ("count_sentences", None, *ranked),
        ("new_vectors", c_void_p, c_int32),
        ("free_vectors", None, c_void_p),
        ("put_vectors", c_int32, *[c_void_p] * 3, c_int32),
        ("drop_vectors", None, c_void_p, c_int32),
        ("nearest", c_int32, c_void_p, c_char_p, c_void_p, c_int32, c_int32, c_void_p, c_void_p),
        ("products", None, *[c_void_p] * 3, c_int32, c_void_p),
    ):
        function = getattr(library, f"keymiss_{name}")
        function.restype, function.argtypes = result, arguments
    return library
