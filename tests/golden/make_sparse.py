"""Writes small SPLADE models with random weights, and the vectors that the reference library (sentence-transformers)
computes with each for the texts of texts.json. Only the values that are not 0 are written.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make_sparse.py
"""

import json
import pathlib
import shutil
import tempfile

import make_architectures as small
import make_cross_encoders as cross
import torch
import transformers
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

SIZE = {key: value for key, value in cross.SIZE.items() if key != "num_labels"}


def bert(words):
    return transformers.BertForMaskedLM(transformers.BertConfig(vocab_size=len(words), **SIZE))


def distilbert(words):
    config = transformers.DistilBertConfig(
        vocab_size=len(words), dim=small.WIDTH, n_layers=2, n_heads=small.HEADS, hidden_dim=small.INTERMEDIATE,
        max_position_embeddings=small.MAX_POSITIONS)
    return transformers.DistilBertForMaskedLM(config)


def roberta(words):
    config = transformers.RobertaConfig(vocab_size=len(words), type_vocab_size=1, pad_token_id=1, **SIZE)
    return transformers.RobertaForMaskedLM(config)


def modernbert(words):
    config = transformers.ModernBertConfig(
        vocab_size=len(words), local_attention=16, global_attn_every_n_layers=2, pad_token_id=words.pad_token_id,
        cls_token_id=words.cls_token_id, sep_token_id=words.sep_token_id, **SIZE)
    return transformers.ModernBertForMaskedLM(config)


# Keys: names of models. Values: tokenizer, network, pooling, activation function.
SHAPES = {
    "sparse_bert": (cross.bert_words, bert, "max", "relu"),
    "sparse_distilbert": (cross.bert_words, distilbert, "max", "log1p_relu"),
    "sparse_roberta": (cross.roberta_words, roberta, "sum", "relu"),
    "sparse_modernbert": (cross.modern_words, modernbert, "max", "relu"),
}


def make(name: str) -> None:
    tokenizer, network, pooling, activation = SHAPES[name]
    torch.manual_seed(len(name))
    out = small.OUT / name
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        words = tokenizer(folder)
        (folder / "trained.json").unlink()
        network = small.randomise(network(words))
        # Large values in all places would not be sparse.
        bias = network.get_output_embeddings().bias
        bias.data -= 3.0
        network.tie_weights()
        network.save_pretrained(folder)
        words.save_pretrained(folder)
        transformer = Transformer(str(folder), transformer_task="fill-mask")
        model = SparseEncoder(modules=[transformer, SpladePooling(pooling, activation)], device="cpu")
        model.save_pretrained(str(out), create_model_card=False)
    lines = []
    for text in small.TEXTS:
        vector = model.encode_document(text).to_dense()
        values = {str(index): round(float(value), 6) for index, value in enumerate(vector) if value > 0}
        lines.append(json.dumps(values))
    (small.OUT / f"{name}.json").write_text(f'{{"made_by": {json.dumps(small.MADE_BY)}, "vectors": [\n' + ",\n".join(lines) + "\n]}\n")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{name}: {sum(line.count(':') for line in lines) / len(lines):.0f} values per text, {size // 1024} KB", sorted(p.name for p in out.iterdir()))


def main() -> None:
    for name in SHAPES:
        make(name)


if __name__ == "__main__":
    main()
