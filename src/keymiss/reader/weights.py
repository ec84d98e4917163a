"""Weights by their names, mapped from a safetensors file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from keymiss.reader.errors import ModelError

Array = NDArray[np.float16] | NDArray[np.float32]


class Weights:
    """The arrays of a model, handed out only in the shape that the graph needs."""

    def __init__(self, path: Path, arrays: dict[str, Array]) -> None:
        self._path = path
        self._arrays = arrays

    def get(self, name: str, *shape: int) -> Array:
        """Returns one array, float16 or float32 as stored.

        Raises:
            ModelError: it is missing, or has another shape or type.
        """
        array = self._arrays.get(name)
        if array is None:
            raise ModelError(f"{self._path}: the tensor {name} is missing")
        if array.shape != shape:
            raise ModelError(f"{self._path}: {name} is {array.shape}; the config says {shape}")
        if array.dtype not in (np.float16, np.float32):
            raise ModelError(f"{self._path}: {name} is {array.dtype}; float16 or float32 is needed")
        return array


def load_weights(folder: Path) -> Weights:
    """Reads `model.safetensors`.

    Raises:
        ModelError: the file is missing or damaged.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise ModelError(f"{path} is missing; a model folder holds its weights as safetensors")
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    return Weights(path, arrays)
