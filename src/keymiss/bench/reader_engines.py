"""The engines that bench/reader_speed.py compares, each as a function from a batch to its logits.

All compute the same model. keymiss is called as its users call it, with the question's text and
the passage's tokens; torch and ONNX Runtime get arrays that are prepared.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertForQuestionAnswering

from keymiss.bench.reader_pairs import SHORT_QUESTION, Pairs
from keymiss.reader import Reader
from keymiss.reader.network import PRECISIONS, Ids
from keymiss.reader.openvino.openvino_reader import openvino_reader

Engine = Callable[[Pairs], Any]


def keymiss_engine(folder: Path, precision: str) -> Engine:
    return _warmed_up(Reader.from_pretrained(folder, precision))


def openvino_engine(folder: Path, precision: str) -> Engine:
    """OpenVINO with keymiss's own graph, grouping and padding. In int8 the graph must be there."""
    return _warmed_up(openvino_reader(folder, precision))


def _warmed_up(reader: Reader) -> Engine:
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


def engines(folder: Path, question: Ids) -> Sequence[tuple[str, str, Engine]]:
    """The name, precision and function of each engine."""
    exported = ExportedModel(folder)
    made: list[tuple[str, str, Engine]] = []
    for precision in PRECISIONS:
        made.append(("keymiss", precision, keymiss_engine(folder, precision)))
        made.append(("openvino", precision, openvino_engine(folder, precision)))
    for precision in ("fp32", "bf16"):
        made.append(("torch", precision, torch_engine(folder, precision, question)))
    for precision in ("fp32", "int8"):
        made.append(("onnxruntime", precision, exported.onnxruntime_engine(precision, question)))
    return made
