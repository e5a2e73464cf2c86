"""Writes a small BERT with random weights and two adapters, like SPECTER2, and the vectors that the package `adapters`
computes with this model.

    python3 -m venv .venv-adapters
    .venv-adapters/bin/pip install torch adapters
    .venv-adapters/bin/python tests/golden/make_adapters.py

This script is separate from make_architectures.py, because `adapters` needs an older version of transformers.
"""

import json
import math
import pathlib
import shutil

import adapters
import torch
import transformers
from tokenizers import Tokenizer

OUT = pathlib.Path(__file__).parent / "small"
TEXTS = json.loads((OUT / "texts.json").read_text())
MAX_LENGTH = 624
# Name of the adapter for each input type.
ADAPTERS = {"paper": "proximity", "query": "adhoc_query"}


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    inner = Tokenizer.from_file(str(OUT / "distilbert" / "tokenizer.json"))
    special_tokens = dict(cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=MAX_LENGTH, **special_tokens)


def network(words: int) -> adapters.BertAdapterModel:
    torch.manual_seed(2)
    config = transformers.BertConfig(
        vocab_size=words, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_position_embeddings=640)
    model = adapters.BertAdapterModel(config)
    for name in ADAPTERS.values():
        # Adapters of the same kind as SPECTER2's: a bottleneck after each feed-forward layer (Pfeiffer et al. 2020).
        model.add_adapter(name, config=adapters.SeqBnConfig(reduction_factor=4))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            is_scale = "LayerNorm.weight" in name
            torch.nn.init.uniform_(parameter, is_scale - 0.4, is_scale + 0.4)
        else:
            torch.nn.init.normal_(parameter, 0, 1.0 if "embeddings" in name else 1.5 / math.sqrt(parameter.shape[1]))
    return model.eval()


def main() -> None:
    folder = OUT / "specter2"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = tokenizer()
    words.save_pretrained(folder)
    model = network(len(words))
    for name in ADAPTERS.values():
        model.save_adapter(str(folder / name), name)
    made = []
    for side, name in ADAPTERS.items():
        model.set_active_adapters(name)
        for text, value in enumerate(TEXTS):
            ids = words(value, truncation=True, max_length=MAX_LENGTH, return_tensors="pt", return_token_type_ids=False)
            with torch.no_grad():
                vector = torch.nn.functional.normalize(model(**ids).last_hidden_state[0, 0], dim=0)
            tokens = ids["input_ids"].shape[1]
            truncated = len(words(value)["input_ids"]) > tokens
            made.append({"side": side, "text": text, "dimensions": None, "tokens": tokens, "truncated": truncated, "vector": [round(float(x), 7) for x in vector]})
    # The base model is saved without adapters, as in the repository of SPECTER2's base model.
    base = transformers.BertModel(model.config, add_pooling_layer=False)
    state = {name.removeprefix("bert."): value for name, value in model.state_dict().items() if name.startswith("bert.") and "adapters" not in name}
    base.load_state_dict(state, strict=False)
    base.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("adapters", None)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    lines = ",\n".join(json.dumps(entry) for entry in made)
    made_by = f"adapters {adapters.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
    (OUT / "specter2.json").write_text(f'{{"made_by": {json.dumps(made_by)}, "entries": [\n{lines}\n]}}\n')
    print(f"specter2: {len(made)} vectors, {made_by}")


if __name__ == "__main__":
    main()
