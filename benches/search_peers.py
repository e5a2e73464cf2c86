"""The index beside its peers, in one interleaved run: recall, speed, build time, size.

    make bench-search           # installs the peers into .venv-peers, embeds DUMP once, runs, writes benches/results/search.md
    .venv-peers/bin/python benches/search_peers.py --vectors FILE.npy --rounds 5 --index PROGRAM

Corpus: unit vectors of a dump's papers by all-MiniLM-L6-v2, as `likewise embed` writes them; 1,000 of them,
evenly spread, are held out as queries, and the others are indexed.

Measured, at equal M and efConstruction: the time to build on all cores; then, for each recall@10 that is wanted,
the smallest ef at which an engine reaches it (recall does not change from run to run), and at that ef queries a
second on one thread and on two, and microseconds of one query alone. The truth is numpy's product of all queries
with all vectors.

Fair: all get the same vectors in the same order, so whether titles count in them (by default they do) favours
nobody; the engines take turns in every round, one at work at a time, and medians are shown. Ours is timed from the
query's values to ten scored slots; its build includes the search for every paper by its own vector, and the repair
of those that are not found, which no peer does; its segment is saved and mapped before it is asked.

Not fair: bytes a paper are of the index alone. Ours reads f32 vectors, to rescore by, from a mapped file that is not
counted; the f32 vectors of hnswlib, faiss and usearch are in their index, and are. Python's part of a peer's single
query is in its p50 and p99 (a few microseconds), not in its queries a second, which are asked for in one call.

`--scale PROGRAM COUNT…` runs benches/scale.rs after it, over millions of vectors made from these; it has no peer.

`--tiny` takes 1,200 random vectors, the peers that are installed, and 2,000 papers for the scale.
"""

import pathlib
import statistics
import subprocess
import tempfile

import numpy as np

import results
from indexes import THREADS, Engine, K, engines
from options import ROOT, parse, parser
from program import version

LARGEST_EF = 640
QUERIES = 1000
WANTED = [0.95, 0.99]
DIMENSION = 384


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(mine) & set(right)) / K for mine, right in zip(found.tolist(), truth.tolist())]))


def least_ef(engine: Engine, truth: np.ndarray, wanted: float, most: int) -> int | None:
    """The smallest ef that reaches the recall."""
    reached = lambda ef: recall(engine.search(ef, 1)[1], truth) >= wanted  # noqa: E731
    if not reached(most):
        return None
    low, high = K - 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def compare(engines: list[Engine], truth: np.ndarray, wanted: list[float], rounds: int) -> list[list[str]]:
    """A row for every engine and recall."""
    # (engine, recall, ef); None where the recall is not reached.
    todo = [(engine, target, least_ef(engine, truth, target, LARGEST_EF)) for target in wanted for engine in engines]
    times: dict = {}
    for _ in range(rounds):
        for engine, target, ef in todo:
            if ef is None:
                continue
            one, two = engine.search(ef, 1)[0], engine.search(ef, THREADS)[0]
            times.setdefault((engine, target), []).append((one, two, *engine.alone(ef)))
    rows, count = [], len(truth)
    medians = {key: [statistics.median(column) for column in zip(*values)] for key, values in times.items()}
    for engine, target, ef in todo:
        if ef is None:
            rows.append([engine.name, f"{target}", "–", "not reached", "–", "–", "–", "–", "–"])
            continue
        one, two, p50, p99 = medians[engine, target]
        ours = medians.get((engines[0], target))
        ratio = f"{one / ours[0]:.2f}×" if ours else "–"
        reached = recall(engine.search(ef, 1)[1], truth)
        row = [f"{target}", f"{ef}", f"{reached:.4f}", f"{count / one:,.0f}", ratio]
        rows.append([engine.name, *row, f"{count / two:,.0f}", f"{p50:.0f}", f"{p99:.0f}"])
    return rows


def random_vectors(path: pathlib.Path, count: int) -> pathlib.Path:
    """Unit vectors that mean nothing, the same in every run."""
    vectors = np.random.default_rng(7).standard_normal((count, DIMENSION)).astype(np.float32)
    np.save(path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return path


def hold_out(every: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors to index, and the queries."""
    held_out = np.zeros(len(every), bool)
    held_out[:: max(1, len(every) // count)] = True
    held_out[np.flatnonzero(held_out)[count:]] = False
    return np.ascontiguousarray(every[~held_out]), np.ascontiguousarray(every[held_out])


def sizes(made: list[Engine], built: list[dict], count: int) -> str:
    """The table of what building takes and makes."""
    rows = []
    for engine, each in zip(made, built):
        known = [f"{each['bytes'] / count:,.0f}", f"{each['open_ms']:.1f}"] if each["bytes"] else ["–", "–"]
        rows.append([engine.name, f"{each['seconds']:.1f}", *known])
    return results.table(["index", "built in s", "bytes a paper", "opened in ms"], rows)


def scale(program: str, vectors: pathlib.Path, count: str, tiny: bool) -> str:
    """What benches/scale.rs says; it looks for the model in the folder that it runs in."""
    with tempfile.TemporaryDirectory() as folder:
        command = [pathlib.Path(program).resolve(), "--vectors", vectors, "--count", count, *(["--folder", folder] if tiny else [])]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    return f"{int(count):,} vectors made from these (benches/scale.rs):\n\n```\n{said.strip()}\n```"


def measured(options, vectors: pathlib.Path) -> str:
    every = np.load(vectors, mmap_mode="r")
    base, queries = hold_out(every, options.queries)
    truth = np.argsort(-(queries @ base.T), axis=1)[:, :K]
    with tempfile.TemporaryDirectory() as folder:
        made = engines(options.index, folder, base, queries, options.tiny)
        built = [engine.build(options.m, options.ef_construction) for engine in made]
        rows = compare(made, truth, WANTED, options.rounds)
        for engine in made:
            engine.close()
    head = (
        f"{results.today()}, {results.machine()}; {len(base):,} vectors of {base.shape[1]} values, {len(queries):,} queries, "
        f"M {options.m}, efConstruction {options.ef_construction}; {options.rounds} interleaved rounds, medians. "
        f"{', '.join(filter(None, [version(options.likewise), results.versions('hnswlib', 'faiss-cpu', 'usearch')]))}."
    )
    columns = ["index", "recall@10 wanted", "ef", "recall@10", "queries/s, 1 thread", "likewise is", "2 threads", "p50 µs", "p99 µs"]
    scaled = [scale(options.scale[0], vectors, count, options.tiny) for count in options.scale[1:]]
    return "\n\n".join([head, results.table(columns, rows), sizes(made, built, len(base)), *scaled])


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--vectors", type=pathlib.Path, help="a NumPy array of unit vectors; a tiny run makes its own")
    made.add_argument("--index", required=True, metavar="PROGRAM", help="benches/index.rs, compiled")
    made.add_argument("--scale", nargs="*", default=[], metavar="PROGRAM COUNT", help="benches/scale.rs, compiled, and numbers of vectors")
    made.add_argument("--m", type=int, default=16)
    made.add_argument("--ef-construction", type=int, default=200)
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--queries", type=int, default=QUERIES)
    options = parse(made, rounds=1, queries=100)
    with tempfile.TemporaryDirectory() as folder:
        if not options.vectors and not options.tiny:
            made.error("--vectors: wanted a file, as `likewise embed` writes it")
        vectors = (options.vectors or random_vectors(pathlib.Path(folder) / "random.npy", 1200)).resolve()
        text = measured(options, vectors)
    results.report(options, "search", "The index beside its peers", "make bench-search", "search_peers.py", text)


if __name__ == "__main__":
    main()
