"""The tests of the network of OpenVINO are skipped where OpenVINO is not installed."""

import pytest

pytest.importorskip("openvino")
