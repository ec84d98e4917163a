"""Reads the shape of an encoder with a span head from the config.json beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keymiss.errors import ModelError

FAMILIES = ("bert", "distilbert", "electra", "roberta", "xlm-roberta")
"""The known values of `model_type`. Models distilled into BERT's shape, like MiniLM, say "bert"."""


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The fields of a Hugging Face configuration that change what is computed."""

    family: str
    vocabulary: int
    embedding: int
    """The width of the embeddings; it is smaller than `hidden` in small ELECTRA models."""
    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    first_position: int
    """The position of a text's first token: in RoBERTa, the one after the padding token's id."""
    types: int
    """How many types of tokens there are: 2 where question and passage differ, 0 for no types."""
    epsilon: float

    @property
    def max_tokens(self) -> int:
        """The longest input in tokens: question, passage and special tokens."""
        return self.positions - self.first_position


_DISTILBERT = {
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
"""The names that DistilBERT's configuration has for the same fields."""


def load_config(folder: Path) -> EncoderConfig:
    """Reads `config.json`.

    Raises:
        ModelError: the file is missing, holds no JSON object, or describes another kind of model.
    """
    path = folder / "config.json"
    raw = _read_object(path)
    family = raw.get("model_type")
    if family not in FAMILIES:
        raise ModelError(
            f"{path}: model_type is {family!r}; the reader knows {', '.join(map(repr, FAMILIES))}"
        )
    names = _DISTILBERT if family == "distilbert" else {}
    activation = raw.get(names.get("hidden_act", "hidden_act"), "gelu")
    if activation != "gelu":
        raise ModelError(f"{path}: hidden_act is {activation!r}; only 'gelu' is known")

    def number(name: str) -> int:
        name = names.get(name, name)
        value = raw.get(name)
        if type(value) is not int or value <= 0:
            raise ModelError(f"{path}: {name} is {value!r}; a positive number is needed")
        return value

    epsilon = raw.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise ModelError(f"{path}: layer_norm_eps is {epsilon!r}; a small number is needed")
    hidden = number("hidden_size")
    config = EncoderConfig(
        family=family,
        vocabulary=number("vocab_size"),
        embedding=number("embedding_size") if family == "electra" else hidden,
        hidden=hidden,
        layers=number("num_hidden_layers"),
        heads=number("num_attention_heads"),
        inner=number("intermediate_size"),
        positions=number("max_position_embeddings"),
        first_position=_padding(path, raw) + 1 if family.endswith("roberta") else 0,
        types=0 if family == "distilbert" else number("type_vocab_size"),
        epsilon=epsilon,
    )
    if config.hidden % config.heads:
        raise ModelError(f"{path}: the width is not a multiple of the number of attention heads")
    if config.max_tokens < 8:
        raise ModelError(f"{path}: {config.positions} positions leave no room for a text")
    return config


def _padding(path: Path, raw: dict[str, Any]) -> int:
    value = raw.get("pad_token_id", 1)
    if type(value) is not int or value < 0:
        raise ModelError(f"{path}: pad_token_id is {value!r}; a number is needed")
    return value


def _read_object(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; a model folder holds it beside the weights") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ModelError(f"{path} holds no JSON object")
    return raw
