"""Makes the golden files: small random checkpoints of every family, and what transformers says.

    pip install 'keymiss[reference]'
    python tests/reader/make_golden.py [--check]

Each folder of `golden/` is a model folder, with a file `expected.json` in it: for pairs of question
and passage the ids, the start and end logits of the tokens, and the passage's vector: the mean of
its last states, with the length 1. With --check, as `make
test-reference` calls it, they are computed again and compared, and nothing is written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForQuestionAnswering,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

GOLDEN = Path(__file__).parent / "golden"
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = {"intermediate_size": 24, "max_position_embeddings": 80}
DISTIL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 80}

PAIRS = [
    ("Who found cholera's bacillus?", "Robert Koch found it in Egypt, in 1883."),
    ("When?", "Edward Jenner vaccinated James Phipps on 14 May 1796; the boy was eight years old."),
    ("Où est né Pasteur?", "Louis Pasteur est né à Dole\tle 27 décembre 1822 😀."),
]
TEXTS = [text for pair in PAIRS for text in pair] * 3


def word_pieces(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special)
    )
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ids
    )
    return tokenizer


def byte_pairs(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", special.index("</s>")), ("<s>", special.index("<s>")), add_prefix_space=False
    )
    return tokenizer


def unigrams(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token="<unk>"
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", tokenizer.token_to_id("</s>"))],
    )
    return tokenizer


FAMILIES = {
    "bert": (BertConfig, word_pieces, SIZE | WIDE),
    "minilm": (BertConfig, word_pieces, SIZE | WIDE | {"hidden_size": 12, "num_hidden_layers": 3}),
    "distilbert": (DistilBertConfig, word_pieces, DISTIL),
    "electra": (ElectraConfig, word_pieces, SIZE | WIDE | {"embedding_size": 8}),
    "roberta": (RobertaConfig, byte_pairs, SIZE | WIDE | {"type_vocab_size": 1}),
    "xlm-roberta": (XLMRobertaConfig, unigrams, SIZE | WIDE | {"type_vocab_size": 1}),
}


def make(family: str, folder: Path) -> None:
    config_class, make_tokenizer, options = FAMILIES[family]
    tokenizer = make_tokenizer(320)
    torch.manual_seed(20)
    config = config_class(vocab_size=tokenizer.get_vocab_size(), **options)
    model = AutoModelForQuestionAnswering.from_config(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            # Fresh weights are so small that every model says nearly the same.
            weights.add_(torch.randn_like(weights) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "expected.json").write_text(json.dumps(expected(folder)) + "\n", encoding="utf-8")


def expected(folder: Path) -> list[dict[str, object]]:
    """What transformers says of a model folder, pair by pair."""
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    special = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>"}
    if Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id("<s>") is None:
        special = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]"}
    tokens = {f"{name}_token": token for name, token in special.items()}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **tokens)
    results = []
    for question, passage in PAIRS:
        batch = tokenizer(question, passage, return_tensors="pt", return_token_type_ids=True)
        if not hasattr(model.config, "type_vocab_size") or model.config.type_vocab_size == 1:
            del batch["token_type_ids"]
        with torch.no_grad():
            output = model(**batch)
        alone = tokenizer(passage, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            states = model.base_model(**alone).last_hidden_state[0]
        vector = torch.nn.functional.normalize(states.mean(dim=0), dim=0)
        logits = torch.stack([output.start_logits[0], output.end_logits[0]], dim=1)
        results.append(
            {
                "question": question,
                "passage": passage,
                "ids": batch["input_ids"][0].tolist(),
                "logits": [[round(float(x), 6) for x in row] for row in logits],
                "vector": [round(float(x), 6) for x in vector],
            }
        )
    return results


def check(folder: Path) -> None:
    """Compares what transformers says today with what is written in a folder."""
    kept = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for old, new in zip(kept, expected(folder), strict=True):
        assert old["ids"] == new["ids"], folder
        for name in ("logits", "vector"):
            torch.testing.assert_close(
                torch.tensor(old[name]), torch.tensor(new[name]), rtol=0, atol=1e-5
            )


if __name__ == "__main__":
    for family in FAMILIES:
        if sys.argv[1:] == ["--check"]:
            check(GOLDEN / family)
        else:
            make(family, GOLDEN / family)
