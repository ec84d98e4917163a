"""The instruction sets that the engine knows; those that this machine lacks are skipped by name."""

import pytest

from keymiss.reader.engine.engine_library import engine_library

SETS = ("portable", "avx2", "avx512", "avx512-vnni", "avx512-bf16", "amx", "neon", "dotprod")


def runs(isa):
    return engine_library().keymiss_isa(isa.encode(), 0) is not None


@pytest.fixture(
    params=[
        pytest.param(isa, marks=pytest.mark.skipif(not runs(isa), reason=f"no {isa} here"))
        for isa in SETS
    ]
)
def isa(request, monkeypatch):
    """The name of each instruction set, which engines that are opened in the test use."""
    monkeypatch.setenv("KEYMISS_ISA", request.param)
    return request.param
