"""Maps weights from safetensors files and gives them common names.

Checkpoints of different families and ages name the same arrays differently. Here every array has
the name that current `transformers` gives to BERT's array, without the family's prefix.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from keymiss.errors import ModelError

Array = NDArray[np.float16] | NDArray[np.float32]
StoredArray = Array | NDArray[np.uint16]

TYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
"""The number types that are read. numpy has no bfloat16, so it is mapped as uint16."""

MAX_HEADER_BYTES = 100_000_000
"""The longest header of a file, as in the format's own library."""

SINGLE = "model.safetensors"
SHARDED = "model.safetensors.index.json"
"""The file that names the parts of a large checkpoint."""

_FAMILY = re.compile(r"^(bert|distilbert|electra|roberta)\.")
_RENAMED = (
    (re.compile(r"\bLayerNorm\.gamma$"), "LayerNorm.weight"),
    (re.compile(r"\bLayerNorm\.beta$"), "LayerNorm.bias"),
    # DistilBERT
    (re.compile(r"^transformer\.layer\."), "encoder.layer."),
    (re.compile(r"\.attention\.q_lin\."), ".attention.self.query."),
    (re.compile(r"\.attention\.k_lin\."), ".attention.self.key."),
    (re.compile(r"\.attention\.v_lin\."), ".attention.self.value."),
    (re.compile(r"\.attention\.out_lin\."), ".attention.output.dense."),
    (re.compile(r"\.sa_layer_norm\."), ".attention.output.LayerNorm."),
    (re.compile(r"\.ffn\.lin1\."), ".intermediate.dense."),
    (re.compile(r"\.ffn\.lin2\."), ".output.dense."),
    (re.compile(r"\.output_layer_norm\."), ".output.LayerNorm."),
)


class Weights:
    """The arrays of a model. Each is handed out only in the shape that the graph needs."""

    def __init__(
        self, path: Path, arrays: dict[str, StoredArray], files: Sequence[mmap.mmap] = ()
    ) -> None:
        self.path = path
        self._arrays = {canonical_name(name): array for name, array in arrays.items()}
        self._files = files

    def get(self, name: str, *shape: int) -> Array:
        """Returns one array, float16 or float32; what is stored as bfloat16 becomes float32.

        Raises:
            ModelError: the array is missing, or has another type or another shape.
        """
        array = self._arrays.get(name)
        if array is None:
            raise ModelError(
                f"{self.path}: the tensor {name} is missing, or not float32, float16 or bfloat16"
            )
        if array.shape != shape:
            raise ModelError(
                f"{self.path}: {name} has the shape {array.shape}; the config says {shape}"
            )
        if array.dtype == np.uint16:  # bfloat16 is the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        return cast(Array, array)

    def release(self) -> None:
        """Gives back the memory of what was read; it is read again when it is needed."""
        for file in self._files:
            file.madvise(mmap.MADV_DONTNEED)


def canonical_name(name: str) -> str:
    """The common name of a checkpoint's array."""
    name = _FAMILY.sub("", name)
    for pattern, replacement in _RENAMED:
        name = pattern.sub(replacement, name)
    return name


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights.

    Raises:
        ModelError: the folder has none, one is missing, or the list of them is damaged.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    if not (folder / SHARDED).is_file():
        raise ModelError(_missing(folder))
    try:
        named = json.loads((folder / SHARDED).read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({Path(name).name for name in named})
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ModelError(f"{folder / SHARDED} is damaged: {error!r}") from None
    for name in names:
        if not (folder / name).is_file():
            raise ModelError(f"{folder / name} is missing; {SHARDED} names it")
    return [folder / name for name in names]


def _missing(folder: Path) -> str:
    missing = f"{folder / SINGLE} is missing; a model folder holds its weights as safetensors"
    if list(folder.glob("*.bin")) or list(folder.glob("*.pt")):
        return (
            f"{missing}. The folder holds a pickle, which can run any program when it is read: "
            "save the model with `save_pretrained` of transformers"
        )
    return missing


def load_weights(folder: Path, base: Path | None = None) -> Weights:
    """Maps `model.safetensors`, or the shards that `model.safetensors.index.json` names.

    Args:
        base: the folder of a model whose arrays take the place of those that are missing.

    Raises:
        ModelError: a file is missing or damaged.
    """
    arrays: dict[str, StoredArray] = {}
    mapped: list[mmap.mmap] = []
    files = weight_files(folder)
    for path in [*(weight_files(base) if base else ()), *files]:
        try:
            with path.open("rb") as file:
                # Copy-on-write, because OpenVINO does not accept read-only memory. Nothing writes
                # to it.
                mapped.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            arrays.update(_arrays(np.frombuffer(mapped[-1], np.uint8)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(f"{path} is damaged: {error!r}") from None
    return Weights(files[0], arrays, mapped)


def _arrays(mapped: NDArray[np.uint8]) -> dict[str, StoredArray]:
    """The arrays of a safetensors file, in the file's own pages.

    The format's library copies each array before it returns it: 1.3 GB for BERT-large.
    """
    size = int.from_bytes(mapped[:8].tobytes(), "little")
    if not 2 <= size <= min(MAX_HEADER_BYTES, len(mapped) - 8):
        raise ValueError(f"the header cannot have {size} bytes")
    header = json.loads(mapped[8 : 8 + size].tobytes())
    header.pop("__metadata__", None)
    data = mapped[8 + size :]
    return {name: _array(data, entry) for name, entry in header.items() if entry["dtype"] in TYPES}


def _array(data: NDArray[np.uint8], entry: dict[str, Any]) -> StoredArray:
    begin, end = entry["data_offsets"]
    if not 0 <= begin <= end <= len(data):
        raise ValueError(f"the bytes {begin} to {end} are not in the file")
    array = data[begin:end].view(TYPES[entry["dtype"]]).reshape(entry["shape"])
    return np.require(array, requirements="A")
