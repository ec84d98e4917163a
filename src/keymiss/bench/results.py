"""Writes what the benches have measured to files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keymiss.reader.cpu_info import processor_name

RESULTS_FOLDER = Path("bench-results")


def write_results(name: str, measured: Mapping[str, Any]) -> None:
    """Writes what was measured, and on which processor, to `bench-results/NAME.json`."""
    RESULTS_FOLDER.mkdir(exist_ok=True)
    text = json.dumps({"cpu": processor_name(), **measured}, indent=1) + "\n"
    (RESULTS_FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
