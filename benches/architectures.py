"""Every architecture beside sentence-transformers, on one checkpoint each, on this CPU.

    make bench-architectures     # installs the peer into .venv-peers, runs, writes benches/results/architectures.md

Measured: papers a second over 64 papers of a dump, for every architecture, on a random checkpoint of six layers of
384 values (all-MiniLM-L6-v2's shape), made by tests/golden/make_architectures.py with a tokenizer trained on papers of
the dump; ours in f32 and in the precision it would pick, by `likewise models --measure`, the peer in f32. And the
smallest cosine between both in f32.

Fair: the same folder, the same texts, cut at 512 tokens, all cores; both are loaded and have encoded something before;
they take turns in every round, medians are shown. Titles count for neither side: these checkpoints have no
`model.toml`, without which a title is read within its text only, and vectors are made with `--title 0`. The run fails
if our f32 vectors are not the peer's. The peer sorts by length and pads batches of 32. Random weights take as long as
trained ones. Not fair: nothing known; but trained models are larger than most of these shapes. JinaBERT has no peer:
the reference library has no such model.

`--tiny` takes 8 papers and the tests' own checkpoints, tests/golden/small, and needs no peer.
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
from checkpoints import recipe
from corpus import papers, spread, text_of, write
from options import ROOT, SAMPLE, has, parse, parser

LENGTH = 512
WITHOUT_PEER = "jina_bert"
# Other names in its files; the same network as nomic_bert.
TWICE = "nomic_bert_hub"
SAME = 0.9999
COLUMNS = ["architecture", "f32, papers/s", "to the peer", "the fastest, papers/s", "to the peer", "sentence-transformers f32", "least cosine, f32"]


class Likewise:
    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, name: str):
        self.binary, self.folder, self.name = binary, folder, name

    def speed(self, precision: str) -> dict:
        """`papers_per_second`, and the `precision` it took."""
        dump = self.folder / "papers.jsonl"
        program.run(self.binary, "models", "--models", self.folder, "--measure", dump, "--precision", precision, self.name)
        return json.loads((self.folder / "speeds.json").read_text())[self.name]

    def vectors(self) -> np.ndarray:
        out = self.folder / f"{self.name}.npy"
        model = ["--models", self.folder, "--model", self.name, "--precision", "f32", "--title", 0]
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


def checkpoints(folder: pathlib.Path, every: list[dict], tiny: bool):
    """Makes one after the other, and says its name."""
    if tiny:
        for source in sorted((ROOT / "tests/golden/small").glob("*/config.json")):
            # SPECTER2's adapters are weights beside a network of BERT's shape, and no architecture.
            if source.parent.name not in (TWICE, "specter2"):
                shutil.copytree(source.parent, folder / source.parent.name)
                yield source.parent.name
        return
    corpus = [text_of(paper) for paper in spread(every, 4000)]
    made = recipe(OUT=folder, CORPUS=corpus, WIDTH=384, HEADS=12, WIDE=1536, DEPTH=6, LONGEST=LENGTH + 16, VOCABULARY=8000)
    for name in [*made.SHAPES, WITHOUT_PEER]:
        if name != TWICE:
            made.make_jina() if name == WITHOUT_PEER else made.built(name)
            yield name


def measured(likewise: Likewise, peer: Peer | None, texts: list[str], rounds: int) -> list[str]:
    """A row of the table."""
    least = "–"
    if peer:
        cosine = float((peer.encode(texts) * likewise.vectors()).sum(1).min())
        assert cosine > SAME, f"{likewise.name}: our f32 vectors are not the peer's, cosine {cosine:.5f}"
        least = f"{cosine:.7f}"
    else:
        assert np.allclose(np.linalg.norm(likewise.vectors(), axis=1), 1, atol=1e-4), likewise.name
    rates: dict[str, list[float]] = {"f32": [], "auto": [], "peer": []}
    for _ in range(rounds):
        for precision in ("f32", "auto"):
            speed = likewise.speed(precision)
            rates[precision].append(speed["papers_per_second"])
        if peer:
            rates["peer"].append(peer.rate(texts))
    median = {key: statistics.median(value) for key, value in rates.items() if value}
    beside = {key: f"{median[key] / median['peer']:.2f}×" if peer else "–" for key in ("f32", "auto")}
    fastest = f"{speed['precision']} {median['auto']:.1f}"
    theirs = f"{median['peer']:.1f}" if peer else "none"
    return [likewise.name, f"{median['f32']:.1f}", beside["f32"], fastest, beside["auto"], theirs, least]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--dump", default=str(SAMPLE))
    made.add_argument("--papers", type=int, default=64)
    made.add_argument("--rounds", type=int, default=3)
    options = parse(made, papers=8, rounds=1)
    with_peer = has("sentence-transformers", "torch", "sentence_transformers", tiny=options.tiny)
    every = papers(options.dump)
    chosen = spread(every, options.papers)
    texts, rows = [text_of(paper) for paper in chosen], []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder / "papers.jsonl", chosen)
        for name in checkpoints(folder, every, options.tiny):
            peer = Peer(folder / name) if with_peer and name != WITHOUT_PEER else None
            rows.append(measured(Likewise(options.likewise, folder, name), peer, texts, options.rounds))
            print(" | ".join(rows[-1]), flush=True)
    shape = "the tests' checkpoints" if options.tiny else "random checkpoints of 6 layers of 384"
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = (
        f"{results.today()}, {results.machine()}; {len(texts)} papers of {pathlib.Path(options.dump).name}, {shape}, "
        f"{options.rounds} interleaved rounds, medians. {used}."
    )
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    results.report(options, "architectures", "Every architecture beside sentence-transformers", "make bench-architectures", "architectures.py", text)


if __name__ == "__main__":
    main()
