"""Runs readers in separate processes: from the start to one answer, and then over more texts."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_OLD = """
import json, sys, time
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
folder, _, question, texts = json.loads(sys.stdin.read())
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
def read(text):
    inputs = tokenizer(question, text, return_tensors="pt", truncation="only_second")
    with torch.no_grad():
        output = model(**inputs)
    start, end = int(output.start_logits.argmax()), int(output.end_logits.argmax())
    return tokenizer.decode(inputs["input_ids"][0][start : end + 1])
read(texts[0])
started = time.perf_counter()
for text in texts[1:]:
    read(text)
print(time.perf_counter() - started)
"""

_OURS = """
import json, sys, time
from keymiss.reader import Reader
folder, precision, question, texts = json.loads(sys.stdin.read())
reader = Reader.from_pretrained(folder, precision)
reader.read(question, texts[:1])
started = time.perf_counter()
if texts[1:]:
    reader.read_batch([(question, text) for text in texts[1:]])
print(time.perf_counter() - started)
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """The times of a process from its start to its end.

    `warm_seconds` is the time for all texts but the first, after the model has read the first one.
    """

    wall_seconds: float
    cpu_seconds: float
    warm_seconds: float


def has_old_way() -> bool:
    """Whether transformers and torch are installed."""
    return all(find_spec(name) for name in ("transformers", "torch"))


def run_old_way(folder: Path, precision: str, question: str, texts: Sequence[str]) -> Ran:
    """Reads as the article's plain script does: with transformers and torch, one text after the
    other, always in fp32."""
    return _run(_OLD, folder, precision, question, texts)


def run_reader(folder: Path, precision: str, question: str, texts: Sequence[str]) -> Ran:
    """Reads with keymiss's reader alone, all texts but the first in one batch."""
    return _run(_OURS, folder, precision, question, texts)


def _run(script: str, folder: Path, precision: str, question: str, texts: Sequence[str]) -> Ran:
    before, started = _children_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        input=json.dumps([str(folder), precision, question, list(texts)]),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    wall = time.perf_counter() - started
    return Ran(wall, _children_seconds() - before, float(done.stdout.split()[-1]))


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
