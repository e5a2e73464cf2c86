"""Writes a LoRA adapter with random weights for a small checkpoint of make_architectures.py, and the vectors that the
reference libraries (peft, sentence-transformers) compute with the two.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers peft
    .venv-golden/bin/python tests/golden/make_lora.py
"""

import json
import shutil
import tempfile

import make_architectures as small
import peft
import torch
from sentence_transformers import SentenceTransformer

NAME, BASE = "lora", "roberta"


def main() -> None:
    torch.manual_seed(len(NAME))
    out = small.OUT / NAME
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    model = SentenceTransformer(str(small.OUT / BASE), device="cpu")
    settings = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["query", "value", "dense"], use_rslora=True, lora_dropout=0)
    adapted = peft.get_peft_model(model[0].model, settings)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, 0, 0.3)
    plain = [embed(model, text) for text in small.TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder)
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            shutil.copy(f"{folder}/{file}", out / file)
    config = json.loads((out / "adapter_config.json").read_text())
    (out / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": BASE}, indent=2) + "\n")
    with adapted.disable_adapter():
        differences = [1 - sum(a * b for a, b in zip(embed(model, text), vector)) for text, vector in zip(small.TEXTS, plain)]
    (small.OUT / f"{NAME}.json").write_text(json.dumps({"made_by": small.MADE_BY, "vectors": plain}) + "\n")
    print(f"1 - cosine with and without the adapter: {min(differences):.3f} to {max(differences):.3f}")


def embed(model: SentenceTransformer, text: str) -> list[float]:
    return [round(float(value), 6) for value in model.encode(text, normalize_embeddings=True)]


if __name__ == "__main__":
    main()
