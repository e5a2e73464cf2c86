"""Writes small models with late interaction (ColBERT) with random weights, and the scores that the reference library
(sentence-transformers) computes with each for 200 pairs of texts: those of make_cross_encoders.py.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make_late_interaction.py

There is one folder of each kind: of the library itself, of PyLate, and of Stanford's ColBERT. The library reads the last
two, but writes only the first.
"""

import json
import pathlib
import shutil
import string
import tempfile

import make_architectures as small
import make_cross_encoders as cross
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Normalize

SIZE = {key: value for key, value in cross.SIZE.items() if key != "num_labels"}
OUTPUTS = 16


def bert(words):
    return transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **SIZE), add_pooling_layer=False)


def modernbert(words):
    config = transformers.ModernBertConfig(
        vocab_size=len(words), local_attention=64, global_attn_every_n_layers=2, pad_token_id=words.pad_token_id,
        cls_token_id=words.cls_token_id, sep_token_id=words.sep_token_id, **SIZE)
    return transformers.ModernBertModel(config)


def dense() -> Dense:
    layer = Dense(
        small.WIDTH, OUTPUTS, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings",
        module_output_name="token_embeddings")
    torch.nn.init.normal_(layer.linear.weight, 0, small.WIDTH**-0.5)
    return layer


def library(out: pathlib.Path, folder: pathlib.Path, expansion: dict | None, skiplist_tasks: list[str], similarity: str = "maxsim", **lengths: int) -> None:
    """A folder of the library, with all modules."""
    transformer = Transformer(str(folder), query_expansion=expansion, **lengths)
    mask = MultiVectorMask(skiplist_words=list(string.punctuation), skiplist_tasks=skiplist_tasks)
    modules = [transformer, dense(), mask, Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=modules, prompts={"query": "query: ", "document": "document: "}, device="cpu")
    model.similarity_fn_name = similarity
    model.save_pretrained(str(out), create_model_card=False)


def fixed(out: pathlib.Path, folder: pathlib.Path) -> None:
    library(out, folder, {"strategy": "fixed", "attend": False, "length": 48}, ["document"], document_length=300)


def minimum(out: pathlib.Path, folder: pathlib.Path) -> None:
    library(out, folder, {"strategy": "min", "attend": True, "length": 24}, ["query", "document"], query_length=100)


def unexpanded(out: pathlib.Path, folder: pathlib.Path) -> None:
    library(out, folder, None, [], similarity="meanmaxsim")


def pylate(out: pathlib.Path, folder: pathlib.Path) -> None:
    """A folder of PyLate: its settings are in config_sentence_transformers.json, and the markers are added tokens."""
    library(out, folder, None, [])
    for module in ("2_MultiVectorMask", "3_Normalize"):
        shutil.rmtree(out / module, ignore_errors=True)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    (out / "modules.json").write_text(json.dumps(modules))
    settings = {
        "model_type": "ColBERT", "query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 32, "document_length": 200,
        "attend_to_expansion_tokens": False, "do_query_expansion": True, "prompts": {}, "similarity_fn_name": "MaxSim",
    }
    (out / "config_sentence_transformers.json").write_text(json.dumps(settings))
    sizes = {"in_features": small.WIDTH, "out_features": OUTPUTS, "bias": False}
    sizes["activation_function"] = "torch.nn.modules.linear.Identity"
    (out / "1_Dense/config.json").write_text(json.dumps(sizes))


def stanford(out: pathlib.Path, folder: pathlib.Path) -> None:
    """A folder of Stanford's ColBERT: the dense layer is among the network's weights."""
    shutil.copytree(folder, out)
    weights = {f"bert.{name}": tensor for name, tensor in load_file(out / "model.safetensors").items()}
    weights["linear.weight"] = dense().linear.weight.detach()
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"architectures": ["HF_ColBERT"]}))
    settings = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "query_maxlen": 32, "doc_maxlen": 180}
    settings |= {"dim": OUTPUTS, "mask_punctuation": True, "attend_to_mask_tokens": False}
    (out / "artifact.metadata").write_text(json.dumps(settings))


def stanford_words(folder):
    """A tokenizer whose vocabulary has the markers, which are not special tokens."""
    words = cross.bert_words(folder)
    settings = json.loads(words.backend_tokenizer.to_str())
    vocabulary = settings["model"]["vocab"]
    # The markers replace the last entries.
    for word, (old, index) in zip(["[unused0]", "[unused1]"], sorted(vocabulary.items(), key=lambda entry: -entry[1])):
        del vocabulary[old]
        vocabulary[word] = index
    (folder / "vocabulary.json").write_text(json.dumps(settings))
    special = {name: value for name, value in words.special_tokens_map.items() if isinstance(value, str)}
    special["mask_token"] = "[MASK]" if "[MASK]" in vocabulary else words.unk_token
    changed = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "vocabulary.json"), **special)
    (folder / "vocabulary.json").unlink()
    changed.model_max_length = words.model_max_length
    return changed


def pylate_words(folder):
    """A tokenizer with the markers as added tokens, as PyLate adds them."""
    words = cross.modern_words(folder)
    words.add_tokens(["[Q] ", "[D] "])
    return words


# Keys: names of models. Values: tokenizer, network, the function that writes the folder.
SHAPES = {
    "late_bert": (cross.bert_words, bert, fixed),
    "late_bert_min": (cross.bert_words, bert, minimum),
    "late_modernbert": (cross.modern_words, modernbert, unexpanded),
    "late_pylate": (pylate_words, modernbert, pylate),
    "late_stanford": (stanford_words, bert, stanford),
}


def make(name: str) -> None:
    tokenizer, network, write = SHAPES[name]
    torch.manual_seed(len(name))
    out = small.OUT / name
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        words = tokenizer(folder)
        (folder / "trained.json").unlink(missing_ok=True)
        if words.mask_token is None:
            words.add_special_tokens({"mask_token": "[MASK]"})
        small.randomise(network(words)).save_pretrained(folder)
        words.save_pretrained(folder)
        write(out, folder)
    model = MultiVectorEncoder(str(out), device="cpu")
    queries = [model.encode_query(text) for text in small.TEXTS]
    documents = [model.encode_document(text) for text in small.TEXTS]
    scores = [float(model.similarity([queries[query]], [documents[document]])) for query, document in cross.PAIRS]
    cross.write_scores(name, scores)


def main() -> None:
    for name in SHAPES:
        make(name)


if __name__ == "__main__":
    main()
