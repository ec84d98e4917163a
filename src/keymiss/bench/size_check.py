"""Checks the estimates of `keymiss size` against measured corpora of generated sentences.

    python -m keymiss.bench.size_check [SENTENCES ...]    100,000 and 1,000,000 by default

Writes bench-results/scale.json.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from keymiss.asking.effort import FEWEST_READ
from keymiss.bench.corpus_cost import generate, measure
from keymiss.bench.corpus_size import UTILISATION, Constants, estimate, find_milliseconds
from keymiss.bench.results import write_results

QUESTIONS_PER_SECOND = 2.0
"""How many questions a second the estimate is for: enough to need a worker on two cores."""

EMPTY_INDEX_BYTES = 50e6
"""How many bytes a worker grows by at its first document."""


def main() -> None:
    records = []
    for sentences in [int(each) for each in sys.argv[1:]] or [100_000, 1_000_000]:
        with tempfile.TemporaryDirectory() as name:
            questions = generate(Path(name), sentences)
            found = measure(Path(name), questions)
        text_bytes = found["text_bytes"] / sentences
        told = estimate(
            sentences, QUESTIONS_PER_SECOND, FEWEST_READ, text_bytes=text_bytes, vectors=False
        )
        core_ms = 1000 * told.worker_cores * UTILISATION / QUESTIONS_PER_SECOND
        pairs = {
            "server_bytes": (told.server_bytes, found["dataset_bytes"]),
            "find_p50_ms": (find_milliseconds(sentences), found["find_p50_ms"]),
            "worker_core_ms": (core_ms, found["worker_core_ms"]),
            "first_p50_ms": (told.first_ms, found["first_p50_ms"]),
            "cached_p50_ms": (told.cached_ms, found["cached_p50_ms"]),
            "worker_growth_bytes": (
                EMPTY_INDEX_BYTES + sentences * Constants().worker_bytes_per_sentence,
                found["worker_megabytes"] * 1e6,
            ),
        }
        for what, (estimated, measured) in pairs.items():
            record = {"sentences": sentences, "what": what, "estimated": round(estimated, 2)}
            record |= {"measured": round(measured, 2), "ratio": round(estimated / measured, 3)}
            records.append(record)
            print(record)
    write_results("scale", {"records": records})


if __name__ == "__main__":
    main()
