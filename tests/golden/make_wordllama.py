"""Writes the vectors that the Python package wordllama computes with its own table (256 values) for the texts of
small/texts.json, to tests/golden/wordllama-256.json.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install wordllama
    .venv-golden/bin/python tests/golden/make_wordllama.py
"""

import importlib.metadata
import json
import pathlib

import safetensors.numpy
import wordllama
from wordllama.inference import WordLlamaInference

HERE = pathlib.Path(__file__).parent


def model() -> WordLlamaInference:
    # Not `WordLlama.load`, which looks for the tokenizer on the model hub, although the package contains it.
    package = pathlib.Path(wordllama.__file__).parent
    tokenizer = wordllama.WordLlama.load_tokenizer(package / "tokenizers/l2_supercat_tokenizer_config.json")
    table = safetensors.numpy.load_file(package / "weights/l2_supercat_256.safetensors")["embedding.weight"]
    return WordLlamaInference(table, tokenizer)


def main() -> None:
    texts = json.loads((HERE / "small/texts.json").read_text())
    vectors = model().embed(texts, norm=True)
    made_by = f"wordllama {importlib.metadata.version('wordllama')}"
    lines = ",\n".join(json.dumps([round(float(value), 6) for value in vector]) for vector in vectors)
    (HERE / "wordllama-256.json").write_text(f'{{"made_by": {json.dumps(made_by)}, "vectors": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
