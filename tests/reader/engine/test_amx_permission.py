"""Linux lets a process use AMX's tiles when it asks for them; elsewhere others multiply."""

import subprocess
import sys

import pytest

from keymiss.reader.engine.engine_library import engine_library

WITHOUT_PERMISSION = """
import ctypes
import struct

ARCH_PRCTL, REQUEST = 158, 0x1023  # of x86_64: asks for a part of a processor's state
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # of a filter (seccomp(2), linux/bpf_common.h)
ALLOW, EPERM = 0x7FFF0000, 0x00050001
NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2

steps = [
    (LOAD, 0, 0, 0),  # the number of the call
    (EQUAL, 0, 3, ARCH_PRCTL),
    (LOAD, 0, 0, 16),  # its first argument
    (EQUAL, 0, 1, REQUEST),
    (RETURN, 0, 0, EPERM),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
assert libc.prctl(SET_SECCOMP, FILTER, program, 0, 0) == 0

from keymiss import pipeline
from keymiss.reader.engine.engine_library import instruction_set

read = pipeline("question-answering", precision="bf16")
found = read(question="Who wrote it?", context="The book is old. Ada Byron wrote it.")
print(instruction_set("bf16"), instruction_set("int8"), found["answer"])
"""


@pytest.mark.skipif(engine_library().keymiss_isa(b"amx", 0) is None, reason="no amx here")
def test_without_permission_others_multiply():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PERMISSION], capture_output=True, text=True, check=True
    )
    assert done.stdout == "avx512-bf16 avx512-vnni Ada Byron\n"
