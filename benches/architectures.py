"""Every architecture beside sentence-transformers, on one checkpoint each, on this CPU.

    make bench-architectures            # installs the peer into .venv-peers, runs, writes benches/RESULTS.md

Measured: papers a second over 64 papers of a dump, for every architecture, on a random checkpoint of six layers of
384 values (all-MiniLM-L6-v2's shape), made by tests/golden/make_architectures.py with a tokenizer trained on papers of
the dump; ours in f32 and in the precision it would pick, by `likewise models --measure`, the peer in f32. And the
smallest cosine between both in f32.

Fair: the same folder, the same texts, cut at 512 tokens, all cores; both are loaded and have encoded something before;
they take turns in every round, medians are shown. The peer sorts by length and pads batches of 32. Random weights take
as long as trained ones. Unfair to nobody that is known; trained models are larger than most of these shapes. JinaBERT
has no peer: the reference library has no such model.
"""

import argparse
import json
import os
import pathlib
import shutil
import string
import statistics
import subprocess
import time

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

import results
from checkpoints import ROOT, papers, recipe, text_of, write

PROGRAM = ROOT / "target/release/likewise"
PAPERS = 64
LENGTH = 512


def ours(folder: pathlib.Path, dump: pathlib.Path, name: str, precision: str) -> float:
    """Papers a second."""
    command = [PROGRAM, "models", "--models", folder, "--measure", dump, "--precision", precision, name]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads((folder / "speeds.json").read_text())[name]["papers_per_second"]


def vectors(folder: pathlib.Path, dump: pathlib.Path, name: str, out: pathlib.Path) -> np.ndarray:
    command = [PROGRAM, "embed", dump, "--models", folder, "--model", name, "--precision", "f32", "--out", out]
    subprocess.run(command, check=True, capture_output=True)
    return np.load(out)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--dump", required=True)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--results")
    arguments = arguments.parse_args()
    torch.set_num_threads(os.cpu_count())
    folder = ROOT / "target/bench/architectures"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    every = papers(arguments.dump)
    # Nothing that our reader would rewrite: the texts are to be the same.
    plain = set(string.ascii_letters + string.digits + " .,;:()-/?'")
    some = every[:: max(1, len(every) // (8 * PAPERS))]
    chosen = [paper for paper in some if set(paper["title"] + paper["abstract"]) <= plain and "--" not in paper["abstract"]][:PAPERS]
    dump = folder / "papers.jsonl"
    write(dump, chosen)
    texts = [text_of(paper) for paper in chosen]
    corpus = [text_of(paper) for paper in every[:: max(1, len(every) // 4000)]]
    made = recipe(OUT=folder, CORPUS=corpus, WIDTH=384, HEADS=12, WIDE=1536, DEPTH=6, LONGEST=LENGTH + 16, VOCABULARY=8000)
    rows = []
    for name in [*made.SHAPES, "jina_bert"]:
        if name == "nomic_bert_hub":
            continue
        made.make_jina() if name == "jina_bert" else made.built(name)
        peer = None if name == "jina_bert" else SentenceTransformer(str(folder / name), device="cpu")
        rates: dict[str, list[float]] = {"f32": [], "auto": [], "peer": []}
        least = None
        if peer:
            wanted = peer.encode_document(texts, normalize_embeddings=True)
            got = vectors(folder, dump, name, folder / "vectors.npy")
            least = float((wanted * got).sum(1).min())
        for _ in range(arguments.rounds):
            for precision in ("f32", "auto"):
                rates[precision].append(ours(folder, dump, name, precision))
            if peer:
                started = time.perf_counter()
                peer.encode_document(texts, batch_size=32, normalize_embeddings=True)
                rates["peer"].append(len(texts) / (time.perf_counter() - started))
        median = {key: statistics.median(value) for key, value in rates.items() if value}
        on = json.loads((folder / "speeds.json").read_text())[name]["precision"]
        beside = lambda key: f"{median[key] / median['peer']:.2f}×" if peer else "-"  # noqa: E731
        peers = f"{median['peer']:.1f}" if peer else "none"
        cosine = f"{least:.7f}" if peer else "-"
        rows.append([name, f"{median['f32']:.1f}", beside("f32"), f"{on} {median['auto']:.1f}", beside("auto"), peers, cosine])
        print(" | ".join(rows[-1]), flush=True)
    import sentence_transformers

    columns = ["architecture", "f32, papers/s", "to the peer", "the fastest, papers/s", "to the peer", "sentence-transformers f32", "least cosine, f32"]
    text = (
        "`make bench-architectures`; how, and what is fair: benches/architectures.py.\n\n"
        f"{results.today()}, {results.machine()}; {len(texts)} papers of {pathlib.Path(arguments.dump).name}, random checkpoints of 6 layers of "
        f"384, {arguments.rounds} interleaved rounds, medians. torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}.\n\n"
        + results.table(columns, rows)
    )
    if arguments.results:
        results.write_section(arguments.results, "Every architecture beside sentence-transformers", text)


if __name__ == "__main__":
    main()
