"""Which processor this is, as Linux tells it in /proc/cpuinfo."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path


def processor_fields() -> dict[str, str]:
    """What is said of the first processor; nothing on other systems than Linux."""
    fields: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    return fields


def processor_name() -> str:
    """The processor's name; that of its architecture where nothing more is said."""
    return processor_fields().get("model name") or platform.machine()
