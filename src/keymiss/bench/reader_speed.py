"""Compares the reader with torch and ONNX Runtime, and with the limits of the machine.

All engines run in one process, one after the other in each round, so that what disturbs one
disturbs all. Writes bench-results/reader.json and prints a table.

    python -m keymiss.bench.reader_speed [--model bert-large|minilm-qa] [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from keymiss.bench.bert_large import LARGE, make_large
from keymiss.bench.ceilings import ceiling_ms, memory_rate, peak_rates
from keymiss.bench.openvino_int8 import quantize_roughly
from keymiss.bench.reader_engines import (
    Engine,
    engines,
    keymiss_engine,
)
from keymiss.bench.reader_pairs import SHORT_QUESTION, Pairs
from keymiss.bench.results import write_results
from keymiss.bench.stopwatch import milliseconds
from keymiss.reader import BUNDLED_FOLDER, Reader
from keymiss.reader.cpu_info import processor_fields
from keymiss.reader.encoder_config import load_config
from keymiss.reader.engine.engine_library import instruction_set
from keymiss.reader.network import PRECISIONS, Precision
from keymiss.reader.precision import choose_precision

MIXED = tuple(random.Random(16).choices(range(24, 73), k=16))
WORKLOADS = {
    "1x48": Pairs((48,)),
    "1x128": Pairs((128,)),
    "1x384": Pairs((384,)),
    "8x48": Pairs((48,) * 8),
    "10x104": Pairs((104,) * 10),
    "mixed16": Pairs(MIXED),
    "mixed16_padded": Pairs((max(MIXED),) * 16),
}
UNSEEN = tuple(Pairs((length,)) for length in (33, 41, 57, 70, 91, 113, 150, 203))
PAUSE_S = 0.1
"""How long to pause between two engines: threads of some spin for a while after their work."""

START = """
import json, resource, sys, time
started = time.perf_counter()
from keymiss.reader import Reader
reader = Reader.from_pretrained(sys.argv[1], sys.argv[2])
reader.read("who lives there?", ["The people of this town live there."])
start = time.perf_counter() - started
passage = "The people of this town live there. " * 45
reader.read("who lives there?", [passage] * 8)
def kilobytes(file, name):
    return next(int(l.split()[1]) for l in open(file) if l.startswith(name))
peak = kilobytes("/proc/self/status", "VmHWM:")
print(json.dumps([start, peak, kilobytes("/proc/self/smaps_rollup", "Pss:")]), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class SpeedRow:
    model: str
    engine: str
    precision: str
    workload: str
    median_ms: float
    min_ms: float
    max_ms: float
    ratio_to_torch_fp32: float | None
    ratio_to_ceiling: float


def measure(model: str, folder: Path, rounds: int) -> dict[str, Any]:
    config = load_config(folder)
    rates, memory = peak_rates(), memory_rate()
    sets = {each: instruction_set(each) for each in PRECISIONS}
    print(f"{model}: {sets}, {rates} * 10^9 multiply-adds/s, {memory / 1e9:.1f} GB/s", flush=True)
    question = Reader.from_pretrained(BUNDLED_FOLDER, "fp32").tokenizer.encode([SHORT_QUESTION])[0]
    contestants = engines(folder, question)
    rows = []
    for workload, pairs in WORKLOADS.items():
        times = interleaved([engine for *_, engine in contestants], pairs, rounds)
        torch_fp32 = next(
            statistics.median(spent)
            for (name, precision, _), spent in zip(contestants, times, strict=True)
            if (name, precision) == ("torch", "fp32")
        )
        for (name, precision, _), spent in zip(contestants, times, strict=True):
            kind = cast(Precision, precision)
            floor = ceiling_ms(config, pairs, kind, rates[kind], memory)
            rows.append(row(model, name, precision, workload, spent, torch_fp32, floor))
            print(rows[-1], flush=True)
    del contestants
    for precision in PRECISIONS:
        first, again = unseen(folder, precision)
        floor = sum(
            ceiling_ms(config, pairs, precision, rates[precision], memory) for pairs in UNSEEN
        )
        for workload, spent in (("unseen_shapes", first), ("seen_shapes", again)):
            rows.append(row(model, "keymiss", precision, workload, spent, None, floor))
            print(rows[-1], flush=True)
    return {
        "rows": [asdict(each) for each in rows],
        "instruction_sets": sets,
        "peak_gmacs": {each: round(rate, 1) for each, rate in rates.items()},
        "memory_gb_s": round(memory / 1e9, 1),
        "auto": automatic(choose_precision("auto", folder), rows),
        "starts": {each: start(folder, each) for each in PRECISIONS},
    }


def automatic(chosen: Precision, rows: Sequence[SpeedRow]) -> dict[str, Any]:
    """The precision that `auto` chooses, and its time over that of the better of fp32 and bf16."""
    ours = {(each.workload, each.precision): each for each in rows if each.engine == "keymiss"}
    ratios = {
        workload: round(
            ours[workload, chosen].median_ms
            / min(ours[workload, each].median_ms for each in ("fp32", "bf16")),
            3,
        )
        for workload in WORKLOADS
    }
    return {"precision": chosen, "ratio_to_better": ratios}


def interleaved(contestants: Sequence[Engine], pairs: Pairs, rounds: int) -> list[list[float]]:
    """The milliseconds of each engine in each round.

    The order is drawn again for each round, so that no engine always runs after the one whose
    threads spin longest.
    """
    times: list[list[float]] = [[] for _ in contestants]
    order = list(range(len(contestants)))
    draw = random.Random(len(contestants))
    for round_ in range(rounds + 1):
        draw.shuffle(order)
        for number in order:
            time.sleep(PAUSE_S)
            took = milliseconds(partial(contestants[number], pairs))
            if round_:  # the first round makes kernels
                times[number].append(took)
    return times


def row(
    model: str,
    engine: str,
    precision: str,
    workload: str,
    spent: list[float],
    torch_fp32: float | None,
    floor: float,
) -> SpeedRow:
    median = statistics.median(spent)
    return SpeedRow(
        model,
        engine,
        precision,
        workload,
        median_ms=round(median, 2),
        min_ms=round(min(spent), 2),
        max_ms=round(max(spent), 2),
        ratio_to_torch_fp32=round(median / torch_fp32, 3) if torch_fp32 else None,
        ratio_to_ceiling=round(median / floor, 3),
    )


def unseen(folder: Path, precision: str) -> tuple[list[float], list[float]]:
    """The milliseconds of all lengths that a fresh reader has not seen, and of the same again."""
    firsts, agains = [], []
    for _ in range(3):
        engine = keymiss_engine(folder, precision)
        for _ in range(3):
            engine(WORKLOADS["1x48"])
        once = partial(_all_unseen, engine)
        firsts.append(milliseconds(once))
        agains += [milliseconds(once) for _ in range(2)]
    return firsts, agains


def _all_unseen(engine: Engine) -> None:
    for pairs in UNSEEN:
        engine(pairs)


def start(folder: Path, precision: str) -> dict[str, float]:
    """The time and memory of a process that starts when the graph is already kept.

    The time ends with the first answer. The memory is the resident peak after eight windows of 384
    tokens, and what one such process and two hold, with shared pages divided between them.
    """
    command = [sys.executable, "-c", START, str(folder), precision]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as one,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as two,
    ):
        shared = [json.loads(each.stdout.readline()) for each in (one, two) if each.stdout]
        one.communicate("")
        two.communicate("")
    starts = []
    for _ in range(5):
        result = subprocess.run(command, input="", capture_output=True, text=True, check=True)
        starts.append(json.loads(result.stdout))
    return {
        "start_s": round(statistics.median(each[0] for each in starts), 2),
        "rss_mb": round(max(each[1] for each in starts) / 1024),
        "pss_mb": round(statistics.median(each[2] for each in starts) / 1024),
        "pss_of_two_mb": round(sum(each[2] for each in shared) / 1024),
    }


def simd_flags() -> str:
    """The processor's flags that matter for matrix products."""
    wanted = ("avx", "amx", "fma", "vnni")
    flags = processor_fields().get("flags", "").split()
    return " ".join(flag for flag in flags if flag.startswith(wanted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["bert-large", "minilm-qa"])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    # The roughly quantized bundled reader must not lie where other programs look for it.
    os.environ["XDG_CACHE_HOME"] = str(LARGE.parent)
    chosen = [arguments.model] if arguments.model else ["bert-large", "minilm-qa"]
    results: dict[str, Any] = {"flags": simd_flags(), "rows": []}
    for model in chosen:
        folder = make_large() if model == "bert-large" else BUNDLED_FOLDER
        quantize_roughly(folder)
        measured = measure(model, folder, arguments.rounds)
        results["rows"] += measured.pop("rows")
        results[model] = measured
    write_results("reader", results)


if __name__ == "__main__":
    main()
