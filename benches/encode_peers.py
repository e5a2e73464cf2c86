"""Compares the encoder with other encoders (its peers) in one interleaved run: throughput, latency, memory, fidelity.

    make bench-encode                       # installs the peers into .venv-peers, runs, writes benches/results/encode.md
    .venv-peers/bin/python benches/encode_peers.py --dump FILE --count 500 --rounds 3 --fidelity 5000

Measured:

a) Papers per second over COUNT papers of a dump, evenly spread, from text to vectors.
b) The median time for one text of 200 tokens, and for one text of 10 tokens.
c) Resident memory after (a).
d) Mean and minimum cosine to the f32 vectors of sentence-transformers, and the overlap of the ten nearest papers among
   the papers of (a).
e) With --fidelity N: the values of (d) for likewise over N papers.
f) The rate of oneDNN's matrix multiplication at this model's shapes, measured with torch, and the share of this limit
   that each engine reaches.

Fair: all encoders encode the same texts, `title. abstract`, truncated to 256 tokens, on all cores. The peers do not
encode titles separately, so likewise runs with `--title 0`; by default it also encodes the title, with a weight
of 15 %. The run fails if likewise's f32 vectors differ from the f32 vectors of sentence-transformers. Every encoder is
a process of its own that waits while another encoder works. The encoders take turns in every round, and the results are
medians. Every peer sorts texts by length, and has the best of the batch sizes that we tried.

Favours the peers: likewise is measured as a whole process, `likewise embed`, with start, reading, tokenising and
writing, and the latency of likewise is measured at its server, HTTP included. The peers are already loaded and called in process.
Unfair to the peers: no peer is tuned for this machine beyond the peer's own hints. OpenVINO's int8 is calibrated by
NNCF on 128 other papers of the dump.

`--tiny` uses 12 papers and the peers that are installed. If sentence-transformers is not installed, the cosines are
relative to likewise's f32 vectors. A tiny run also compares likewise's vectors with the vectors in tests/golden, to
check that titles are encoded in the same way.
"""

import json
import pathlib
import statistics
import tempfile

import numpy as np

import encoders
import results
from corpus import is_plain, papers, spread, text_of
from encoders import PRECISIONS, Batched, Process, median_seconds, unit
from options import ROOT, SAMPLE, has, parse, parser
from program import version

REFERENCE = "sentence-transformers f32"
CALIBRATION_PAPERS = 128
PACKAGES = ("torch", "sentence-transformers", "onnxruntime", "openvino", "nncf")
COLUMNS = ["engine", "papers/s", "likewise speedup", "share of limit", "200 tokens, ms", "10 tokens, ms", "MB", "cosine to f32, mean", "cosine to f32, min", "overlap of top 10"]  # fmt: skip
# If the cosine of likewise's f32 vectors to the peer's is below this, the two do not encode the same texts.
MIN_COSINE = 0.9999


def limits() -> dict[str, float]:
    """The best rate of oneDNN's matrix multiplication at this model's shapes in Gop/s, measured with torch."""
    import torch

    rates = {}
    for name in PRECISIONS:
        x, w = torch.randn(1024, 384), torch.randn(1536, 384)
        multiply = torch.nn.functional.linear
        if name == "bf16":
            x, w = x.bfloat16(), w.bfloat16()
        if name == "int8":
            x = (x * 20 + 128).to(torch.uint8)
            w = torch.ops.onednn.qlinear_prepack((w * 20).to(torch.int8), list(x.shape))
            scales, zeros = torch.ones(1536), torch.zeros(1536, dtype=torch.long)
            quantised = torch.ops.onednn.qlinear_pointwise
            multiply = lambda x, w: quantised(x, 0.1, 0, w, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")  # noqa: E731
        with torch.inference_mode():
            seconds = min(median_seconds(lambda: multiply(x, w), 30) for _ in range(5))
        rates[name] = 2 * 1024 * 384 * 1536 / seconds / 1e9
    return rates


def operations(texts: list[str]) -> float:
    """The mean number of multiplications and additions per text, in billions, for six layers of width 384."""
    tokens = [int(count) for _, inputs in Batched().batches(texts) for count in inputs["attention_mask"].sum(1)]
    return statistics.mean(6 * (24 * 384**2 * count + 4 * 384 * count**2) for count in tokens) / 1e9


def nearest(vectors: np.ndarray) -> np.ndarray:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :10]


def fidelity(truth: np.ndarray, vectors: np.ndarray) -> list[str]:
    """Three cells: mean and minimum cosine, and the mean overlap of the ten nearest."""
    cosines = (vectors * truth).sum(1)
    pairs = zip(nearest(truth), nearest(vectors))
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
    return [f"{cosines.mean():.5f}", f"{cosines.min():.5f}", f"{overlap:.4f}"]


def check_same_texts(truth: np.ndarray, vectors: np.ndarray) -> None:
    cosine = float((vectors * truth).sum(1).min())
    assert cosine > MIN_COSINE, f"likewise's f32 vectors differ from the peer's (cosine {cosine:.5f}): are the texts different, or titles encoded twice?"


def check_golden(binary: pathlib.Path) -> None:
    """Compares likewise's vectors with those that sentence-transformers computed for tests/golden, for the texts that
    consist of a title and an abstract."""
    entries = json.loads((ROOT / "tests/golden/all-MiniLM-L6-v2.json").read_text())["entries"]
    split_texts = [(*entry["text"].strip().split(". ", 1), entry["vector"]) for entry in entries if ". " in entry["text"] and is_plain(entry["text"])]
    papers = [{"id": f"g{index}", "title": title, "abstract": rest} for index, (title, rest, _) in enumerate(split_texts)]
    vectors = encoders.Likewise("f32", binary, papers).encode([])
    check_same_texts(unit(np.array([vector for _, _, vector in split_texts])), vectors)
    print(f"likewise's f32 vectors equal those of tests/golden for {len(papers)} papers", flush=True)


def compare(texts: list[str], options, engines: dict[str, tuple]) -> str:
    """The table of all engines."""
    running = {name: Process(*engine) for name, engine in engines.items()}
    seconds, vectors = {name: [] for name in running}, {}
    for _ in range(options.rounds):
        for name, engine in running.items():
            elapsed, vectors[name] = engine.call("encode", texts)
            seconds[name].append(elapsed)
    memory = {name: engine.call("memory")[1] for name, engine in running.items()}
    latencies = {name: engine.call("latencies", options.repeats)[1] for name, engine in running.items()}
    for engine in running.values():
        engine.close()
    speed = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    reference = REFERENCE if REFERENCE in engines else "likewise f32"
    check_same_texts(vectors[reference], vectors["likewise f32"])
    rates, gop, notes = {}, 0.0, []
    if has("the limit", "torch", "tokenizers", tiny=options.tiny):
        rates, gop = limits(), operations(texts)
        limit = "; ".join(f"{rate:.0f} Gop/s in {name}, which is {rate / gop:.0f} papers/s" for name, rate in rates.items())
        notes = [f"One text needs {gop:.2f} Gop. Rates of oneDNN's matrix multiplication: {limit}.", ""]
    rows = []
    for name, engine in running.items():
        speedup, (long, short) = speed[f"likewise {engine.precision}"] / speed[name], latencies[name]
        share = f"{speed[name] * gop / rates[engine.precision]:.0%}" if rates else "–"
        row = [name, f"{speed[name]:.1f}", f"{speedup:.2f}×", share, f"{long:.1f}", f"{short:.2f}", f"{memory[name]:.0f}"]
        rows.append(row + fidelity(vectors[reference], vectors[name]))
    return "\n".join([*notes, results.table(COLUMNS, rows)])


def compare_fidelity(corpus: list[dict], engines: dict[str, tuple]) -> str:
    """The table of likewise's fidelity over many papers."""
    texts, vectors = [text_of(paper) for paper in corpus], {}
    reference = REFERENCE if REFERENCE in engines else "likewise f32"
    names = [reference, *(f"likewise {precision}" for precision in PRECISIONS)]
    for name in dict.fromkeys(names):
        engine = Process(*engines[name])
        vectors[name] = engine.call("encode", texts)[1]
        engine.close()
    check_same_texts(vectors[reference], vectors["likewise f32"])
    rows = [[name, *fidelity(vectors[reference], vectors[name])] for name in names[1:]]
    return f"Over {len(texts)} papers:\n\n" + results.table(["engine", "cosine to f32, mean", "cosine to f32, min", "overlap of top 10"], rows)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--count", type=int, default=500)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--repeats", type=int, default=30, help="number of measurements of each latency")
    arguments.add_argument("--fidelity", type=int, default=0)
    arguments.add_argument("--only", nargs="*", help="only the peers whose names begin with one of these, and sentence-transformers f32")
    options = parse(arguments, count=12, rounds=1, repeats=2, fidelity=12)
    if options.tiny:
        check_golden(options.likewise)
    every = papers(options.dump)
    corpus = spread(every, options.count)
    used = {paper["id"] for paper in corpus}
    calibration_papers = spread([paper for paper in every if paper["id"] not in used], CALIBRATION_PAPERS)
    with tempfile.TemporaryDirectory() as folder:
        peers = encoders.peers(pathlib.Path(folder), calibration_papers, options.tiny)
        if options.only is not None:
            peers = {name: engine for name, engine in peers.items() if name.startswith((REFERENCE, *options.only))}
        engines = peers | encoders.likewise_encoders(options.likewise, corpus)
        parts = [compare([text_of(paper) for paper in corpus], options, engines)]
        if options.fidelity:
            more = spread(every, options.fidelity)
            parts.append(compare_fidelity(more, peers | encoders.likewise_encoders(options.likewise, more)))
    head = (
        f"{results.today()}, {results.machine()}; {len(corpus)} papers of {pathlib.Path(options.dump).name}, {options.rounds} interleaved "
        f"rounds, medians; likewise with `--title 0`. {', '.join(filter(None, [version(options.likewise), results.versions(*PACKAGES)]))}."
    )
    results.report(options, "encode", "The encoder compared with its peers", "make bench-encode", "encode_peers.py", "\n\n".join([head, *parts]))


if __name__ == "__main__":
    main()
