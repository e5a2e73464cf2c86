"""Compares the index with other indexes (its peers) in one interleaved run: recall, speed, build time, size.

    make bench-search           # installs the peers into .venv-peers, embeds DUMP once, runs, writes benches/results/search.md
    .venv-peers/bin/python benches/search_peers.py --vectors FILE.npy --rounds 5 --index PROGRAM

Corpus: unit vectors of a dump's papers by all-MiniLM-L6-v2, as written by `likewise embed`. 1,000 of these vectors,
evenly spread, are the queries. All other vectors are indexed.

Measured, at equal M and efConstruction: the time to build the index on all cores; then, for each target of recall@10
and of recall@100, the smallest ef at which an index reaches the target (the recall is the same in every run). With this
ef, queries per second on one thread and on two threads, and the latency of single queries. The exact neighbours are
computed with numpy, as the product of all queries with all vectors.

Fair: all indexes get the same vectors in the same order. They take turns in every round, one at a time, and the results
are medians. The time of a likewise query lasts from the values of the query vector to k scored slots. When likewise
builds an index, it also searches for every vector and repairs the links of vectors that are not found, which no peer
does. The segment of likewise is saved and mapped before it is searched.

Not fair: bytes per paper include only the index. likewise reads the f32 vectors for rescoring from a separate mapped
file, which is not counted; the peers have the vectors in the index, where they are counted. The p50 and p99 of a peer's
single query include a few microseconds of Python; its queries per second do not, because all queries are in one call.
SymphonyQG and Glass get the Euclidean distance, which gives unit vectors the same order.

`--scale PROGRAM COUNT…` also runs benches/scale.rs, over millions of vectors made from these, without peers.

`--tiny` uses 1,200 random vectors, and the peers that are installed.
"""

import pathlib
import statistics
import subprocess
import tempfile

import numpy as np

import results
from indexes import THREADS, Engine, engines
from options import ROOT, parse, parser
from program import version

MAX_EF = 1280
QUERIES = 1000
RECALL_TARGETS = [0.95, 0.99]
# Numbers of neighbours that are searched for.
KS = [10, 100]
DIMENSION = 384
SPEED_COLUMNS = ["queries/s, 1 thread", "likewise speedup", "queries/s, 2 threads", "p50 µs", "p99 µs"]


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    k = truth.shape[1]
    return float(np.mean([len(set(slots) & set(exact)) / k for slots, exact in zip(found.tolist(), truth.tolist())]))


def min_ef(engine: Engine, truth: np.ndarray, target: float, max_ef: int) -> int | None:
    """The smallest ef, at least k, with the target recall. `None`: `max_ef` does not reach it."""
    k = truth.shape[1]
    reaches = lambda ef: recall(engine.search(k, ef, 1)[1], truth) >= target  # noqa: E731
    if not reaches(max_ef):
        return None
    low, high = k - 1, max_ef
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high


def compare(engines: list[Engine], truth: np.ndarray, targets: list[float], rounds: int) -> list[list[str]]:
    """A row for every engine and recall target. `truth` has the exact neighbours of each query."""
    k = truth.shape[1]
    # (engine, target, ef); ef is None if the target is not reached.
    cases = [(engine, target, min_ef(engine, truth, target, MAX_EF)) for target in targets for engine in engines]
    times: dict = {}
    for _ in range(rounds):
        for engine, target, ef in cases:
            if ef is None:
                continue
            one, two = engine.search(k, ef, 1)[0], engine.search(k, ef, THREADS)[0]
            times.setdefault((engine, target), []).append((one, two, *engine.latency(k, ef)))
    rows, count = [], len(truth)
    medians = {key: [statistics.median(column) for column in zip(*values)] for key, values in times.items()}
    for engine, target, ef in cases:
        if ef is None:
            rows.append([engine.name, f"{target}", "–", "not reached", "–", "–", "–", "–", "–"])
            continue
        one, two, p50, p99 = medians[engine, target]
        likewise = medians.get((engines[0], target))
        speedup = f"{one / likewise[0]:.2f}×" if likewise else "–"
        reached = recall(engine.search(k, ef, 1)[1], truth)
        row = [f"{target}", f"{ef}", f"{reached:.4f}", f"{count / one:,.0f}", speedup]
        rows.append([engine.name, *row, f"{count / two:,.0f}", f"{p50:.0f}", f"{p99:.0f}"])
    return rows


def random_vectors(path: pathlib.Path, count: int) -> pathlib.Path:
    """Writes random unit vectors, the same in every run, and returns the path."""
    vectors = np.random.default_rng(7).standard_normal((count, DIMENSION)).astype(np.float32)
    np.save(path, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return path


def hold_out(every: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors to index, and the queries."""
    held_out = np.zeros(len(every), bool)
    held_out[:: max(1, len(every) // count)] = True
    held_out[np.flatnonzero(held_out)[count:]] = False
    return np.ascontiguousarray(every[~held_out]), np.ascontiguousarray(every[held_out])


def build_table(engines: list[Engine], builds: list[dict], count: int) -> str:
    """The table of build times and sizes."""
    rows = []
    for engine, build in zip(engines, builds):
        saved = [f"{build['bytes'] / count:,.0f}", f"{build['open_ms']:.1f}"] if build["bytes"] else ["–", "–"]
        rows.append([engine.name, f"{build['seconds']:.1f}", *saved])
    return results.table(["index", "build time, s", "bytes per paper", "open time, ms"], rows)


def scale(program: str, vectors: pathlib.Path, count: str, tiny: bool) -> str:
    """The output of benches/scale.rs, which is run in the repository's root because it needs the model there."""
    with tempfile.TemporaryDirectory() as folder:
        command = [pathlib.Path(program).resolve(), "--vectors", vectors, "--count", count, *(["--folder", folder] if tiny else [])]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
    return f"{int(count):,} vectors made from these (benches/scale.rs):\n\n```\n{printed.strip()}\n```"


def measure(options, vectors: pathlib.Path) -> str:
    every = np.load(vectors, mmap_mode="r")
    base, queries = hold_out(every, options.queries)
    truth = np.argsort(-(queries @ base.T), axis=1)[:, : max(KS)]
    with tempfile.TemporaryDirectory() as folder:
        measured_engines = engines(options.index, folder, base, queries, options.tiny)
        builds = [engine.build(options.m, options.ef_construction) for engine in measured_engines]
        tables = []
        for k in KS:
            columns = ["index", f"recall@{k} target", "ef", f"recall@{k}", *SPEED_COLUMNS]
            tables.append(results.table(columns, compare(measured_engines, truth[:, :k], RECALL_TARGETS, options.rounds)))
        for engine in measured_engines:
            engine.close()
    head = (
        f"{results.today()}, {results.machine()}; {len(base):,} vectors of {base.shape[1]} values{f' ({options.about})' if options.about else ''}, {len(queries):,} queries, "
        f"M {options.m}, efConstruction {options.ef_construction}; {options.rounds} interleaved rounds, medians. "
        f"{', '.join(filter(None, [version(options.likewise), results.versions('hnswlib', 'faiss-cpu', 'usearch', 'rabitqlib', 'pyglass-portable')]))}."
    )
    scaled = [scale(options.scale[0], vectors, count, options.tiny) for count in options.scale[1:]]
    return "\n\n".join([head, *tables, build_table(measured_engines, builds, len(base)), *scaled])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--vectors", type=pathlib.Path, help="a NumPy array of unit vectors; a tiny run makes its own")
    arguments.add_argument("--about", help="a description of the vectors for the results, such as 'titles only'")
    arguments.add_argument("--index", required=True, metavar="PROGRAM", help="benches/index.rs, compiled")
    arguments.add_argument("--scale", nargs="*", default=[], metavar="PROGRAM COUNT", help="benches/scale.rs, compiled, and numbers of vectors")
    arguments.add_argument("--m", type=int, default=16)
    arguments.add_argument("--ef-construction", type=int, default=200)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--queries", type=int, default=QUERIES)
    options = parse(arguments, rounds=1, queries=100)
    with tempfile.TemporaryDirectory() as folder:
        if not options.vectors and not options.tiny:
            arguments.error("--vectors must be a .npy file written by `likewise embed`")
        vectors = (options.vectors or random_vectors(pathlib.Path(folder) / "random.npy", 1200)).resolve()
        text = measure(options, vectors)
    results.report(options, "search", "The index compared with its peers", "make bench-search", "search_peers.py", text)


if __name__ == "__main__":
    main()
