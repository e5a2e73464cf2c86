"""Compares likewise's static models with the Python package that has the same table of token vectors.

    make bench-static            # installs the peer into .venv-peers, runs, writes benches/results/static_models.md

Measured: papers per second of `likewise embed` with wordllama-256 over a dump, reading the dump and writing the vectors
included; and of the package wordllama over the same texts, which are in memory already. Also measured: the smallest cosine
between the two vectors of a paper.

Fair: the same table, the same tokenizer, the same texts, all cores. They take turns in every round; the results are
medians. To likewise's disadvantage: it also parses the dump and writes a file, and the start of the program counts.

`--tiny` uses the sample, and does not need the peer.
"""

import pathlib
import statistics
import tempfile
import time

import program
import results
from checkpoints import golden_script
from corpus import papers, text_of, write
from options import SAMPLE, has, parse, parser

MODEL = "wordllama-256"
COLUMNS = ["program", "seconds", "papers/s", "ratio to peer", "smallest cosine to the peer"]


class Likewise:
    def __init__(self, binary: pathlib.Path, folder: pathlib.Path, corpus: list[dict]):
        self.binary, self.dump, self.out = binary, folder / "dump.jsonl", folder / "vectors.npy"
        write(self.dump, corpus)
        program.run(binary, "pull", MODEL, cwd=program.MODELS.parent)

    def encode(self):
        program.run(self.binary, "embed", self.dump, "--model", MODEL, "--out", self.out)
        return self.out


class Peer:
    def __init__(self, corpus: list[dict]):
        self.texts = [text_of(paper) for paper in corpus]
        self.model = golden_script("make_wordllama").model()

    def encode(self):
        return self.model.embed(self.texts, norm=True)


def smallest_cosine(out: pathlib.Path, vectors) -> str:
    import numpy

    ours = numpy.load(out)
    assert ours.shape == vectors.shape, f"{ours.shape} and {vectors.shape}"
    return f"{float((ours * vectors).sum(axis=1).min()):.6f}"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--rounds", type=int, default=3)
    options = parse(arguments, rounds=1)
    corpus = papers(options.dump)
    with tempfile.TemporaryDirectory() as folder:
        systems = {"likewise": Likewise(options.likewise, pathlib.Path(folder), corpus)}
        if has("wordllama", "wordllama", "numpy", tiny=options.tiny):
            systems["wordllama"] = Peer(corpus)
        times: dict[str, list[float]] = {name: [] for name in systems}
        last = {}
        for _ in range(options.rounds):
            for name, system in systems.items():
                started = time.perf_counter()
                last[name] = system.encode()
                times[name].append(time.perf_counter() - started)
        cosine = smallest_cosine(last["likewise"], last["wordllama"]) if "wordllama" in systems else "–"
    seconds = {name: statistics.median(values) for name, values in times.items()}
    ratio = lambda name: f"{seconds['wordllama'] / seconds[name]:.2f}×" if "wordllama" in seconds else "–"  # noqa: E731
    rows = [
        [name, f"{value:.2f}", f"{len(corpus) / value:,.0f}", ratio(name), cosine if name == "likewise" else "1"]
        for name, value in seconds.items()
    ]
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("wordllama", "numpy")]))
    head = (
        f"{results.today()}, {results.machine()}; {len(corpus):,} papers of {pathlib.Path(options.dump).name}, "
        f"{options.rounds} interleaved rounds, medians. {used}."
    )
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    results.report(options, "static_models", "Static models compared with a Python package", "make bench-static", "static_models.py", text)


if __name__ == "__main__":
    main()
