"""The encoder beside its peers, in one interleaved run: papers a second, latency, memory, fidelity.

    make bench-encode                       # installs the peers into .venv-peers, runs, writes benches/RESULTS.md
    .venv-peers/bin/python benches/encode_peers.py --dump FILE --count 500 --rounds 3 --fidelity 5000

Measured: (a) papers a second over COUNT papers of a dump, evenly spread, from text to vectors; (b) the
median time of one text of 200 tokens and of 10; (c) resident memory after (a); (d) mean and smallest cosine to
sentence-transformers in f32, and the overlap of the ten nearest among the same papers; (e) with --fidelity N,
(d) again for ours over N papers; (f) oneDNN's matmul rate at this model's shapes, by torch, and how much of it
each engine's papers a second come to.

Fair: the same texts, cut at 256 tokens, on all cores; every engine is a process of its own that waits while
another works; they take turns in every round, and medians are shown; every peer sorts by length and gets the
batch size that suits it best of those tried. Ours is timed as a whole process, `likewise embed`: start,
reading, tokenising and writing included; its latency is its server's, HTTP included. The peers are loaded and
warm and called in place, which favours them. Unfair to peers: none is tuned for this machine beyond its own
hints. OpenVINO's int8 is calibrated by NNCF on 128 other papers of the dump.
"""

import argparse
import http.client
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata

import numpy as np

import results

ROOT = pathlib.Path(__file__).parent.parent
MODEL = ROOT / "models/all-MiniLM-L6-v2"
PROGRAM = ROOT / "target/release/likewise"
MAX_LENGTH = 256
LATENCY_TEXTS = ["glacier " * 198, "glacier " * 8]
PRECISIONS = ("f32", "bf16", "int8")


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


def resident() -> float:
    """Of this process, in MB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Engine:
    """A way from texts to vectors, in a process of its own."""

    precision = "f32"

    def encode(self, texts: list[str]) -> np.ndarray:
        raise NotImplementedError

    def latencies(self, rounds: int) -> list[float]:
        """Of each of LATENCY_TEXTS, in ms."""
        return [median_of(lambda: self.encode([text]), rounds) * 1e3 for text in LATENCY_TEXTS]

    def memory(self) -> float:
        return resident()


class Likewise(Engine):
    """Ours: the whole process; latency by its server."""

    def __init__(self, precision: str, corpus: list[dict]):
        self.precision = precision
        self.folder = pathlib.Path(tempfile.mkdtemp())
        (self.folder / "dump.jsonl").write_text("\n".join(map(json.dumps, corpus)) + "\n")
        self.largest = 0.0

    def encode(self, _texts: list[str]) -> np.ndarray:
        dump, out = self.folder / "dump.jsonl", self.folder / "vectors.npy"
        command = [PROGRAM, "embed", dump, "--output", out, "--precision", self.precision]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        assert running.returncode == 0, command
        self.largest = max(self.largest, usage.ru_maxrss / 1024)
        return np.load(out)

    def memory(self) -> float:
        """The most it ever had, loading included."""
        return self.largest

    def latencies(self, rounds: int) -> list[float]:
        """Of `POST /v1/embeddings`, HTTP included."""
        (self.folder / "one.jsonl").write_text('{"id": "a", "title": "A", "abstract": "B."}\n')
        common = ["--data", self.folder / "data", "--precision", self.precision]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
        subprocess.run([PROGRAM, "ingest", self.folder / "one.jsonl", *common], check=True, **quiet)
        server = subprocess.Popen([PROGRAM, "serve", "--listen", "127.0.0.1:8099", *common], **quiet)
        client = http.client.HTTPConnection("127.0.0.1", 8099, timeout=10)

        def ask(text: str) -> int:
            client.request("POST", "/v1/embeddings", json.dumps({"input": text}))
            answer = client.getresponse()
            answer.read()
            return answer.status

        def is_ready() -> bool:
            try:
                return ask("ready?") == 200
            except OSError:
                client.close()
                return False

        try:
            while not is_ready():
                time.sleep(0.05)
            return [median_of(lambda: ask(text), rounds) * 1e3 for text in LATENCY_TEXTS]
        finally:
            server.terminate()
            server.wait()


class SentenceTransformers(Engine):
    def __init__(self, precision: str, folder: str):
        import sentence_transformers
        import torch

        self.precision = precision
        kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.model = sentence_transformers.SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": kind})

    def encode(self, texts: list[str]) -> np.ndarray:
        return unit(self.model.encode(texts, batch_size=16, convert_to_tensor=True).float().numpy())


class Batched(Engine):
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


class OnnxRuntime(Batched):
    def __init__(self, precision: str, path: str):
        import onnxruntime

        super().__init__()
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count()
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, texts, take) -> None:
        for rows, inputs in self.batches(texts):
            take(self.session.run(None, inputs)[0], rows, inputs["attention_mask"])


class OpenVino(Batched):
    batch = 1

    def __init__(self, precision: str, path: str):
        import openvino

        super().__init__()
        self.precision = precision
        core = openvino.Core()
        model = core.read_model(path)
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


def prepare(folder: pathlib.Path, others: list[dict]) -> None:
    """The peers' own files: sentence-transformers' folder, ONNX, OpenVINO, each as its tools make them."""
    import nncf
    import openvino
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = transformers.BertModel.from_pretrained(MODEL, attn_implementation="eager")

        def forward(self, ids, mask, types):
            return self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    path = str(folder / "model.onnx")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones(2, 16, dtype=torch.long) for _ in names)
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "hidden"]}
    torch.onnx.export(
        Hidden().eval(), example, path, input_names=names, output_names=["hidden"], dynamic_axes=axes, dynamo=False,
    )
    quantize_dynamic(path, str(folder / "int8.onnx"), weight_type=QuantType.QInt8, per_channel=True)

    def save(model, name: str) -> None:
        openvino.save_model(model, folder / f"{name}.xml", compress_to_fp16=False)

    save(openvino.convert_model(path), "f32")
    tokens = Batched()
    tokens.batch = 1
    inputs = [inputs for _, inputs in tokens.batches([text_of(paper) for paper in others])]
    data, kind = nncf.Dataset(inputs), nncf.ModelType.TRANSFORMER
    save(nncf.quantize(openvino.convert_model(path), data, model_type=kind, subset_size=len(inputs)), "int8")
    save(nncf.compress_weights(openvino.convert_model(path)), "int8-weights")


def engines(folder: pathlib.Path, corpus: list[dict]) -> dict[str, tuple]:
    """By name, what makes each."""
    sys.path.insert(0, str(ROOT / "tests/golden"))
    from make import complete

    global reference
    reference = complete(MODEL)
    found = {f"sentence-transformers {kind}": (SentenceTransformers, kind, reference.name) for kind in ("f32", "bf16")}
    found["ONNX Runtime f32"] = (OnnxRuntime, "f32", str(folder / "model.onnx"))
    found["ONNX Runtime int8, dynamic"] = (OnnxRuntime, "int8", str(folder / "int8.onnx"))
    found["OpenVINO f32"] = (OpenVino, "f32", str(folder / "f32.xml"))
    found["OpenVINO bf16"] = (OpenVino, "bf16", str(folder / "f32.xml"))
    found["OpenVINO int8, calibrated"] = (OpenVino, "int8", str(folder / "int8.xml"))
    found["OpenVINO int8, weights only"] = (OpenVino, "int8", str(folder / "int8-weights.xml"))
    return found | {f"likewise {precision}": (Likewise, precision, corpus) for precision in PRECISIONS}


def work(connection, kind, *arguments) -> None:
    """An engine's process: does what it is asked, and tells how long it took."""
    engine = kind(*arguments)
    connection.send(engine.precision)
    while (request := connection.recv()) is not None:
        method, *given = request
        start = time.perf_counter()
        answer = getattr(engine, method)(*given)
        connection.send((time.perf_counter() - start, answer))


class Process:
    """The other end of [`work`]."""

    def __init__(self, *what):
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.process = context.Process(target=work, args=(far, *what), daemon=True)
        self.process.start()
        self.precision = self.connection.recv()

    def ask(self, method: str, *given):
        self.connection.send((method, *given))
        return self.connection.recv()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()


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
            multiply = lambda x, w: quantised(x, 0.1, 0, w, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")
        with torch.inference_mode():
            seconds = min(median_of(lambda: multiply(x, w), 30) for _ in range(5))
        rates[name] = 2 * 1024 * 384 * 1536 / seconds / 1e9
    return rates


def operations(texts: list[str]) -> float:
    """Gop that the model's multiplications take a text: six layers, 384 wide."""
    tokens = [len(ids) for rows, inputs in Batched().batches(texts) for ids in lengths(inputs)]
    return statistics.mean(6 * (24 * 384**2 * count + 4 * 384 * count**2) for count in tokens) / 1e9


def lengths(inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [ids[mask == 1] for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"])]


def nearest(vectors: np.ndarray) -> np.ndarray:
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -2)
    return np.argsort(-scores, axis=1)[:, :10]


def fidelity(truth: np.ndarray, vectors: np.ndarray) -> str:
    cosines = (vectors * truth).sum(1)
    pairs = zip(nearest(truth), nearest(vectors))
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
    return f"{cosines.mean():.5f} | {cosines.min():.5f} | {overlap:.4f}"


def compare(texts: list[str], rounds: int, made: dict[str, tuple]) -> list[str]:
    """The table of all engines."""
    running = {name: Process(*what) for name, what in made.items()}
    seconds, vectors = {name: [] for name in running}, {}
    for _ in range(rounds):
        for name, engine in running.items():
            took, vectors[name] = engine.ask("encode", texts)
            seconds[name].append(took)
    memory = {name: engine.ask("memory")[1] for name, engine in running.items()}
    latencies = {name: engine.ask("latencies", 30)[1] for name, engine in running.items()}
    for engine in running.values():
        engine.close()
    rates, gop = limits(), operations(texts)
    speed = {name: len(texts) / statistics.median(times) for name, times in seconds.items()}
    lines = [
        f"One text takes {gop:.2f} Gop. oneDNN's matmul: "
        + ", ".join(f"{rate:.0f} Gop/s in {name}, {rate / gop:.0f} papers/s" for name, rate in rates.items()) + ".",
        "",
        "| engine | papers/s | likewise is | of the limit | 200 tokens, ms | 10 tokens, ms | MB | cosine to f32, mean | least "
        "| top-10 overlap |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, engine in running.items():
        ours, share = speed[f"likewise {engine.precision}"] / speed[name], speed[name] * gop / rates[engine.precision]
        long, short = latencies[name]
        lines.append(
            f"| {name} | {speed[name]:.1f} | {ours:.2f}× | {share:.0%} | {long:.1f} | {short:.2f} | {memory[name]:.0f} "
            f"| {fidelity(vectors['sentence-transformers f32'], vectors[name])} |"
        )
    return lines


def compare_more(corpus: list[dict], folder: pathlib.Path) -> list[str]:
    """The table of ours over many papers."""
    texts, made = [text_of(paper) for paper in corpus], engines(folder, corpus)
    wanted = ["sentence-transformers f32", *(f"likewise {precision}" for precision in PRECISIONS)]
    vectors = {}
    for name in wanted:
        engine = Process(*made[name])
        vectors[name] = engine.ask("encode", texts)[1]
        engine.close()
    lines = ["", f"Over {len(texts)} papers:", "", "| engine | cosine to f32, mean | least | top-10 overlap |", "|---|---|---|---|"]
    return lines + [f"| {name} | {fidelity(vectors[wanted[0]], vectors[name])} |" for name in wanted[1:]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dump", default=str(ROOT / "tests/data/sample.jsonl"))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fidelity", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="engines whose names begin so; ours always run")
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    corpus, others = papers(options.dump, options.count)
    packages = ("torch", "sentence-transformers", "onnxruntime", "openvino", "nncf")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    lines = [
        f"{results.today()}, {results.machine()}; {len(corpus)} papers of "
        f"{pathlib.Path(options.dump).name}, {options.rounds} interleaved rounds, medians. {versions}.",
        "",
    ]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        prepare(folder, others)
        made = engines(folder, corpus)
        if options.only:
            starts = ("likewise", "sentence-transformers f32", *options.only)
            made = {name: what for name, what in made.items() if name.startswith(starts)}
        lines += compare([text_of(paper) for paper in corpus], options.rounds, made)
        if options.fidelity:
            more, _ = papers(options.dump, options.fidelity)
            lines += compare_more(more, folder)
    print("\n".join(lines))
    if options.results:
        how = "`make bench-encode`; how, and what is fair: benches/encode_peers.py.\n\n"
        results.write_section(options.results, "The encoder beside its peers", how + "\n".join(lines))


if __name__ == "__main__":
    main()
