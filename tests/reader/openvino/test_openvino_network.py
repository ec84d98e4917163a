"""With OpenVINO, every family gives what transformers gives, whatever is padded beside it."""

import numpy as np
import pytest

from keymiss.reader.openvino.openvino_reader import openvino_reader
from tests.reader.test_families import CLOSE, FAMILIES, GOLDEN, expected


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_transformers(family):
    reader, records = openvino_reader(GOLDEN / family), expected(family)
    rows = reader.rows([(record["question"], record["passage"]) for record in records])
    for index, logits in reader.network.logits([row.tokens for row in rows]):
        np.testing.assert_allclose(logits, records[index]["logits"], rtol=0, atol=CLOSE)
