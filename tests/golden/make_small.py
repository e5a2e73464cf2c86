"""Writes tests/golden/small-bert, a small BERT with random weights, and small-bert.json, the vectors that the reference
library (sentence-transformers) computes with this BERT for 8 texts.

    .venv-golden/bin/python tests/golden/make_small.py

The model differs from all-MiniLM-L6-v2 in every property in which two BERT models can differ: it has a cased
vocabulary, CLS pooling, the tanh GELU, another head size, a hidden size that does not fill whole SIMD registers, a
short maximum length, and no normalising module. The weights are random, so the vectors have no meaning.
"""

import json
import pathlib
import shutil
import tempfile

import sentence_transformers
import torch
import transformers
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import BertWordPieceTokenizer
from tokenizers.processors import BertProcessing

MAX_LENGTH = 24

TEXTS = [
    "a",
    "Glaciers melt",
    "glaciers melt",
    "Why do bees find flowers? Nobody knows.",
    "Ålesund: naïve café, 3.14 \u2264 x",
    "unknown \U0001f642 words qqq",
    "one two three four five six seven eight nine ten " * 4,
    " ",
]


def tokenizer(folder: pathlib.Path) -> transformers.PreTrainedTokenizerFast:
    """Returns a WordPiece tokenizer that is trained on TEXTS and keeps case and accents."""
    trained = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    trained.train_from_iterator(TEXTS, vocab_size=150, min_frequency=1, show_progress=False)
    trained.post_processor = BertProcessing(("[SEP]", trained.token_to_id("[SEP]")), ("[CLS]", trained.token_to_id("[CLS]")))
    trained.save(str(folder / "trained.json"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "trained.json"),
        unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]",
    )


def model(folder: pathlib.Path) -> sentence_transformers.SentenceTransformer:
    """Returns the model. Its network and tokenizer are first saved in `folder` by transformers."""
    words = tokenizer(folder)
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=36, num_hidden_layers=2, num_attention_heads=3, intermediate_size=50,
        max_position_embeddings=40, hidden_act="gelu_new", layer_norm_eps=1e-6, initializer_range=0.4,
    )
    bert = transformers.BertModel(config)
    # By default, norm weights are 1 and biases are 0. Random values also show errors in reading norms and biases.
    for name, parameter in bert.named_parameters():
        if parameter.dim() == 1:
            mean = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            torch.nn.init.uniform_(parameter, mean - 0.4, mean + 0.4)
    bert.save_pretrained(folder)
    words.save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=MAX_LENGTH)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    return sentence_transformers.SentenceTransformer(modules=[transformer, pooling], device="cpu").eval()


def main() -> None:
    out = pathlib.Path(__file__).parent / "small-bert"
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        reference = model(pathlib.Path(folder))
        reference.save(str(out), create_model_card=False)
    vectors = [reference.encode(text, convert_to_numpy=True, normalize_embeddings=True) for text in TEXTS]
    lengths = [len(reference.tokenizer(text)["input_ids"]) for text in TEXTS]
    entries = [
        {"text": text, "tokens": min(length, MAX_LENGTH), "truncated": length > MAX_LENGTH, "vector": [round(float(x), 7) for x in vector]}
        for text, length, vector in zip(TEXTS, lengths, vectors)
    ]
    made_by = f"sentence-transformers {sentence_transformers.__version__}, transformers {transformers.__version__}"
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    (out.parent / "small-bert.json").write_text(f'{{"made_by": {json.dumps(made_by)}, "entries": [\n{lines}\n]}}\n')
    print(f"{out}: {len(TEXTS)} texts, {made_by}")


if __name__ == "__main__":
    main()
