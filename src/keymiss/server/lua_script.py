"""Lua programs, which the server runs atomically: files beside the modules that send them."""

from __future__ import annotations

from pathlib import Path


def load_lua(module: str, name: str) -> str:
    """The program in `NAME.lua` beside a module, without its comments: it is sent with each call.

    Args:
        module: the module's `__file__`.
    """
    lines = Path(module).with_name(f"{name}.lua").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("--"))
