"""`keymiss size`: more needs more, and what was not measured says so."""

import json
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from keymiss.bench.corpus_size import SHARD_BYTES, SHARD_FIND_MS, estimate


@given(
    st.integers(1, 10**10),
    st.integers(1, 10**10),
    st.floats(0, 1000),
    st.floats(0, 1000),
    st.integers(1, 50),
)
def test_more_needs_more(sentences, others, rate, another_rate, candidates):
    less = estimate(min(sentences, others), min(rate, another_rate), candidates)
    more = estimate(max(sentences, others), max(rate, another_rate), candidates)
    for name in ("shards", "server_bytes", "worker_bytes", "worker_cores", "web_cores"):
        assert getattr(less, name) <= getattr(more, name)
    assert estimate(sentences, rate, candidates).worker_cores <= (
        estimate(sentences, rate, candidates + 1).worker_cores
    )


@given(st.integers(1, 10**10))
def test_a_shard_is_never_too_large_or_too_slow(sentences):
    size = estimate(sentences, 1.0, 10)
    assert size.server_bytes / size.shards <= SHARD_BYTES
    assert size.find_ms <= SHARD_FIND_MS * 1.001
    assert size.cached_ms < size.first_ms


def test_the_command_says_what_is_extrapolated():
    def run(*arguments):
        command = [sys.executable, "-m", "keymiss", "size", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert "extrapolated" not in run("--sentences", "1000000")
    assert "extrapolated" in run("--sentences", "100000000")
    assert json.loads(run("--sentences", "1000", "--json"))["shards"] == 1
