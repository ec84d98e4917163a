"""Makes a BERT-large with seeded random weights, for measurements without a model hub.

    python -m keymiss.bench.bert_large [--int8]

Prints the model's folder; with --int8 it is also rounded for OpenVINO.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from keymiss.reader import BUNDLED_FOLDER
from keymiss.reader.model_cache import default_cache

LARGE = default_cache() / "bench" / "bert-large"
"""The model's folder: BERT-large's architecture (Devlin et al. 2018), seeded random weights."""

LARGE_CONFIG = {
    "architectures": ["BertForQuestionAnswering"],
    "model_type": "bert",
    "vocab_size": 30_522,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
}
SCALE = 0.02
"""The standard deviation of the random weights; BERT's training begins with the same one."""


def make_large() -> Path:
    """Writes the model's folder, 1.3 GB, if it is missing."""
    if (LARGE / "model.safetensors").exists():
        return LARGE
    LARGE.mkdir(parents=True, exist_ok=True)
    for path in BUNDLED_FOLDER.glob("*token*"):
        shutil.copy(path, LARGE)
    (LARGE / "config.json").write_text(json.dumps(LARGE_CONFIG))
    save_file(dict(_weights()), LARGE / "draft")
    (LARGE / "draft").rename(LARGE / "model.safetensors")
    return LARGE


def _weights() -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    random = np.random.default_rng(0)
    hidden, inner = 1024, 4096

    def normal(name: str, *shape: int) -> tuple[str, np.ndarray[Any, Any]]:
        return name, random.standard_normal(shape, np.float32) * np.float32(SCALE)

    def norm(name: str) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        weight = normal(f"{name}.LayerNorm.weight", hidden)
        yield weight[0], weight[1] + np.float32(1)
        yield normal(f"{name}.LayerNorm.bias", hidden)

    def dense(name: str, rows: int, columns: int) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        yield normal(f"{name}.weight", rows, columns)
        yield normal(f"{name}.bias", rows)

    embeddings = {"word": 30_522, "position": 512, "token_type": 2}
    for name, rows in embeddings.items():
        yield normal(f"bert.embeddings.{name}_embeddings.weight", rows, hidden)
    yield from norm("bert.embeddings")
    for number in range(24):
        layer = f"bert.encoder.layer.{number}"
        for part in ("query", "key", "value"):
            yield from dense(f"{layer}.attention.self.{part}", hidden, hidden)
        yield from dense(f"{layer}.attention.output.dense", hidden, hidden)
        yield from norm(f"{layer}.attention.output")
        yield from dense(f"{layer}.intermediate.dense", inner, hidden)
        yield from dense(f"{layer}.output.dense", hidden, inner)
        yield from norm(f"{layer}.output")
    yield from dense("qa_outputs", 2, hidden)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--int8", action="store_true")
    folder = make_large()
    if parser.parse_args().int8:
        with redirect_stdout(sys.stderr):  # NNCF prints its progress on standard output
            from keymiss.bench.openvino_int8 import quantize_roughly

            quantize_roughly(folder)
    print(folder)


if __name__ == "__main__":
    main()
