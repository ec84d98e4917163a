"""The reader against torch and ONNX Runtime, and against what the machine can do.

All engines run in one process, one after the other in each round, so that what disturbs one
disturbs all. A workload's ceiling is the larger of its multiply-adds over the best rate of matrix
products that any engine reaches here in that precision, and its weights' bytes over the rate at
which memory is read. Writes bench-results/reader.json and prints a table.

    python bench/reader.py [--model bert-large|minilm-qa] [--rounds 7]
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
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import openvino as ov
import torch
from bert_large import make_large
from openvino import opset15 as op
from reader_engines import (
    QUESTION,
    Engine,
    Pairs,
    engines,
    keymiss_engine,
    quantize_roughly,
)
from timing import milliseconds

from keymiss.reader import BUNDLED_FOLDER, Reader
from keymiss.reader.config import EncoderConfig, load_config
from keymiss.reader.engine import Arithmetic, Precision, compile_graph
from keymiss.reader.precision import choose_precision

RESULTS = Path("bench-results/reader.json")
MIXED = tuple(random.Random(16).choices(range(24, 73), k=16))
WORKLOADS = {
    "1x48": Pairs((48,)),
    "1x128": Pairs((128,)),
    "1x384": Pairs((384,)),
    "8x48": Pairs((48,) * 8),
    "mixed16": Pairs(MIXED),
    "mixed16_padded": Pairs((max(MIXED),) * 16),
}
UNSEEN = tuple(Pairs((length,)) for length in (33, 41, 57, 70, 91, 113, 150, 203))
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
BYTES = {"fp32": 4, "bf16": 2, "int8": 1}
PAUSE_S = 0.1
"""Between two engines: threads of some spin for a while when their work is done."""

GEMM_ROWS = 384
"""Those of `8x48`: the tokens that one matrix product is done for."""

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
class Row:
    model: str
    engine: str
    precision: str
    workload: str
    median_ms: float
    min_ms: float
    max_ms: float
    ratio_to_torch_fp32: float | None
    ratio_to_ceiling: float


# ---- ceilings ----


def gemm_rates(config: EncoderConfig) -> dict[Precision, float]:
    """The best rate of any engine for matrices of the model's shapes: 10^9 multiply-adds a second,
    of the three shapes together as often as they occur in a layer."""
    hidden, inner = config.hidden, config.inner
    shapes = [(hidden, hidden)] * 4 + [(hidden, inner), (inner, hidden)]
    work = {
        "torch fp32": _torch_products(shapes, torch.float32),
        "torch bf16": _torch_products(shapes, torch.bfloat16),
        "torch int8": _torch_products(shapes, torch.int8),
        **{f"openvino {each}": _openvino_products(shapes, each) for each in PRECISIONS},
    }
    best: dict[str, float] = {}
    for _ in range(30):
        for name, run in work.items():
            best[name] = min(best.get(name, np.inf), milliseconds(run))
    count = GEMM_ROWS * sum(rows * columns for rows, columns in shapes)
    return {
        each: max(count / best[name] / 1e6 for name in best if name.endswith(each))
        for each in PRECISIONS
    }


def _torch_products(shapes: Sequence[tuple[int, int]], dtype: torch.dtype) -> Callable[[], Any]:
    left = {rows: torch.randn(GEMM_ROWS, rows).to(dtype) for rows, _ in shapes}
    right = [torch.randn(columns, rows).to(dtype) for rows, columns in shapes]

    def run() -> None:
        with torch.inference_mode():
            for (rows, _), matrix in zip(shapes, right, strict=True):
                if dtype == torch.int8:
                    torch._int_mm(left[rows], matrix.T)
                else:
                    torch.nn.functional.linear(left[rows], matrix)

    return run


def _openvino_products(
    shapes: Sequence[tuple[int, int]], precision: Precision
) -> Callable[[], Any]:
    """Each product alone: in int8 with the step that rounds its input, and with int8 weights."""
    generator = np.random.default_rng(0)
    arithmetic: Arithmetic = "bf16" if precision == "bf16" else "fp32"
    calls = []
    for rows, columns in shapes:
        left = op.parameter([GEMM_ROWS, rows], np.float32)
        given: Any = left
        matrix: Any = op.constant(generator.standard_normal((columns, rows), np.float32))
        if precision == "int8":
            low, high = (op.constant(np.float32(bound)) for bound in (-4, 4 * 127 / 128))
            given = op.fake_quantize(left, low, high, low, high, 256)
            rounded = generator.integers(-127, 128, (columns, rows), dtype=np.int8)
            scales = op.constant(np.full((columns, 1), 0.01, np.float32))
            matrix = op.multiply(op.convert(op.constant(rounded), "f32"), scales)
        graph = ov.Model([op.matmul(given, matrix, False, True)], [left])
        request = compile_graph(graph, arithmetic).create_infer_request()
        calls.append((request, generator.standard_normal((GEMM_ROWS, rows), np.float32)))

    def run() -> None:
        for request, array in calls:
            request.infer([array], share_inputs=True)

    return run


def memory_rate() -> float:
    """Bytes a second that all processors together read from memory."""
    array = torch.ones(1 << 28)
    seconds = min(milliseconds(array.sum) for _ in range(10)) / 1000
    return array.numel() * 4 / seconds


def ceiling_ms(
    config: EncoderConfig, pairs: Pairs, precision: Precision, rate: float, memory: float
) -> float:
    matrices = config.layers * (4 * config.hidden**2 + 2 * config.hidden * config.inner)
    products = sum(pairs.lengths) * matrices
    attention = sum(2 * config.layers * config.hidden * each**2 for each in pairs.lengths)
    arithmetic = (products + attention) / (rate * 1e6)
    return max(arithmetic, 1000 * matrices * BYTES[precision] / memory)


# ---- measuring ----


def measure(model: str, folder: Path, rounds: int) -> dict[str, Any]:
    config = load_config(folder)
    rates, memory = gemm_rates(config), memory_rate()
    print(f"{model}: {rates} * 10^9 multiply-adds/s, {memory / 1e9:.1f} GB/s", flush=True)
    question = Reader.from_pretrained(BUNDLED_FOLDER, "fp32").tokens.encode([QUESTION])[0]
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
            floor = ceiling_ms(config, pairs, precision, rates[precision], memory)
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
        "gemm_gmacs": {each: round(rate, 1) for each, rate in rates.items()},
        "memory_gb_s": round(memory / 1e9, 1),
        "auto": automatic(choose_precision("auto", config), rows),
        "starts": {each: start(folder, each) for each in PRECISIONS},
    }


def automatic(chosen: Precision, rows: Sequence[Row]) -> dict[str, Any]:
    """What `auto` chooses, and how much longer that takes than the better of fp32 and bf16."""
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
    """Milliseconds of each engine in each round, in an order that is drawn anew for each: none
    always runs behind the one whose threads spin longest."""
    times: list[list[float]] = [[] for _ in contestants]
    order = list(range(len(contestants)))
    draw = random.Random(len(contestants))
    for round_ in range(rounds + 1):
        draw.shuffle(order)
        for number in order:
            time.sleep(PAUSE_S)
            took = milliseconds(partial(contestants[number], pairs))
            if round_:  # the first one makes kernels
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
) -> Row:
    median = statistics.median(spent)
    return Row(
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
    """Milliseconds of all lengths that a fresh reader has not seen, and of the same ones again."""
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
    """A second start, from nothing to the first answer; then the peak of resident memory after
    eight windows of 384 tokens; and what one and two such processes hold, shared pages divided."""
    command = [sys.executable, "-c", START, str(folder), precision]
    pipe: Literal[-1] = subprocess.PIPE
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


def processor() -> tuple[str, str]:
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    wanted = ("avx", "amx", "fma", "vnni")
    flags = [flag for flag in fields.get("flags", "").split() if flag.startswith(wanted)]
    return fields.get("model name", "unknown"), " ".join(flags)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["bert-large", "minilm-qa"])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    chosen = [arguments.model] if arguments.model else ["bert-large", "minilm-qa"]
    name, flags = processor()
    results: dict[str, Any] = {"cpu": name, "flags": flags, "rows": []}
    for model in chosen:
        folder = make_large() if model == "bert-large" else BUNDLED_FOLDER
        quantize_roughly(folder)
        measured = measure(model, folder, arguments.rounds)
        results["rows"] += measured.pop("rows")
        results[model] = measured
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
