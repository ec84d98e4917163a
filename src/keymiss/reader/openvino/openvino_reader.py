"""A reader that computes with OpenVINO: what the engine is measured and tested beside."""

from __future__ import annotations

from pathlib import Path

from keymiss.reader.calibration import Calibration
from keymiss.reader.encoder_config import load_config
from keymiss.reader.openvino.openvino_network import load_network
from keymiss.reader.reader import Reader
from keymiss.reader.reader_statistics import Statistics
from keymiss.reader.tokenizer import Tokenizer


def openvino_reader(folder: Path, precision: str = "fp32") -> Reader:
    """The reader of a model folder. In int8, a graph must have been kept.

    Raises:
        ModelError: there is no such precision, or the model is incomplete or damaged.
    """
    tokenizer, statistics = Tokenizer(folder), Statistics()
    padding = tokenizer.special.padding
    network = load_network(folder, load_config(folder), padding, precision, None, statistics)
    return Reader(folder.name, tokenizer, network, Calibration(), statistics)
