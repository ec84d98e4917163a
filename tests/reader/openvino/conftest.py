"""A reader that computes with OpenVINO: the tests are skipped where it is not installed."""

import pytest

pytest.importorskip("openvino")

from keymiss.reader import Reader, Tokenizer
from keymiss.reader.calibration import Calibration
from keymiss.reader.encoder_config import load_config
from keymiss.reader.openvino.openvino_network import load_network
from keymiss.reader.reader_statistics import Statistics


def openvino_reader(folder, precision="fp32"):
    config, tokenizer, statistics = load_config(folder), Tokenizer(folder), Statistics()
    padding = tokenizer.special.padding
    network = load_network(folder, config, padding, precision, None, statistics)
    return Reader(folder.name, tokenizer, network, Calibration(), statistics)
