"""Functions beside the data: a missing key is computed, a written key is followed.

    from keymiss import functions

    @functions.on_miss("greeting:", cache="1h", timeout="2s")
    async def greeting(misses):
        return [f"hello {miss.key[9:]}" for miss in misses]

`keymiss worker --app pkg.module` serves the functions of a module. See docs/functions.md.
"""

from keymiss.errors import Superseded
from keymiss.functions.decorators import on_miss, on_write
from keymiss.functions.function import (
    Event,
    Function,
    MissFunction,
    WriteFunction,
    keys_by_shard,
)
from keymiss.functions.shard import Shard
from keymiss.functions.user_app import load_app
from keymiss.functions.worker import serve

__all__ = [
    "Event",
    "Function",
    "MissFunction",
    "Shard",
    "Superseded",
    "WriteFunction",
    "keys_by_shard",
    "load_app",
    "on_miss",
    "on_write",
    "serve",
]
