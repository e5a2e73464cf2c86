"""Ways from texts to vectors: likewise and its peers, each in a process of its own, behind one interface.

Its own file because benches/encode_peers.py, which compares them, says what is fair; here is how each is called.
"""

import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import program
from corpus import text_of, write
from options import ROOT, has

MODEL = program.MODELS / "all-MiniLM-L6-v2"
MAX_LENGTH = 256
LATENCY_TEXTS = ["glacier " * 198, "glacier " * 8]
PRECISIONS = ("f32", "bf16", "int8")
# A peer's vectors are of the text alone, so ours must be, too.
NO_TITLE = ("--title", 0)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def median_of(work, rounds: int) -> float:
    """Seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Encoder:
    precision = "f32"

    def encode(self, texts: list[str]) -> np.ndarray:
        raise NotImplementedError

    def latencies(self, rounds: int) -> list[float]:
        """Of each of LATENCY_TEXTS, in ms."""
        return [median_of(lambda: self.encode([text]), rounds) * 1e3 for text in LATENCY_TEXTS]

    def memory(self) -> float:
        """Resident megabytes of this process."""
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Likewise(Encoder):
    """The whole process, `likewise embed --title 0`; latency by its server."""

    def __init__(self, precision: str, binary: pathlib.Path, papers: list[dict]):
        self.precision, self.binary = precision, binary
        self.folder = pathlib.Path(tempfile.mkdtemp())
        write(self.folder / "dump.jsonl", papers)
        self.largest = 0.0

    def encode(self, _texts: list[str]) -> np.ndarray:
        out = self.folder / "vectors.npy"
        command = [self.binary, "embed", self.folder / "dump.jsonl", "--out", out, "--precision", self.precision, *map(str, NO_TITLE)]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=program.ENVIRONMENT)
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        assert running.returncode == 0, command
        self.largest = max(self.largest, usage.ru_maxrss / 1024)
        return np.load(out)

    def memory(self) -> float:
        """The most it ever had, loading included."""
        return self.largest

    def latencies(self, rounds: int) -> list[float]:
        """Of `POST /v1/embeddings`, which takes texts and no titles; HTTP included."""
        write(self.folder / "one.jsonl", [{"id": "a", "title": "A", "abstract": "B."}])
        common = ["--data", self.folder / "data", "--precision", self.precision, *NO_TITLE]
        program.run(self.binary, "ingest", self.folder / "one.jsonl", *common)
        with program.Server(self.binary, *common) as server:

            def ask(text: str) -> None:
                status, answer, _ = server.ask("/v1/embeddings", {"input": text})
                assert status == 200, answer

            return [median_of(lambda: ask(text), rounds) * 1e3 for text in LATENCY_TEXTS]


class SentenceTransformers(Encoder):
    def __init__(self, precision: str, folder: str):
        import sentence_transformers
        import torch

        self.precision = precision
        kind = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
        self.model = sentence_transformers.SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": kind})

    def encode(self, texts: list[str]) -> np.ndarray:
        return unit(self.model.encode(texts, batch_size=16, convert_to_tensor=True).float().numpy())


class Batched(Encoder):
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


def export_onnx(path: pathlib.Path) -> None:
    """The model as torch writes it for ONNX Runtime and OpenVINO."""
    import torch
    import transformers

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = transformers.BertModel.from_pretrained(MODEL, attn_implementation="eager")

        def forward(self, ids, mask, types):
            return self.bert(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones(2, 16, dtype=torch.long) for _ in names)
    axes = {name: {0: "texts", 1: "tokens"} for name in [*names, "hidden"]}
    torch.onnx.export(Hidden().eval(), example, str(path), input_names=names, output_names=["hidden"], dynamic_axes=axes, dynamo=False)


def sentence_transformers_peers(_folder: pathlib.Path, _others: list[dict]) -> dict[str, tuple]:
    sys.path.insert(0, str(ROOT / "tests/golden"))
    from make import complete

    # Its own files beside ours; gone when this process ends.
    global completed
    completed = complete(MODEL)
    return {f"sentence-transformers {kind}": (SentenceTransformers, kind, completed.name) for kind in ("f32", "bf16")}


def onnx_peers(folder: pathlib.Path, _others: list[dict]) -> dict[str, tuple]:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model, int8 = folder / "model.onnx", folder / "int8.onnx"
    quantize_dynamic(str(model), str(int8), weight_type=QuantType.QInt8, per_channel=True)
    return {"ONNX Runtime f32": (OnnxRuntime, "f32", str(model)), "ONNX Runtime int8, dynamic": (OnnxRuntime, "int8", str(int8))}


def openvino_peers(folder: pathlib.Path, others: list[dict]) -> dict[str, tuple]:
    """Its int8 is calibrated on other papers."""
    import nncf
    import openvino

    model = str(folder / "model.onnx")
    tokens = Batched()
    tokens.batch = 1
    inputs = [inputs for _, inputs in tokens.batches([text_of(paper) for paper in others])]
    calibration = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(inputs)}
    made = {
        "f32": openvino.convert_model(model),
        "int8": nncf.quantize(openvino.convert_model(model), nncf.Dataset(inputs), **calibration),
        "int8-weights": nncf.compress_weights(openvino.convert_model(model)),
    }
    for name, network in made.items():
        openvino.save_model(network, folder / f"{name}.xml", compress_to_fp16=False)
    kinds = {"f32": ("f32", "f32"), "bf16": ("bf16", "f32"), "int8, calibrated": ("int8", "int8"), "int8, weights only": ("int8", "int8-weights")}
    return {f"OpenVINO {name}": (OpenVino, precision, str(folder / f"{file}.xml")) for name, (precision, file) in kinds.items()}


def peers(folder: pathlib.Path, others: list[dict], tiny: bool) -> dict[str, tuple]:
    """What makes each peer, by name; their own files go into the folder. A tiny run passes over those not installed."""
    found = {}
    if has("sentence-transformers", "torch", "sentence_transformers", tiny=tiny):
        found |= sentence_transformers_peers(folder, others)
    # Both read a model that torch exports.
    with_onnx = has("ONNX Runtime", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", tiny=tiny)
    with_openvino = has("OpenVINO", "torch", "transformers", "tokenizers", "onnx", "openvino", "nncf", tiny=tiny)
    if with_onnx or with_openvino:
        export_onnx(folder / "model.onnx")
    if with_onnx:
        found |= onnx_peers(folder, others)
    if with_openvino:
        found |= openvino_peers(folder, others)
    return found


def ours(binary: pathlib.Path, papers: list[dict]) -> dict[str, tuple]:
    return {f"likewise {precision}": (Likewise, precision, binary, papers) for precision in PRECISIONS}


def work(connection, kind, *arguments) -> None:
    """An encoder's process: does what it is asked, and tells how long it took."""
    encoder = kind(*arguments)
    connection.send(encoder.precision)
    while (request := connection.recv()) is not None:
        method, *given = request
        start = time.perf_counter()
        answer = getattr(encoder, method)(*given)
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
