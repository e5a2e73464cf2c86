"""Writes tests/golden/all-MiniLM-L6-v2.json: the vectors that the reference library (sentence-transformers)
computes for 30 texts.

    python3 -m venv .venv-golden
    .venv-golden/bin/pip install torch sentence-transformers
    .venv-golden/bin/python tests/golden/make.py models/all-MiniLM-L6-v2

sentence-transformers needs a complete model folder, with modules.json and other files. So the script copies the given
folder and adds the missing files, with the settings of model.toml. The values of vectors are rounded to 7 decimal
places: the test requires a cosine of at least 0.99999, and rounding changes the cosine by about 1e-7.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import sentence_transformers
import torch

LONG = (
    "Glaciers in the accumulation zone store refrozen meltwater as ice lenses that block later percolation. "
    "We follow one such aquifer for six seasons with radar, thermistor strings and shallow cores. "
)

TEXTS = [
    "",
    " ",
    ".",
    "a",
    "glacier",
    "Transformers",
    "ANTIDISESTABLISHMENTARIANISM",
    "What is the mass of a neutron star?",
    "graph neural networks for molecules",
    "Attention and memory in sequence models",
    "A survey of low-resource machine translation. We review work on languages with little parallel text.",
    "Émile Borel et la théorie des jeux: une note à propos du minimax",
    "Über die Wärmeleitung in festen Körpern bei tiefen Temperaturen",
    "量子纠错码的阈值定理",
    "シュレーディンガー方程式の数値解法",
    "Оценка сложности задач комбинаторной оптимизации",
    "تعلم الآلة والترجمة",
    "naïve café façade coöperate",
    "🙂 emoji 🚀 and symbols ∑ ∫ ≤ ≠ →",
    "zero\u200bwidth and non\u00a0breaking space",
    "tabs\tand\nnewlines\r\nin   a    text",
    r"We prove that $\zeta(s) \neq 0$ for $\Re(s) > 1 - c/\log|t|$ and bound $\sum_{n \le x} \Lambda(n)$.",
    r"The operator $\hat{H} = -\frac{\hbar^2}{2m}\nabla^2 + V(\mathbf{r})$ is essentially self-adjoint.",
    r"\begin{equation} E = mc^2 \end{equation} \cite{einstein1905}",
    "x" * 300,
    "word " * 253,
    "word " * 254,
    "word " * 255,
    LONG * 12,
    "Number 3.14159, 10^-7, 2021-01-11, https://example.org/a?b=c&d=e, a_b, C++, O(n log n), p < 0.05",
]


def complete(folder: pathlib.Path) -> tempfile.TemporaryDirectory:
    """Returns a copy of a model folder, with the additional files that sentence-transformers needs."""
    copy = tempfile.TemporaryDirectory()
    to = pathlib.Path(copy.name)
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        shutil.copy(folder / name, to / name)
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    (to / "modules.json").write_text(json.dumps(modules))
    (to / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 256, "do_lower_case": False}))
    (to / "1_Pooling").mkdir()
    (to / "2_Normalize").mkdir()
    pooling = {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (to / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (to / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast", "do_lower_case": True}))
    return copy


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    with complete(folder) as path:
        model = sentence_transformers.SentenceTransformer(path, device="cpu")
        assert model.max_seq_length == 256
        # Texts are encoded one at a time, so that the reference library adds no padding.
        vectors = [model.encode(text, convert_to_numpy=True) for text in TEXTS]
        lengths = [len(model.tokenizer(text)["input_ids"]) for text in TEXTS]
    golden = {
        "made_by": f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}",
        "entries": [
            {"text": text, "tokens": min(length, 256), "truncated": length > 256, "vector": [round(float(x), 7) for x in vector]}
            for text, length, vector in zip(TEXTS, lengths, vectors)
        ],
    }
    assert len(TEXTS) == 30
    out = pathlib.Path(__file__).parent / f"{folder.name}.json"
    lines = ",\n".join(json.dumps(entry) for entry in golden["entries"])
    out.write_text(f'{{"made_by": {json.dumps(golden["made_by"])}, "entries": [\n{lines}\n]}}\n')
    print(f"{out}: {len(TEXTS)} texts, {golden['made_by']}")


if __name__ == "__main__":
    main()
