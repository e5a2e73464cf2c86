"""Indexes of likewise, hnsw_rs and Python packages, with one interface. benches/search_peers.py compares them."""

import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np

from options import has

THREADS = 2


class Engine:
    """An index of vectors, and the queries with which the index is searched."""

    name = ""

    def build(self, m: int, ef_construction: int) -> dict:
        """Builds the index. Returns the time to build it (`seconds`), its size (`bytes`), and the time to open it
        (`open_ms`)."""
        raise NotImplementedError

    def search(self, k: int, ef: int, threads: int) -> tuple[float, np.ndarray]:
        """Searches with all queries. Returns the seconds and the `k` slots of each query."""
        raise NotImplementedError

    def latency(self, k: int, ef: int) -> tuple[float, float]:
        """p50 and p99 of a single query, in microseconds."""
        raise NotImplementedError

    def close(self) -> None:
        """Ends the process of the engine, if it has one."""


class Program(Engine):
    """likewise or hnsw_rs, in a process of benches/index.rs."""

    def __init__(self, name: str, program: str, files: list[str]):
        self.name = name
        command = [program, name, *files]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.out = tempfile.NamedTemporaryFile()

    def call(self, *words) -> dict:
        """Sends a command and returns the JSON of the reply."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        reply = self.process.stdout.readline()
        assert reply, f"{self.name}: benches/index.rs stopped"
        return json.loads(reply)

    def close(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(60) == 0, self.name

    def build(self, m, ef_construction):
        return self.call("build", m, ef_construction, THREADS)

    def search(self, k, ef, threads):
        reply = self.call("search", k, ef, threads, self.out.name)
        return reply["seconds"], np.fromfile(self.out.name, dtype=np.uint32).reshape(-1, k)

    def latency(self, k, ef):
        reply = self.call("search", k, ef, 1, self.out.name)
        return reply["p50"], reply["p99"]


class Peer(Engine):
    """An index of a Python package."""

    # Size of what a search needs and `save` does not write.
    unsaved_bytes = 0

    def __init__(self, base: np.ndarray, queries: np.ndarray):
        self.base, self.queries = base, queries

    def build_index(self, m: int, ef_construction: int) -> None:
        raise NotImplementedError

    def save(self, path: str) -> None:
        raise NotImplementedError

    def nearest(self, queries: np.ndarray, k: int, threads: int) -> np.ndarray:
        """The slots of the `k` nearest vectors of each query."""
        raise NotImplementedError

    def build(self, m, ef_construction):
        started = time.perf_counter()
        self.build_index(m, ef_construction)
        seconds = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "index"
            self.save(str(path))
            return {"seconds": seconds, "bytes": path.stat().st_size + self.unsaved_bytes, "open_ms": self.open_ms(str(path))}

    def open_ms(self, path: str) -> float:
        started = time.perf_counter()
        self.load(path)
        return (time.perf_counter() - started) * 1e3

    def load(self, path: str) -> None:
        raise NotImplementedError

    def search(self, k, ef, threads):
        self.set_ef(ef)
        started = time.perf_counter()
        slots = self.nearest(self.queries, k, threads)
        return time.perf_counter() - started, slots

    def latency(self, k, ef):
        self.set_ef(ef)
        micros = []
        for query in self.queries:
            started = time.perf_counter()
            self.nearest(query[None], k, 1)
            micros.append((time.perf_counter() - started) * 1e6)
        return float(np.percentile(micros, 50)), float(np.percentile(micros, 99))

    def set_ef(self, ef: int) -> None:
        raise NotImplementedError


class Hnswlib(Peer):
    name = "hnswlib f32"

    def build_index(self, m, ef_construction):
        import hnswlib

        self.index = hnswlib.Index("ip", self.base.shape[1])
        self.index.init_index(len(self.base), M=m, ef_construction=ef_construction)
        self.index.set_num_threads(THREADS)
        self.index.add_items(self.base)

    def save(self, path):
        self.index.save_index(path)

    def load(self, path):
        import hnswlib

        hnswlib.Index("ip", self.base.shape[1]).load_index(path)

    def set_ef(self, ef):
        self.index.set_ef(ef)

    def nearest(self, queries, k, threads):
        return self.index.knn_query(queries, k=k, num_threads=threads)[0]


class Faiss(Peer):
    def __init__(self, base, queries, quantised: bool):
        super().__init__(base, queries)
        self.quantised = quantised
        self.name = "faiss HNSW, SQ8" if quantised else "faiss HNSW f32"

    def build_index(self, m, ef_construction):
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

    def save(self, path):
        import faiss

        faiss.write_index(self.index, path)

    def load(self, path):
        import faiss

        faiss.read_index(path)

    def set_ef(self, ef):
        self.index.hnsw.efSearch = ef

    def nearest(self, queries, k, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        return self.index.search(queries, k)[1]


class Usearch(Peer):
    def __init__(self, base, queries, kind: str):
        super().__init__(base, queries)
        self.kind, self.name = kind, f"usearch {kind}"

    def empty_index(self, m, ef_construction):
        from usearch.index import Index

        return Index(
            ndim=self.base.shape[1], metric="ip", dtype=self.kind, connectivity=m, expansion_add=ef_construction
        )

    def build_index(self, m, ef_construction):
        self.index = self.empty_index(m, ef_construction)
        self.index.add(np.arange(len(self.base)), self.base, threads=THREADS)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        self.empty_index(16, 200).load(path)

    def set_ef(self, ef):
        self.index.expansion_search = ef

    def nearest(self, queries, k, threads):
        if len(queries) == 1:
            return self.index.search(queries[0], k).keys
        return self.index.search(queries, k, threads=threads).keys


class SymphonyQg(Peer):
    """SymphonyQG (Gou et al., SIGMOD 2025), by its authors' library: each node has the 1-bit RaBitQ codes of its
    neighbours. The distance is Euclidean, which gives unit vectors the same order as the inner product."""

    def __init__(self, base, queries, degree: int, bits: int):
        super().__init__(base, queries)
        self.degree, self.bits = degree, bits
        vectors = f"{bits}-bit vectors" if bits else "f32"
        self.name = f"SymphonyQG, degree {degree}, {vectors}"

    def build_index(self, m, ef_construction):
        import rabitqlib

        self.index = rabitqlib.SymqgIndex(self.base.shape[1], self.degree, "l2", self.bits)
        self.index.build(self.base, ef_construction, THREADS)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        import rabitqlib

        rabitqlib.SymqgIndex.load(path)

    def set_ef(self, ef):
        self.ef = ef

    def nearest(self, queries, k, threads):
        return self.index.search(queries, k, self.ef, threads)[0]


class Glass(Peer):
    """Glass: a graph that is searched with 8-bit vectors and refined with f32. Its own `optimize` tunes the prefetching.
    Only the graph can be saved, so the vectors of both kinds are added to the size."""

    name = "Glass HNSW, SQ8U"

    def __init__(self, base, queries):
        super().__init__(base, queries)
        self.unsaved_bytes = base.size + base.nbytes

    def build_index(self, m, ef_construction):
        import glass

        glass.set_num_threads(THREADS)
        self.graph = glass.Index("HNSW", "L2", quant="SQ8U", R=2 * m, L=ef_construction).build(self.base)
        self.index = glass.Searcher(self.graph, self.base, "L2", "SQ8U", "FP32")
        self.index.optimize(1)

    def save(self, path):
        self.graph.save(path)

    def load(self, path):
        import glass

        glass.Searcher(glass.Graph(path), self.base, "L2", "SQ8U", "FP32")

    def set_ef(self, ef):
        self.index.set_ef(ef)

    def nearest(self, queries, k, threads):
        return self.index.batch_search(queries, k, threads)[0]


def engines(program: str, folder: str, base: np.ndarray, queries: np.ndarray, tiny: bool) -> list[Engine]:
    """All engines, likewise first. A tiny run skips packages that are not installed."""
    files = [f"{folder}/base", f"{folder}/queries"]
    base.tofile(files[0])
    queries.tofile(files[1])
    files.append(str(base.shape[1]))
    found: list[Engine] = [Program("likewise", program, files), Program("hnsw_rs", program, files)]
    if has("hnswlib", "hnswlib", tiny=tiny):
        found.append(Hnswlib(base, queries))
    if has("faiss", "faiss", tiny=tiny):
        found += [Faiss(base, queries, quantised=False), Faiss(base, queries, quantised=True)]
    if has("usearch", "usearch", tiny=tiny):
        found += [Usearch(base, queries, "f32"), Usearch(base, queries, "i8")]
    if has("SymphonyQG", "rabitqlib", tiny=tiny):
        found += [SymphonyQg(base, queries, degree, bits) for degree, bits in [(32, 0), (32, 8), (64, 0)]]
    if has("Glass", "glass", tiny=tiny):
        found.append(Glass(base, queries))
    return found
