"""Writes folders.json: variants of model folders that exist in practice, and the tokens and vectors that the reference
library (sentence-transformers) computes with each variant.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make_folders.py

A variant is a small checkpoint made by make_architectures.py, in which some files were moved, removed or written.
folders.json lists these changes, so that the test can make the same changes in a copy of the checkpoint.
"""

import json
import pathlib
import shutil
import tempfile

import sentence_transformers
import torch
import transformers

OUT = pathlib.Path(__file__).parent / "small"

TEXTS = [
    "Knots and Bees COUNT the Folding of Proteins in WATER, and graphs without short cycles",
    "The <mask> of ΣΟΦΟΣ in İstanbul </s> and [MASK] a knot [SEP] of bees",
    "[mask] <MASK>",
    "Résumé of KNOTS in Ünlü, 学 knots",
    "",
]

NAMES = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
]

TOKENIZER = json.loads((OUT / "distilbert" / "tokenizer_config.json").read_text()) | {"tokenizer_class": "BertTokenizer"}

LOWER = {"do_lower_case": True}


def with_length_file_names() -> dict:
    """Returns one variant for each name that the reference library accepts for the file with the maximum length."""
    return {
        name: {"base": "roberta", "remove": NAMES[:1], "write": {name: {"max_seq_length": 9 + index, **LOWER}}}
        for index, name in enumerate(NAMES)
    }


def in_subfolder(base: str, name: str) -> dict:
    """Returns a variant with the network's files in a subfolder, where older versions of the reference library saved
    these files."""
    files = [path.name for path in (OUT / base).iterdir() if path.is_file()]
    files = [file for file in files if file not in ("modules.json", "config_sentence_transformers.json", *NAMES)]
    modules = json.loads((OUT / base / "modules.json").read_text())
    modules[0] |= {"path": name, "type": "sentence_transformers.models.Transformer"}
    written = {"modules.json": modules, f"{name}/sentence_roberta_config.json": {"max_seq_length": 11}}
    return {"base": base, "move": {file: f"{name}/{file}" for file in sorted(files)}, "remove": NAMES[:1], "write": written}


VARIANTS = with_length_file_names() | {
    "lower case": {"base": "roberta", "write": {NAMES[0]: LOWER}},
    "lower case by a tokenizer that does so itself": {"base": "distilbert", "write": {NAMES[0]: LOWER}},
    "lower case before another normaliser": {"base": "gemma3", "write": {NAMES[0]: LOWER}},
    "an empty file is passed over": {"base": "roberta", "write": {NAMES[0]: {}, NAMES[6]: {"max_seq_length": 10}}},
    "the first of two": {"base": "roberta", "write": {NAMES[1]: {"max_seq_length": 10}, NAMES[2]: {"max_seq_length": 12}}, "remove": NAMES[:1]},
    "a shorter length of the tokenizer": {"base": "roberta", "write": {NAMES[0]: {"max_seq_length": None, **LOWER}}},
    "a cased tokenizer_config": {"base": "distilbert", "write": {"tokenizer_config.json": {**TOKENIZER, "do_lower_case": False}}},
    "accents kept": {"base": "distilbert", "write": {"tokenizer_config.json": {**TOKENIZER, "tokenizer_class": "DistilBertTokenizer", "strip_accents": False}}},
    "a tokenizer of no kind": {
        "base": "distilbert",
        "write": {"tokenizer_config.json": {**TOKENIZER, "tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False}},
    },
    "no tokenizer_config": {"base": "distilbert", "remove": ["tokenizer_config.json"]},
    "0_Transformer": in_subfolder("roberta", "0_Transformer"),
    "0_DistilBERT": in_subfolder("distilbert", "0_DistilBERT"),
}


def write_variant(variant: dict, folder: pathlib.Path) -> None:
    shutil.copytree(OUT / variant["base"], folder)
    for old in variant.get("remove", []):
        (folder / old).unlink()
    for old, new in variant.get("move", {}).items():
        (folder / new).parent.mkdir(exist_ok=True)
        (folder / old).rename(folder / new)
    for name, value in variant.get("write", {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value))


def golden_entries(variant: dict) -> list:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model"
        write_variant(variant, path)
        model = sentence_transformers.SentenceTransformer(str(path), device="cpu")
        entries = []
        for text in TEXTS:
            prompt = (model.prompts or {}).get("document") or ""
            tokens = model.tokenize([prompt + text])["input_ids"][0].tolist()
            vector = model.encode([text], prompt=prompt, normalize_embeddings=True)[0]
            entries.append({"ids": tokens, "vector": [round(float(value), 6) for value in vector]})
        return entries


def main() -> None:
    torch.manual_seed(0)
    made_by = f"sentence-transformers {sentence_transformers.__version__}, transformers {transformers.__version__}"
    folders = [{"name": name, **variant, "entries": golden_entries(variant)} for name, variant in VARIANTS.items()]
    text = json.dumps({"made_by": made_by, "texts": TEXTS, "folders": folders}, ensure_ascii=False, separators=(",", ":"))
    (OUT / "folders.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")


main()
