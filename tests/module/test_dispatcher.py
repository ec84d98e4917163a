"""The dispatcher and the argument parsers alone, fed with random programs under the sanitizers."""

import os
import random
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "keymiss" / "server" / "module"
SEED = int(os.environ.get("SEED", str(random.randrange(10**6))))
RUNS = 3000


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory):
    program = tmp_path_factory.mktemp("dispatcher") / "fuzz_dispatcher"
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wshadow"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [
        Path(__file__).with_name("fuzz_dispatcher.c"),
        SOURCES / "memory_budget.c",
        SOURCES / "dispatcher.c",
        SOURCES / "key_form.c",
        SOURCES / "items.c",
        SOURCES / "function_options.c",
    ]
    options = ["-std=gnu11", "-g", "-O1", *warnings, *sanitizers, "-DSEEDED", f"-I{SOURCES}"]
    subprocess.run(["cc", *options, *map(str, sources), "-o", str(program)], check=True)
    return program


def test_whatever_is_done_the_dispatcher_keeps_its_books(fuzzer):
    done = subprocess.run(
        [fuzzer, str(SEED), str(RUNS)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "done\n", f"SEED={SEED}\n{done.stderr}"


def test_the_dispatcher_knows_nothing_of_the_server():
    headers = (
        "linked_list.h",
        "memory_budget.h",
        "dispatcher.h",
        "key_form.h",
        "items.h",
        "dispatcher_types.h",
        "function_options.h",
        "text.h",
    )
    for name in (*headers, "memory_budget.c", "dispatcher.c", "items.c", "function_options.c"):
        assert "server_api.h" not in (SOURCES / name).read_text()
        assert "RedisModule" not in (SOURCES / name).read_text()
