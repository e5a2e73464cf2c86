"""Compares likewise with sentence-transformers on the CPU, for each model architecture, with one random checkpoint each.

    make bench-architectures     # installs the peer into .venv-peers, runs, writes benches/results/architectures.md
    .venv-peers/bin/python -B benches/architectures.py --shape base --papers 24 --only roberta modernbert
    .venv-peers/bin/python -B benches/architectures.py --shape base --length 2048 --papers 8 --only modernbert

Measured: papers per second over 64 papers of a dump, on checkpoints of six layers of 384 values (all-MiniLM-L6-v2's
shape; `--shape base` and `--shape large` have the widths of BERT-base and BERT-large), made by
tests/golden/make_architectures.py with tokenizers trained on papers of the dump. likewise runs in f32, bf16 and int8
(T5 and DeBERTa in f32 only), with `likewise models --measure`; the peer (sentence-transformers) runs in f32. Also
measured: the minimum cosine between the f32 vectors of likewise and of the peer, and the cosines of likewise's other
vectors to its f32 vectors. The ratio to the peer is that of the precision which `auto` chooses.

Fair: both use the same folder, the same texts, truncated to 512 tokens or `--length` tokens, and all cores. Both are
loaded and have encoded texts before the measurement. They take turns in every round, and the results are medians.
Titles are not encoded separately: these checkpoints have no `model.toml`, and vectors are made with `--title 0`. The
run fails if likewise's f32 vectors differ from the peer's f32 vectors. The peer sorts texts by length and pads batches
of 32. Random weights are as fast as trained weights. No unfairness is known. With a `--length` above 512, the abstract
of a paper is followed by the abstracts of other papers until the text has that many words, so every text is truncated.
JinaBERT is measured without a peer, because sentence-transformers lacks it.

`--tiny` uses 8 papers and the checkpoints of the tests in tests/golden/small, and does not need the peer.
"""

import json
import os
import pathlib
import shutil
import statistics
import tempfile
import time

import numpy as np

import program
import results
from checkpoints import checkpoint_maker
from corpus import papers, spread, text_of, write
from options import ROOT, SAMPLE, has, parse, parser

LENGTH = 512
# Width, attention heads and width of the feed-forward block. All checkpoints have six layers.
SHAPES = {"small": (384, 12, 1536), "base": (768, 12, 3072), "large": (1024, 16, 4096)}
WITHOUT_PEER = "jina_bert"
# This checkpoint has the network of nomic_bert. Only the names in the checkpoint's files differ.
DUPLICATE = "nomic_bert_hub"
# Checkpoints of the tests that are a BERT with adapters or with a second set of weights, and no architecture of their own.
SAME_NETWORK = ("specter2", "lora", "two_encoders")
# Checkpoints of the tests whose names start so are cross-encoders, models with late interaction, and sparse models.
# They compute no dense vector per paper, and `likewise embed --model` refuses them.
NOT_DENSE = ("cross_", "late_", "sparse_")
# likewise computes these architectures in f32 only, and refuses other precisions.
F32_ONLY = ("t5", "deberta_v2", "static", "model2vec")
MIN_COSINE = 0.9999
LOWER_PRECISIONS = ("bf16", "int8")
COLUMNS = [
    "architecture", "f32, papers/s", "bf16, papers/s", "int8, papers/s", "auto", "ratio of auto to peer",
    "sentence-transformers f32, papers/s", "f32: least cosine to peer", "bf16: mean and least cosine to f32", "int8: mean and least cosine to f32",
]  # fmt: skip


class Likewise:
    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, name: str):
        self.binary, self.folder, self.name = binary, folder, name

    def speed(self, precision: str) -> dict:
        """An object with `papers_per_second` and the `precision` that was used."""
        dump = self.folder / "papers.jsonl"
        program.run(self.binary, "models", "--models", self.folder, "--measure", dump, "--precision", precision, self.name)
        return json.loads((self.folder / "speeds.json").read_text())[self.name]

    def vectors(self, precision: str) -> np.ndarray:
        out = self.folder / f"{self.name}.npy"
        model = ["--models", self.folder, "--model", self.name, "--precision", precision, "--title", 0]
        program.run(self.binary, "embed", self.folder / "papers.jsonl", *model, "--out", out)
        return np.load(out)


class Peer:
    def __init__(self, folder: pathlib.Path):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(os.cpu_count())
        self.model = SentenceTransformer(str(folder), device="cpu")

    def encode(self, texts: list[str]) -> np.ndarray:
        return self.model.encode_document(texts, batch_size=32, normalize_embeddings=True)

    def rate(self, texts: list[str]) -> float:
        started = time.perf_counter()
        self.encode(texts)
        return len(texts) / (time.perf_counter() - started)


def lengthened(chosen: list[dict], every: list[dict], words: int) -> list[dict]:
    """The papers, each with the abstracts of the papers that follow it in the dump, until it has enough words."""
    long = []
    for number, paper in enumerate(chosen):
        parts, at = [paper["abstract"]], number * len(every) // len(chosen)
        while sum(len(part.split()) for part in parts) < words:
            at = (at + 1) % len(every)
            parts.append(every[at]["abstract"])
        long.append({**paper, "abstract": " ".join(parts)})
    return long


def checkpoints(folder: pathlib.Path, every: list[dict], options):
    """Makes one checkpoint after the other, and yields the name of each checkpoint."""
    if options.tiny:
        for source in sorted((ROOT / "tests/golden/small").glob("*/config.json")):
            if source.parent.name not in (DUPLICATE, *SAME_NETWORK) and not source.parent.name.startswith(NOT_DENSE):
                shutil.copytree(source.parent, folder / source.parent.name)
                yield source.parent.name
        return
    corpus = [text_of(paper) for paper in spread(every, 4000)]
    width, heads, intermediate = SHAPES[options.shape]
    settings = dict(WIDTH=width, HEADS=heads, INTERMEDIATE=intermediate, DEPTH=6, VOCABULARY=8000)
    maker = checkpoint_maker(OUT=folder, CORPUS=corpus, MAX_POSITIONS=options.length + 16, **settings)
    for name in [*maker.SHAPES, WITHOUT_PEER]:
        if name != DUPLICATE and (not options.only or name in options.only):
            maker.make_jina() if name == WITHOUT_PEER else maker.build(name)
            yield name


def shown(rate: float) -> str:
    return f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"


def cosines(vectors: np.ndarray, f32: np.ndarray) -> str:
    cosine = (vectors * f32).sum(1)
    return f"{cosine.mean():.5f}, {cosine.min():.5f}"


def measure(likewise: Likewise, peer: Peer | None, texts: list[str], rounds: int) -> list[str]:
    """A row of the table."""
    precisions = ("f32",) if likewise.name in F32_ONLY else ("f32", *LOWER_PRECISIONS)
    vectors = {precision: likewise.vectors(precision) for precision in precisions}
    min_cosine = "–"
    if peer:
        cosine = float((peer.encode(texts) * vectors["f32"]).sum(1).min())
        assert cosine > MIN_COSINE, f"{likewise.name}: likewise's f32 vectors differ from the peer's, cosine {cosine:.5f}"
        min_cosine = f"{cosine:.7f}"
    else:
        assert np.allclose(np.linalg.norm(vectors["f32"], axis=1), 1, atol=1e-4), likewise.name
    auto = likewise.speed("auto")["precision"]
    rates: dict[str, list[float]] = {name: [] for name in (*precisions, "peer")}
    for _ in range(rounds):
        for precision in precisions:
            rates[precision].append(likewise.speed(precision)["papers_per_second"])
        if peer:
            rates["peer"].append(peer.rate(texts))
    median = {key: statistics.median(value) for key, value in rates.items() if value}
    ratio = f"{median[auto] / median['peer']:.2f}×" if peer else "–"
    peer_rate = shown(median["peer"]) if peer else "none"
    bf16, int8 = (shown(median[lower]) if lower in median else "–" for lower in LOWER_PRECISIONS)
    of_bf16, of_int8 = (cosines(vectors[lower], vectors["f32"]) if lower in vectors else "–" for lower in LOWER_PRECISIONS)
    return [likewise.name, shown(median["f32"]), bf16, int8, auto, ratio, peer_rate, min_cosine, of_bf16, of_int8]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--papers", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--shape", choices=SHAPES, default="small")
    arguments.add_argument("--length", type=int, default=LENGTH, help="maximum number of tokens of a text")
    arguments.add_argument("--only", nargs="*", help="only these architectures")
    options = parse(arguments, papers=8, rounds=1)
    with_peer = has("sentence-transformers", "torch", "sentence_transformers", tiny=options.tiny)
    every = papers(options.dump)
    chosen = spread(every, options.papers)
    if options.length > LENGTH:
        chosen = lengthened(chosen, every, options.length)
    texts, rows = [text_of(paper) for paper in chosen], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder / "papers.jsonl", chosen)
        for name in checkpoints(folder, every, options):
            peer = Peer(folder / name) if with_peer and name != WITHOUT_PEER else None
            rows.append(measure(Likewise(options.likewise, folder, name), peer, texts, options.rounds))
            print(" | ".join(rows[-1]), flush=True)
    shape = "the checkpoints of the tests" if options.tiny else f"random checkpoints of 6 layers of {SHAPES[options.shape][0]}"
    section = results.cpu_class()
    if options.shape != "small":
        section += f", BERT-{options.shape} width"
    if options.length != LENGTH:
        shape, section = f"{shape}, texts of {options.length} tokens", f"{section}, {options.length} tokens"
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = (
        f"{results.today()}, {results.machine()}; {len(texts)} papers of {pathlib.Path(options.dump).name}, {shape}, "
        f"{options.rounds} interleaved rounds, medians. {used}."
    )
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    results.report(options, "architectures", "Every architecture compared with sentence-transformers", "make bench-architectures", "architectures.py", text, section)


if __name__ == "__main__":
    main()
