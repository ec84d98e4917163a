"""The engines that bench/reader_speed.py compares, each as a function from a batch to its logits.

All compute the same model. keymiss is called as its users call it, with the question's text and
the passage's tokens; torch and ONNX Runtime get arrays that are prepared.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import onnxruntime
import openvino as ov
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertForQuestionAnswering

from keymiss.reader import BUNDLED_FOLDER, Passage, Reader
from keymiss.reader.checkpoint import model_files, model_version
from keymiss.reader.encoder_config import load_config
from keymiss.reader.network import Ids
from keymiss.reader.openvino.encoder_graph import build_graph
from keymiss.reader.openvino.kept_graphs import compile_graph, graph_file, keep_graph
from keymiss.reader.openvino.precision import choose_arithmetic
from keymiss.reader.openvino.quantization import share_kernels
from keymiss.reader.weights import load_weights

SHORT_QUESTION = "who lives there?"
QUESTION_TOKENS = 7
"""How many tokens the question has, with the special tokens before and after it, and the one at the
end of the pair."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The input of a call: passages whose pairs with the question have these lengths in tokens."""

    lengths: tuple[int, ...]

    def passages(self) -> list[Passage]:
        return [Passage("", self._tokens(length - QUESTION_TOKENS)) for length in self.lengths]

    def _tokens(self, count: int) -> Ids:
        return np.random.default_rng(count).integers(2000, 30_000, count, dtype=np.int32)

    def arrays(self, question: Ids) -> tuple[Ids, Ids, Ids]:
        """Token ids, types and mask, padded to the longest pair."""
        shape = (len(self.lengths), max(self.lengths))
        ids, types, mask = (np.zeros(shape, np.int32) for _ in range(3))
        for row, (length, passage) in enumerate(zip(self.lengths, self.passages(), strict=True)):
            ids[row, :length] = np.concatenate([[101], question, [102], passage.ids, [102]])
            types[row, 2 + len(question) : length] = 1
            mask[row, :length] = 1
        return ids, types, mask


Engine = Callable[[Pairs], Any]


def quantize_roughly(folder: Path) -> None:
    """Rounds a model to int8 without a look at its answers, since random weights give none."""
    path = graph_file(model_version(folder, model_files(folder)), "int8")
    if path.exists():
        return
    question = Reader.from_pretrained(BUNDLED_FOLDER, "fp32").tokenizer.encode([SHORT_QUESTION])[0]
    graph = build_graph(load_config(folder), load_weights(folder))
    quantized = _quantized(graph, question)
    share_kernels(quantized)
    keep_graph(quantized, "int8", path)


def _quantized(graph: ov.Model, question: Ids) -> ov.Model:
    samples = []
    for length in range(24, 72, 4):
        ids, types, mask = Pairs((length,)).arrays(question)
        by_name = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
        exported = graph.inputs[0].any_name in by_name
        samples.append(by_name if exported else [ids, types, mask])
    model_type = nncf.ModelType.TRANSFORMER
    return nncf.quantize(graph, nncf.Dataset(samples), model_type=model_type)


def keymiss_engine(folder: Path, precision: str) -> Engine:
    reader = Reader.from_pretrained(folder, precision)
    reader.warm_up()
    return lambda pairs: list(reader.windows([(SHORT_QUESTION, each) for each in pairs.passages()]))


def torch_engine(folder: Path, precision: str, question: Ids) -> Engine:
    model = BertForQuestionAnswering.from_pretrained(folder).eval()
    if precision == "bf16":
        model = model.to(torch.bfloat16)

    def run(pairs: Pairs) -> Any:
        ids, types, mask = (torch.from_numpy(array) for array in pairs.arrays(question))
        with torch.inference_mode():
            return model(ids, attention_mask=mask, token_type_ids=types)

    return run


class ExportedModel:
    """A model that torch has exported as ONNX, which other engines read."""

    def __init__(self, folder: Path) -> None:
        self._config = load_config(folder)
        self._folder = tempfile.TemporaryDirectory()
        self.path = Path(self._folder.name) / "model.onnx"
        model = BertForQuestionAnswering.from_pretrained(folder, attn_implementation="eager").eval()
        names = ("input_ids", "attention_mask", "token_type_ids")
        dynamic = {name: {0: "batch", 1: "length"} for name in (*names, "start", "end")}
        example = tuple(torch.ones((2, 16), dtype=torch.int32) for _ in names)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                example,
                str(self.path),
                input_names=list(names),
                output_names=["start", "end"],
                dynamic_axes=dynamic,
                opset_version=17,
                dynamo=False,
            )

    def onnxruntime_engine(self, precision: str, question: Ids) -> Engine:
        path = self.path
        if precision == "int8":
            path = self.path.with_name("int8.onnx")
            quantize_dynamic(
                self.path,
                path,
                weight_type=QuantType.QInt8,
                use_external_data_format=True,
            )
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

        def run(pairs: Pairs) -> Any:
            ids, types, mask = pairs.arrays(question)
            names = ("input_ids", "token_type_ids", "attention_mask")
            return session.run(None, dict(zip(names, (ids, types, mask), strict=True)))

        return run

    def openvino_engine(self, precision: Any, question: Ids) -> Engine:
        """The same engine as keymiss's, but with the exported model."""
        graph = ov.Core().read_model(self.path)
        if precision == "int8":
            graph = _quantized(graph, question)
        compiled = compile_graph(graph, choose_arithmetic(precision, self._config))
        request = compiled.create_infer_request()

        def run(pairs: Pairs) -> Any:
            ids, types, mask = pairs.arrays(question)
            return request.infer(
                {"input_ids": ids, "token_type_ids": types, "attention_mask": mask},
                share_inputs=True,
            )

        return run


def engines(folder: Path, question: Ids) -> Sequence[tuple[str, str, Engine]]:
    """The name, precision and function of each engine."""
    exported = ExportedModel(folder)
    made: list[tuple[str, str, Engine]] = []
    for precision in ("fp32", "bf16", "int8"):
        made.append(("keymiss", precision, keymiss_engine(folder, precision)))
        made.append(("openvino-onnx", precision, exported.openvino_engine(precision, question)))
    for precision in ("fp32", "bf16"):
        made.append(("torch", precision, torch_engine(folder, precision, question)))
    for precision in ("fp32", "int8"):
        made.append(("onnxruntime", precision, exported.onnxruntime_engine(precision, question)))
    return made
