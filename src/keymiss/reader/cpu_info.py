"""Reads from Linux's /proc/cpuinfo which processor this machine has."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path


def processor_fields() -> dict[str, str]:
    """The fields of the first processor; an empty dictionary on systems other than Linux."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    return fields


def processor_name() -> str:
    """The processor's name, or its architecture where no name is given."""
    return processor_fields().get("model name") or platform.machine()
