"""The encoder beside its peers, in one interleaved run: papers a second, latency, memory, fidelity.

    make bench-encode                       # installs the peers into .venv-peers, runs, writes benches/results/encode.md
    .venv-peers/bin/python benches/encode_peers.py --dump FILE --count 500 --rounds 3 --fidelity 5000

Measured: (a) papers a second over COUNT papers of a dump, evenly spread, from text to vectors; (b) the
median time of one text of 200 tokens and of 10; (c) resident memory after (a); (d) mean and smallest cosine to
sentence-transformers in f32, and the overlap of the ten nearest among the same papers; (e) with --fidelity N,
(d) again for ours over N papers; (f) oneDNN's matmul rate at this model's shapes, by torch, and how much of it
each engine's papers a second come to.

Fair: all encode the same texts, `title. abstract`, cut at 256 tokens, on all cores. No peer reads titles a second
time, so ours runs with `--title 0`: by default it would encode every title, too, and have 15 % of it in its vectors.
The run fails if our f32 vectors are not the peer's then. Every engine is a process of its own that waits while
another works; they take turns in every round, and medians are shown; every peer sorts by length and gets the
batch size that suits it best of those tried.

Favours the peers: ours is timed as a whole process, `likewise embed`, with start, reading, tokenising and writing;
its latency is its server's, HTTP included. The peers are loaded and warm and called in place. Unfair to peers: none
is tuned for this machine beyond its own hints. OpenVINO's int8 is calibrated by NNCF on 128 other papers of the dump.

`--tiny` takes 12 papers and the peers that are installed. Without sentence-transformers, cosines are to ours in f32;
so that titles are still held to the peer, its vectors in tests/golden are compared with ours.
"""

import json
import pathlib
import statistics
import tempfile

import numpy as np

import encoders
import results
from corpus import is_plain, papers, spread, text_of
from encoders import PRECISIONS, Batched, Process, median_of, unit
from options import ROOT, SAMPLE, has, parse, parser
from program import version

REFERENCE = "sentence-transformers f32"
OTHERS = 128
PACKAGES = ("torch", "sentence-transformers", "onnxruntime", "openvino", "nncf")
COLUMNS = ["engine", "papers/s", "likewise is", "of the limit", "200 tokens, ms", "10 tokens, ms", "MB", "cosine to f32, mean", "least", "top-10 overlap"]
# Below this, ours and the peer do not encode the same texts.
SAME = 0.9999


def limits() -> dict[str, float]:
    """oneDNN's best matmul rate at this model's shapes, in Gop/s, by torch."""
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
            seconds = min(median_of(lambda: multiply(x, w), 30) for _ in range(5))
        rates[name] = 2 * 1024 * 384 * 1536 / seconds / 1e9
    return rates


def operations(texts: list[str]) -> float:
    """Gop that the model's multiplications take a text: six layers, 384 wide."""
    tokens = [int(count) for _, inputs in Batched().batches(texts) for count in inputs["attention_mask"].sum(1)]
    return statistics.mean(6 * (24 * 384**2 * count + 4 * 384 * count**2) for count in tokens) / 1e9


def nearest(vectors: np.ndarray) -> np.ndarray:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :10]


def fidelity(truth: np.ndarray, vectors: np.ndarray) -> list[str]:
    """Three cells: the mean and the smallest cosine, and how many of the ten nearest are the same."""
    cosines = (vectors * truth).sum(1)
    pairs = zip(nearest(truth), nearest(vectors))
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
    return [f"{cosines.mean():.5f}", f"{cosines.min():.5f}", f"{overlap:.4f}"]


def check_same_texts(truth: np.ndarray, vectors: np.ndarray) -> None:
    least = float((vectors * truth).sum(1).min())
    assert least > SAME, f"our f32 vectors are not the peer's (cosine {least:.5f}): different texts, or titles that count twice?"


def check_golden(binary: pathlib.Path) -> None:
    """The same without the peer: its vectors in tests/golden, of those texts that can be a title and an abstract."""
    entries = json.loads((ROOT / "tests/golden/all-MiniLM-L6-v2.json").read_text())["entries"]
    parted = [(*entry["text"].strip().split(". ", 1), entry["vector"]) for entry in entries if ". " in entry["text"] and is_plain(entry["text"])]
    papers = [{"id": f"g{place}", "title": title, "abstract": rest} for place, (title, rest, _) in enumerate(parted)]
    vectors = encoders.Likewise("f32", binary, papers).encode([])
    check_same_texts(unit(np.array([vector for _, _, vector in parted])), vectors)
    print(f"likewise f32 has the vectors of tests/golden for {len(papers)} papers", flush=True)


def compare(texts: list[str], options, made: dict[str, tuple]) -> str:
    """The table of all engines."""
    running = {name: Process(*what) for name, what in made.items()}
    seconds, vectors = {name: [] for name in running}, {}
    for _ in range(options.rounds):
        for name, engine in running.items():
            took, vectors[name] = engine.ask("encode", texts)
            seconds[name].append(took)
    memory = {name: engine.ask("memory")[1] for name, engine in running.items()}
    latencies = {name: engine.ask("latencies", options.repeats)[1] for name, engine in running.items()}
    for engine in running.values():
        engine.close()
    speed = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    reference = REFERENCE if REFERENCE in made else "likewise f32"
    check_same_texts(vectors[reference], vectors["likewise f32"])
    rates, gop, said = {}, 0.0, []
    if has("the limit", "torch", "tokenizers", tiny=options.tiny):
        rates, gop = limits(), operations(texts)
        told = ", ".join(f"{rate:.0f} Gop/s in {name}, {rate / gop:.0f} papers/s" for name, rate in rates.items())
        said = [f"One text takes {gop:.2f} Gop. oneDNN's matmul: {told}.", ""]
    rows = []
    for name, engine in running.items():
        ours, (long, short) = speed[f"likewise {engine.precision}"] / speed[name], latencies[name]
        share = f"{speed[name] * gop / rates[engine.precision]:.0%}" if rates else "–"
        row = [name, f"{speed[name]:.1f}", f"{ours:.2f}×", share, f"{long:.1f}", f"{short:.2f}", f"{memory[name]:.0f}"]
        rows.append(row + fidelity(vectors[reference], vectors[name]))
    return "\n".join([*said, results.table(COLUMNS, rows)])


def compare_more(corpus: list[dict], made: dict[str, tuple]) -> str:
    """The table of ours over many papers."""
    texts, vectors = [text_of(paper) for paper in corpus], {}
    reference = REFERENCE if REFERENCE in made else "likewise f32"
    wanted = [reference, *(f"likewise {precision}" for precision in PRECISIONS)]
    for name in dict.fromkeys(wanted):
        engine = Process(*made[name])
        vectors[name] = engine.ask("encode", texts)[1]
        engine.close()
    check_same_texts(vectors[reference], vectors["likewise f32"])
    rows = [[name, *fidelity(vectors[reference], vectors[name])] for name in wanted[1:]]
    return f"Over {len(texts)} papers:\n\n" + results.table(["engine", "cosine to f32, mean", "least", "top-10 overlap"], rows)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--dump", default=str(SAMPLE))
    made.add_argument("--count", type=int, default=500)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--repeats", type=int, default=30, help="how often each latency is taken")
    made.add_argument("--fidelity", type=int, default=0)
    made.add_argument("--only", nargs="*", help="peers whose names begin so, beside sentence-transformers f32")
    options = parse(made, count=12, rounds=1, repeats=2, fidelity=12)
    if options.tiny:
        check_golden(options.likewise)
    every = papers(options.dump)
    corpus = spread(every, options.count)
    taken = {paper["id"] for paper in corpus}
    others = spread([paper for paper in every if paper["id"] not in taken], OTHERS)
    with tempfile.TemporaryDirectory() as folder:
        peers = encoders.peers(pathlib.Path(folder), others, options.tiny)
        if options.only is not None:
            peers = {name: what for name, what in peers.items() if name.startswith((REFERENCE, *options.only))}
        parts = [compare([text_of(paper) for paper in corpus], options, peers | encoders.ours(options.likewise, corpus))]
        if options.fidelity:
            more = spread(every, options.fidelity)
            parts.append(compare_more(more, peers | encoders.ours(options.likewise, more)))
    head = (
        f"{results.today()}, {results.machine()}; {len(corpus)} papers of {pathlib.Path(options.dump).name}, {options.rounds} interleaved "
        f"rounds, medians; likewise with `--title 0`. {', '.join(filter(None, [version(options.likewise), results.versions(*PACKAGES)]))}."
    )
    results.report(options, "encode", "The encoder beside its peers", "make bench-encode", "encode_peers.py", "\n\n".join([head, *parts]))


if __name__ == "__main__":
    main()
