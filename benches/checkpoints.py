"""Makes random checkpoints of every architecture. They are as fast as trained checkpoints, and need no download."""

import importlib.util
import json
import pathlib
from types import ModuleType

from options import ROOT

MINI_LM = ROOT / "models/all-MiniLM-L6-v2"


def golden_script(name: str) -> ModuleType:
    """A script that makes the tests' models or golden values, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tests/golden/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkpoint_maker(**settings: object) -> ModuleType:
    """The module that makes the tests' checkpoints, with other values for its settings."""
    module = golden_script("make_architectures")
    for name, value in settings.items():
        setattr(module, name, value)
    return module


def mini_lm(folder: pathlib.Path, head: str, **config: object) -> None:
    """Writes a random network of the shape of all-MiniLM-L6-v2 (6 layers of 384 values), with its tokenizer. `head` is the
    name of a class of transformers."""
    import torch
    import transformers

    torch.manual_seed(1)
    config = json.loads((MINI_LM / "config.json").read_text()) | {"max_position_embeddings": 512, **config}
    config = transformers.BertConfig(**{key: value for key, value in config.items() if key != "architectures"})
    network = getattr(transformers, head)(config).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0, 1.2 / parameter.shape[1] ** 0.5)
    network.save_pretrained(folder)
    tokenizer = json.loads((MINI_LM / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"truncation": None, "padding": None}))
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 512, "do_lower_case": True, "pad_token": "[PAD]"}
    settings |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
