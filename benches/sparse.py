"""Compares likewise's sparse models with those of sentence-transformers, on the CPU.

    make bench-sparse            # installs the peer into .venv-peers, runs, writes benches/results/sparse.md

Measured: papers per second over 64 papers of a dump, on a random SPLADE model of the shape of all-MiniLM-L6-v2 (6 layers
of 384 values, 30,522 values per vector) with its tokenizer. likewise is measured over HTTP, with `POST /embed_sparse` of
a server, in f32 and int8: parsing, the queue, the tokenizer and the answer are included. The peer is called in its own
process, in f32. Also measured: the largest difference between two values of a vector. likewise leaves out the values of
special tokens such as [CLS]; the peer keeps them, and they are left out of the comparison.

Fair: both use the same folder, the same texts, truncated to 512 tokens, and all cores, and are warm. They take turns in
every round; the results are medians. The peer sorts texts by length and pads batches of 32. A random network is as fast as
a trained one, but its vectors are less sparse: they have thousands of values, not hundreds. That is to likewise's
disadvantage, because it writes the values as JSON.

`--tiny` uses 8 papers and a checkpoint of the tests, and does not need the peer.
"""

import os
import pathlib
import statistics
import tempfile
import time

import program
import results
from checkpoints import mini_lm
from corpus import papers, spread, text_of
from options import ROOT, SAMPLE, has, parse, parser

SMALL = ROOT / "tests/golden/small/sparse_bert"
PRECISIONS = ["f32", "int8"]
COLUMNS = ["program", "papers/s", "ratio to peer", "values per vector", "largest difference"]
# Of one request. The server refuses longer lists.
BATCH = 32


class Likewise:
    """A server with the sparse model."""

    def __init__(self, binary: pathlib.Path, data: pathlib.Path, folder: pathlib.Path, precision: str):
        options = ["--data", data, "--sparse-model", folder, "--sparse-precision", precision]
        self.server = program.Server(binary, *options)

    def encode(self, texts: list[str]) -> list[dict[int, float]]:
        vectors = []
        for start in range(0, len(texts), BATCH):
            status, answer, _ = self.server.request("/embed_sparse", {"inputs": texts[start : start + BATCH]})
            assert status == 200, answer
            vectors += [{value["index"]: value["value"] for value in vector} for vector in answer]
        return vectors


class Peer:
    def __init__(self, folder: pathlib.Path):
        import torch
        from sentence_transformers import SparseEncoder

        torch.set_num_threads(os.cpu_count())
        self.model = SparseEncoder(str(folder), device="cpu")

    def encode(self, texts: list[str]) -> list[dict[int, float]]:
        vectors = self.model.encode_document(texts, batch_size=32, convert_to_tensor=False)
        special = set(self.model.tokenizer.all_special_ids)
        pairs = [zip(vector.coalesce().indices()[0].tolist(), vector.coalesce().values().tolist()) for vector in vectors]
        return [{index: value for index, value in vector if index not in special} for vector in pairs]


def checkpoint(folder: pathlib.Path) -> None:
    """Writes a random SPLADE model."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    with tempfile.TemporaryDirectory() as network:
        mini_lm(pathlib.Path(network), "BertForMaskedLM")
        transformer = Transformer(network, transformer_task="fill-mask")
        SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu").save_pretrained(str(folder), create_model_card=False)


def largest_difference(ours: list[dict[int, float]], theirs: list[dict[int, float]]) -> float:
    """The largest difference of two values at the same place of two vectors of the same paper."""
    pairs = zip(ours, theirs, strict=True)
    return max(abs(one.get(index, 0) - other.get(index, 0)) for one, other in pairs for index in one.keys() | other.keys())


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--papers", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=5)
    options = parse(arguments, papers=8, rounds=1)
    with_peer = has("sentence-transformers", "torch", "sentence_transformers", tiny=options.tiny)
    texts = [text_of(paper) for paper in spread(papers(options.dump), options.papers)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if with_peer:
            checkpoint(folder / "model")
        model = folder / "model" if with_peer else SMALL
        program.run(options.likewise, "ingest", SAMPLE, "--data", folder / "data")
        systems = {f"likewise, {precision}": Likewise(options.likewise, folder / "data", model, precision) for precision in PRECISIONS}
        if with_peer:
            systems["sentence-transformers, f32"] = Peer(model)
        vectors = {name: system.encode(texts) for name, system in systems.items()}
        times: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(options.rounds):
            for name, system in systems.items():
                started = time.perf_counter()
                system.encode(texts)
                times[name].append(time.perf_counter() - started)
        for precision in PRECISIONS:
            systems[f"likewise, {precision}"].server.stop()
    *_, last = vectors
    seconds = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        [
            name,
            f"{len(texts) / seconds[name]:.1f}",
            f"{seconds[last] / seconds[name]:.2f}×" if with_peer else "–",
            f"{statistics.mean(map(len, vectors[name])):.0f}",
            f"{largest_difference(vectors[name], vectors[last]):.1e}" if with_peer else "–",
        ]
        for name in systems
    ]
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = (
        f"{results.today()}, {results.machine()}; {len(texts)} papers of {pathlib.Path(options.dump).name}, a random SPLADE model of "
        f"6 layers of 384, {options.rounds} interleaved rounds, medians. {used}."
    )
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    results.report(options, "sparse", "Sparse models compared with sentence-transformers", "make bench-sparse", "sparse.py", text)


if __name__ == "__main__":
    main()
