"""Writes a small model with one encoder for papers and another for queries, like MedCPT, with random weights; and the
vectors that the reference library (transformers) computes with them.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make_two_encoders.py

A paper is a pair of texts, its title and its abstract. Paper number n has the title `n` of texts.json, and the abstract
`(n + 7) % 20`.
"""

import json
import shutil

import make_architectures as small
import make_cross_encoders as cross
import torch
import transformers

NAME = "two_encoders"
# Documents and queries are cut to these lengths.
MAX_LENGTHS = {"document": 512, "query": 64}
SETTINGS = """\
name = "two-encoders"
architecture = "bert"
dimension = 32
max_length = 512
pooling = "cls"
normalize = true
join = "[SEP]"
pair = true
license = "none"

[query_encoder]
folder = "query"
max_length = 64

[hub]
repo = "none/none"
revision = "main"
"""


def vector(network, words, texts: tuple[str, ...], max_length: int) -> list[float]:
    tokens = words(*texts, truncation=True, max_length=max_length, return_tensors="pt")
    with torch.no_grad():
        first = network(**tokens).last_hidden_state[0, 0]
    return [round(value, 6) for value in torch.nn.functional.normalize(first, dim=0).tolist()]


def main() -> None:
    torch.manual_seed(len(NAME))
    out = small.OUT / NAME
    shutil.rmtree(out, ignore_errors=True)
    size = {key: value for key, value in cross.SIZE.items() if key != "num_labels"}
    vectors = {}
    for kind, folder in (("document", out), ("query", out / "query")):
        folder.mkdir()
        words = cross.bert_words(folder)
        (folder / "trained.json").unlink()
        words.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        config = transformers.BertConfig(vocab_size=len(words), **size)
        network = small.randomise(transformers.BertModel(config, add_pooling_layer=False)).eval()
        network.save_pretrained(folder)
        words.save_pretrained(folder)
        titles = small.TEXTS
        texts = [(title, titles[(n + 7) % 20]) if kind == "document" else (title,) for n, title in enumerate(titles)]
        vectors[kind] = [vector(network, words, text, MAX_LENGTHS[kind]) for text in texts]
    (out / "model.toml").write_text(SETTINGS)
    (small.OUT / f"{NAME}.json").write_text(json.dumps({"made_by": small.MADE_BY} | vectors) + "\n")
    print(NAME, sum(file.stat().st_size for file in out.rglob("*") if file.is_file()) // 1024, "KB")


if __name__ == "__main__":
    main()
