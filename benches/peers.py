"""The encoder beside its peers, in one interleaved run: papers a second, latency, fidelity.

    make bench-encode                       # installs the peers into .venv-peers, runs, writes benches/RESULTS.md
    .venv-peers/bin/python benches/peers.py --dump FILE --count 500 --rounds 3

Measured: (a) papers a second over COUNT papers of a dump, evenly spread, from text to vectors; (b) the
median time of one text of 200 tokens; (c) mean and smallest cosine to sentence-transformers in f32, and
the overlap of the ten nearest among the same papers.

Fair: the same texts, cut at 256 tokens, on all cores; engines take turns in every round, medians are
shown; every peer sorts by length and gets the batch size that suits it best of those tried. Ours is timed
as a whole process, `likewise embed`, start, reading, tokenising and writing included; the peers are loaded
and warm, which favours them. Unfair to peers: none is tuned for this machine beyond its own hints.
OpenVINO's int8 is calibrated by NNCF on 128 other papers of the dump.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time
import unicodedata

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent
MODEL = ROOT / "models/all-MiniLM-L6-v2"
PROGRAM = ROOT / "target/release/likewise"
MAX_LENGTH = 256
LATENCY_TEXT = "glacier " * 198


def papers(dump: str, count: int) -> tuple[list[dict], list[dict]]:
    """COUNT papers evenly spread over a JSON Lines dump, and 128 others for calibration."""
    import gzip

    opened = gzip.open(dump, "rt") if dump.endswith(".gz") else open(dump)
    every = [paper for paper in map(json.loads, opened) if paper.get("title") and paper.get("abstract")]
    step = max(1, len(every) // count)
    return every[::step][:count], every[step // 2 :: max(1, len(every) // 128)][:128]


def tidy(text: str) -> str:
    """White space and control characters collapsed."""
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split())


def text_of(paper: dict) -> str:
    """As src/text.rs has it."""
    title, abstract = tidy(paper["title"]), tidy(paper["abstract"])
    return title + (" " if title.endswith((".", "?", "!", ":")) else ". ") + abstract


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Likewise:
    """Ours: the whole process; latency by its server."""

    def __init__(self, precision: str, corpus: list[dict]):
        self.name = f"likewise {precision}"
        self.precision = precision
        self.folder = pathlib.Path(tempfile.mkdtemp())
        (self.folder / "dump.jsonl").write_text("\n".join(map(json.dumps, corpus)) + "\n")

    def encode(self, _texts: list[str]) -> np.ndarray:
        out = self.folder / "vectors.npy"
        command = [PROGRAM, "embed", self.folder / "dump.jsonl", "--output", out, "--precision", self.precision]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        return np.load(out)

    def latency(self, rounds: int) -> float:
        """Of `POST /v1/embeddings`, HTTP included."""
        import urllib.request

        data, address = self.folder / "data", "127.0.0.1:8099"
        (self.folder / "one.jsonl").write_text('{"id": "a", "title": "A", "abstract": "B."}\n')
        common = ["--data", data, "--precision", self.precision]
        subprocess.run([PROGRAM, "ingest", self.folder / "one.jsonl", *common], check=True, capture_output=True, cwd=ROOT)
        server = subprocess.Popen([PROGRAM, "serve", "--listen", address, *common], stderr=subprocess.DEVNULL, cwd=ROOT)
        body = json.dumps({"input": LATENCY_TEXT}).encode()

        def ask() -> None:
            urllib.request.urlopen(f"http://{address}/v1/embeddings", body, timeout=10).read()

        try:
            while True:
                try:
                    ask()
                    break
                except OSError:
                    time.sleep(0.05)
            return median_of(ask, rounds)
        finally:
            server.terminate()
            server.wait()


class SentenceTransformers:
    def __init__(self, precision: str, folder: str):
        import sentence_transformers
        import torch

        self.name = f"sentence-transformers {precision}"
        kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.model = sentence_transformers.SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": kind})

    def encode(self, texts: list[str]) -> np.ndarray:
        return unit(self.model.encode(texts, batch_size=16, convert_to_tensor=True).float().numpy())

    def latency(self, rounds: int) -> float:
        return median_of(lambda: self.encode([LATENCY_TEXT]), rounds)


class Batched:
    """A runtime that takes padded batches and gives token vectors; what is common to ONNX Runtime and OpenVINO."""

    batch = 8

    def __init__(self):
        import tokenizers

        self.tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_LENGTH)

    def batches(self, texts: list[str]):
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(ids)), key=lambda text: -len(ids[text]))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            width = max(len(ids[row]) for row in rows)
            padded = np.zeros((len(rows), width), dtype=np.int64)
            mask = np.zeros_like(padded)
            for place, row in enumerate(rows):
                padded[place, : len(ids[row])] = ids[row]
                mask[place, : len(ids[row])] = 1
            yield rows, {"input_ids": padded, "attention_mask": mask, "token_type_ids": np.zeros_like(padded)}

    def encode(self, texts: list[str]) -> np.ndarray:
        out = np.empty((len(texts), 384), dtype=np.float32)

        def take(hidden: np.ndarray, rows: list[int], mask: np.ndarray) -> None:
            weights = mask[:, :, None].astype(np.float32)
            out[rows] = unit((hidden * weights).sum(1) / weights.sum(1))

        self.run(texts, take)
        return out

    def latency(self, rounds: int) -> float:
        return median_of(lambda: self.encode([LATENCY_TEXT]), rounds)


class OnnxRuntime(Batched):
    def __init__(self, precision: str, path: str):
        import onnxruntime

        super().__init__()
        self.name = f"ONNX Runtime {precision}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count()
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, texts, take) -> None:
        for rows, inputs in self.batches(texts):
            take(self.session.run(None, inputs)[0], rows, inputs["attention_mask"])


class OpenVino(Batched):
    batch = 1

    def __init__(self, precision: str, model):
        import openvino

        super().__init__()
        self.name = f"OpenVINO {precision}"
        core = openvino.Core()
        hint = {} if precision == "int8" else {"INFERENCE_PRECISION_HINT": {"f32": "f32", "bf16": "bf16"}[precision]}
        self.many = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", **hint})
        self.one = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **hint})
        self.queue = openvino.AsyncInferQueue(self.many)

    def run(self, texts, take) -> None:
        if len(texts) == 1:
            for rows, inputs in self.batches(texts):
                take(self.one(inputs)[0], rows, inputs["attention_mask"])
            return
        self.queue.set_callback(lambda request, of: take(request.get_output_tensor(0).data, *of))
        for rows, inputs in self.batches(texts):
            self.queue.start_async(inputs, (rows, inputs["attention_mask"]))
        self.queue.wait_all()


def exported(folder: pathlib.Path) -> pathlib.Path:
    """The model as ONNX, and dynamically quantised beside it."""
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = transformers.BertModel.from_pretrained(MODEL, attn_implementation="eager")

        def forward(self, ids, mask, types):
            return self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    path = folder / "model.onnx"
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones(2, 16, dtype=torch.long) for _ in names)
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "hidden"]}
    torch.onnx.export(
        Hidden().eval(), example, str(path), input_names=names, output_names=["hidden"], dynamic_axes=axes, dynamo=False,
    )
    quantize_dynamic(str(path), str(folder / "int8.onnx"), weight_type=QuantType.QInt8, per_channel=True)
    return path


def calibrated(model, others: list[dict]):
    """OpenVINO's model with int8 weights and activations, by NNCF."""
    import nncf

    tokens = Batched()
    tokens.batch = 1
    inputs = [inputs for _, inputs in tokens.batches([text_of(paper) for paper in others])]
    return nncf.quantize(model, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs))


def median_of(work, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def limits() -> dict[str, float]:
    """oneDNN's best matmul rate at this model's shapes, in Gop/s, by torch."""
    import torch

    rates = {}
    for name, kind in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        x, w = torch.randn(1024, 384).to(kind), torch.randn(1536, 384).to(kind)
        with torch.inference_mode():
            seconds = min(median_of(lambda: torch.nn.functional.linear(x, w), 30) for _ in range(3))
        rates[name] = 2 * 1024 * 384 * 1536 / seconds / 1e9
    return rates


def nearest(vectors: np.ndarray) -> np.ndarray:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :10]


def engines(corpus: list[dict], others: list[dict], folder: pathlib.Path) -> list:
    import sys

    import openvino

    sys.path.insert(0, str(ROOT / "tests/golden"))
    from make import complete

    path = exported(folder)
    reference = complete(MODEL)
    model = openvino.convert_model(str(path))
    found = [SentenceTransformers(precision, reference.name) for precision in ("f32", "bf16")]
    found += [OnnxRuntime("f32", str(path)), OnnxRuntime("int8 dynamic", str(folder / "int8.onnx"))]
    found += [OpenVino("f32", model), OpenVino("bf16", model), OpenVino("int8", calibrated(model, others))]
    return found + [Likewise(precision, corpus) for precision in ("f32", "bf16", "int8")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dump", default=str(ROOT / "tests/data/sample.jsonl"))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    corpus, others = papers(options.dump, options.count)
    texts = [text_of(paper) for paper in corpus]
    with tempfile.TemporaryDirectory() as folder:
        found = engines(corpus, others, pathlib.Path(folder))
        seconds = {engine.name: [] for engine in found}
        vectors = {}
        for _ in range(options.rounds):
            for engine in found:
                start = time.perf_counter()
                vectors[engine.name] = engine.encode(texts)
                seconds[engine.name].append(time.perf_counter() - start)
        latencies = {engine.name: engine.latency(30) * 1e3 for engine in found}
    truth = vectors["sentence-transformers f32"]
    lines = [
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores; {len(texts)} papers of "
        f"{pathlib.Path(options.dump).name}, {options.rounds} interleaved rounds, medians.",
        "oneDNN's matmul at this model's shapes: "
        + ", ".join(f"{rate:.0f} Gop/s in {name}" for name, rate in limits().items()),
        "",
        "| engine | papers/s | one text of 200 tokens, ms | cosine to f32, mean | least | top-10 overlap |",
        "|---|---|---|---|---|---|",
    ]
    for engine in found:
        cosines = (vectors[engine.name] * truth).sum(1)
        pairs = zip(nearest(truth), nearest(vectors[engine.name]))
        overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
        lines.append(
            f"| {engine.name} | {len(texts) / statistics.median(seconds[engine.name]):.1f} "
            f"| {latencies[engine.name]:.1f} | {cosines.mean():.5f} | {cosines.min():.5f} | {overlap:.3f} |"
        )
    print("\n".join(lines))
    if options.results:
        options.results.write_text("# The encoder beside its peers\n\n`make bench-encode`; how, and what is fair: benches/peers.py.\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
