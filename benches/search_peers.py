"""The index beside its peers, in one interleaved run: recall, speed, build time, size.

    make bench-search           # installs the peers into .venv-peers, embeds DUMP once, runs, writes benches/RESULTS.md
    .venv-peers/bin/python benches/search_peers.py --vectors FILE.npy --rounds 5

Corpus: unit vectors of a dump's papers by all-MiniLM-L6-v2, as `likewise embed` writes them; 1,000 of them,
evenly spread, are held out as queries, and the others are indexed.

Measured, at equal M and efConstruction: the time to build on all cores; then, for each recall@10 that is wanted,
the smallest ef at which an engine reaches it (recall does not change from run to run), and at that ef queries a
second on one thread and on two, and microseconds of one query alone. The truth is numpy's product of all queries
with all vectors.

Fair: the engines take turns in every round, one at work at a time, and medians are shown; all get the same
vectors in the same order. Ours is timed from the query's values to ten scored slots; its build includes the
search for every paper by its own vector, and the repair of those that are not found, which no peer does; its
segment is saved and mapped before it is asked. Bytes a paper are what the index alone takes, beside the
vectors that ours and faiss's quantised index are rescored by or not: ours reads f32 vectors from a mapped file
that is not counted; hnswlib's, faiss's and usearch's f32 vectors are in their index, and are. Python's part of
a peer's single query is in its p50 and p99 (a few microseconds), not in its queries a second, which are asked
for in one call.
"""

import argparse
import importlib.metadata
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

import results

ROOT = pathlib.Path(__file__).parent.parent
K = 10
THREADS = 2


class Engine:
    """An index, built over `base` and asked `queries`."""

    name = ""

    def build(self, m: int, ef_construction: int) -> dict:
        """Seconds, bytes, open_ms."""
        raise NotImplementedError

    def search(self, ef: int, threads: int) -> tuple[float, np.ndarray]:
        """Seconds for all queries, and their ten slots."""
        raise NotImplementedError

    def alone(self, ef: int) -> tuple[float, float]:
        """p50 and p99 of one query, in microseconds."""
        raise NotImplementedError


class Program(Engine):
    """Ours, or hnsw_rs: the program benches/index.rs."""

    def __init__(self, name: str, program: str, files: list[str]):
        self.name = name
        command = [program, name, *files]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.out = tempfile.NamedTemporaryFile()

    def ask(self, *words) -> dict:
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def build(self, m, ef_construction):
        return self.ask("build", m, ef_construction, THREADS)

    def search(self, ef, threads):
        answer = self.ask("search", ef, threads, self.out.name)
        return answer["seconds"], np.fromfile(self.out.name, dtype=np.uint32).reshape(-1, K)

    def alone(self, ef):
        answer = self.ask("search", ef, 1, self.out.name)
        return answer["p50"], answer["p99"]


class Peer(Engine):
    """A Python package."""

    def __init__(self, base: np.ndarray, queries: np.ndarray):
        self.base, self.queries = base, queries

    def built(self, m: int, ef_construction: int) -> None:
        raise NotImplementedError

    def saved(self, path: str) -> None:
        raise NotImplementedError

    def found(self, queries: np.ndarray, threads: int) -> np.ndarray:
        raise NotImplementedError

    def build(self, m, ef_construction):
        started = time.perf_counter()
        self.built(m, ef_construction)
        seconds = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "index"
            self.saved(str(path))
            return {"seconds": seconds, "bytes": path.stat().st_size, "open_ms": self.opened(str(path))}

    def opened(self, path: str) -> float:
        started = time.perf_counter()
        self.load(path)
        return (time.perf_counter() - started) * 1e3

    def load(self, path: str) -> None:
        raise NotImplementedError

    def search(self, ef, threads):
        self.set_ef(ef)
        started = time.perf_counter()
        found = self.found(self.queries, threads)
        return time.perf_counter() - started, found

    def alone(self, ef):
        self.set_ef(ef)
        micros = []
        for query in self.queries:
            started = time.perf_counter()
            self.found(query[None], 1)
            micros.append((time.perf_counter() - started) * 1e6)
        return float(np.percentile(micros, 50)), float(np.percentile(micros, 99))

    def set_ef(self, ef: int) -> None:
        raise NotImplementedError


class Hnswlib(Peer):
    name = "hnswlib f32"

    def built(self, m, ef_construction):
        import hnswlib

        self.index = hnswlib.Index("ip", self.base.shape[1])
        self.index.init_index(len(self.base), M=m, ef_construction=ef_construction)
        self.index.set_num_threads(THREADS)
        self.index.add_items(self.base)

    def saved(self, path):
        self.index.save_index(path)

    def load(self, path):
        import hnswlib

        hnswlib.Index("ip", self.base.shape[1]).load_index(path)

    def set_ef(self, ef):
        self.index.set_ef(ef)

    def found(self, queries, threads):
        return self.index.knn_query(queries, k=K, num_threads=threads)[0]


class Faiss(Peer):
    def __init__(self, base, queries, quantised: bool):
        super().__init__(base, queries)
        self.quantised = quantised
        self.name = "faiss HNSW, SQ8" if quantised else "faiss HNSW f32"

    def built(self, m, ef_construction):
        import faiss

        dimension = self.base.shape[1]
        if self.quantised:
            kind = faiss.ScalarQuantizer.QT_8bit
            self.index = faiss.IndexHNSWSQ(dimension, kind, m, faiss.METRIC_INNER_PRODUCT)
        else:
            self.index = faiss.IndexHNSWFlat(dimension, m, faiss.METRIC_INNER_PRODUCT)
        faiss.omp_set_num_threads(THREADS)
        self.index.hnsw.efConstruction = ef_construction
        self.index.train(self.base)
        self.index.add(self.base)

    def saved(self, path):
        import faiss

        faiss.write_index(self.index, path)

    def load(self, path):
        import faiss

        faiss.read_index(path)

    def set_ef(self, ef):
        self.index.hnsw.efSearch = ef

    def found(self, queries, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        return self.index.search(queries, K)[1]


class Usearch(Peer):
    def __init__(self, base, queries, kind: str):
        super().__init__(base, queries)
        self.kind, self.name = kind, f"usearch {kind}"

    def made(self, m, ef_construction):
        from usearch.index import Index

        return Index(
            ndim=self.base.shape[1], metric="ip", dtype=self.kind, connectivity=m, expansion_add=ef_construction
        )

    def built(self, m, ef_construction):
        self.index = self.made(m, ef_construction)
        self.index.add(np.arange(len(self.base)), self.base, threads=THREADS)

    def saved(self, path):
        self.index.save(path)

    def load(self, path):
        self.made(16, 200).load(path)

    def set_ef(self, ef):
        self.index.expansion_search = ef

    def found(self, queries, threads):
        if len(queries) == 1:
            return self.index.search(queries[0], K).keys
        return self.index.search(queries, K, threads=threads).keys


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(mine) & set(right)) / K for mine, right in zip(found.tolist(), truth.tolist())]))


def least_ef(engine: Engine, truth: np.ndarray, wanted: float, most: int = 640) -> int | None:
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
    # (engine, recall, ef); None stands for what is not reached.
    todo = [(engine, target, least_ef(engine, truth, target)) for target in wanted for engine in engines]
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
        ratio = one / medians[engines[0], target][0]
        reached = recall(engine.search(ef, 1)[1], truth)
        row = [f"{target}", f"{ef}", f"{reached:.4f}", f"{count / one:,.0f}", f"{ratio:.2f}×"]
        rows.append([engine.name, *row, f"{count / two:,.0f}", f"{p50:.0f}", f"{p99:.0f}"])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--program", required=True, help="benches/index.rs, compiled")
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", nargs="*", default=[], help="benches/scale.rs, compiled, and numbers of vectors")
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    every = np.load(options.vectors, mmap_mode="r")
    held_out = np.zeros(len(every), bool)
    held_out[:: max(1, len(every) // 1000)] = True
    held_out[np.flatnonzero(held_out)[1000:]] = False
    base, queries = np.ascontiguousarray(every[~held_out]), np.ascontiguousarray(every[held_out])
    truth = np.argsort(-(queries @ base.T), axis=1)[:, :K]
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/base", f"{folder}/queries"]
        base.tofile(files[0])
        queries.tofile(files[1])
        files.append(str(base.shape[1]))
        engines = [
            Program("likewise", options.program, files),
            Program("hnsw_rs", options.program, files),
            Hnswlib(base, queries),
            Faiss(base, queries, quantised=False),
            Faiss(base, queries, quantised=True),
            Usearch(base, queries, "f32"),
            Usearch(base, queries, "i8"),
        ]
        built = [engine.build(options.m, options.ef_construction) for engine in engines]
        rows = compare(engines, truth, [0.95, 0.99], options.rounds)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("hnswlib", "faiss-cpu", "usearch"))
    lines = [
        f"{results.today()}, {results.machine()}; {len(base):,} vectors of {base.shape[1]} values, {len(queries):,} queries, "
        f"M {options.m}, efConstruction {options.ef_construction}; {options.rounds} interleaved rounds, medians. {versions}.",
        "",
        results.table(
            ["index", "recall@10 wanted", "ef", "recall@10", "queries/s, 1 thread", "likewise is", "2 threads", "p50 µs", "p99 µs"],
            rows,
        ),
        "",
        results.table(
            ["index", "built in s", "bytes a paper", "opened in ms"],
            [
                [
                    engine.name,
                    f"{made['seconds']:.1f}",
                    f"{made['bytes'] / len(base):,.0f}" if made["bytes"] else "–",
                    f"{made['open_ms']:.1f}" if made["bytes"] else "–",
                ]
                for engine, made in zip(engines, built)
            ],
        ),
    ]
    for count in options.scale[1:]:
        command = [options.scale[0], "--vectors", options.vectors, "--count", count]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        lines += ["", f"{int(count):,} vectors made from these (benches/scale.rs):", "", "```", said.strip(), "```"]
    print("\n".join(lines))
    if options.results:
        how = "`make bench-search`; how, and what is fair: benches/search_peers.py.\n\n"
        results.write_section(options.results, "The index beside its peers", how + "\n".join(lines))


if __name__ == "__main__":
    main()
