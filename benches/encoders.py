"""likewise and other encoders (its peers) with one interface, each in a process of its own. benches/encode_peers.py
compares the encoders."""

import base64
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
# The peers encode only the text, so likewise must not add the title's vector.
NO_TITLE = ("--title", 0)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def median_seconds(work, rounds: int) -> float:
    """The median time of `work` in seconds."""
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
        """The latency of each of LATENCY_TEXTS in ms."""
        return [median_seconds(lambda: self.encode([text]), rounds) * 1e3 for text in LATENCY_TEXTS]

    def memory(self) -> float:
        """The resident memory of this process in MB."""
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


class Likewise(Encoder):
    """likewise: the throughput of a whole process `likewise embed --title 0`, and the latency of the server."""

    def __init__(self, precision: str, binary: pathlib.Path, papers: list[dict]):
        self.precision, self.binary = precision, binary
        self.folder = pathlib.Path(tempfile.mkdtemp())
        write(self.folder / "dump.jsonl", papers)
        self.peak = 0.0

    def encode(self, _texts: list[str]) -> np.ndarray:
        out = self.folder / "vectors.npy"
        command = [self.binary, "embed", self.folder / "dump.jsonl", "--out", out, "--precision", self.precision, *map(str, NO_TITLE)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=program.ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        self.peak = max(self.peak, usage.ru_maxrss / 1024)
        return np.load(out)

    def memory(self) -> float:
        """The peak resident memory of all runs in MB, loading included."""
        return self.peak

    def latencies(self, rounds: int) -> list[float]:
        """The latencies of `POST /v1/embeddings`, which takes texts without titles. HTTP is included. The vectors come in
        base64, as OpenAI's Python client requests them."""
        write(self.folder / "one.jsonl", [{"id": "a", "title": "A", "abstract": "B."}])
        common = ["--data", self.folder / "data", "--precision", self.precision, *NO_TITLE]
        program.run(self.binary, "ingest", self.folder / "one.jsonl", *common)
        with program.Server(self.binary, *common) as server:

            def embed(text: str) -> None:
                status, response, _ = server.request("/v1/embeddings", {"input": text, "encoding_format": "base64"})
                assert status == 200, response
                np.frombuffer(base64.b64decode(response["data"][0]["embedding"]), dtype=np.float32)

            return [median_seconds(lambda: embed(text), rounds) * 1e3 for text in LATENCY_TEXTS]


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
    """The base class for ONNX Runtime and OpenVINO, which take padded batches and return token vectors."""

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
            for position, row in enumerate(rows):
                padded[position, : len(ids[row])] = ids[row]
                mask[position, : len(ids[row])] = 1
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
        self.for_batches = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", **hint})
        self.for_one_text = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY", **hint})
        self.queue = openvino.AsyncInferQueue(self.for_batches)

    def run(self, texts, take) -> None:
        if len(texts) == 1:
            for rows, inputs in self.batches(texts):
                take(self.for_one_text(inputs)[0], rows, inputs["attention_mask"])
            return
        self.queue.set_callback(lambda request, data: take(request.get_output_tensor(0).data, *data))
        for rows, inputs in self.batches(texts):
            self.queue.start_async(inputs, (rows, inputs["attention_mask"]))
        self.queue.wait_all()


def export_onnx(path: pathlib.Path) -> None:
    """Exports the model with torch to ONNX, the format that ONNX Runtime and OpenVINO read."""
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


def sentence_transformers_peers(_folder: pathlib.Path, _calibration: list[dict]) -> dict[str, tuple]:
    sys.path.insert(0, str(ROOT / "tests/golden"))
    from make import complete

    # A temporary copy of the model folder with the files that sentence-transformers needs. The variable is global, so
    # that the copy is kept until this process ends.
    global completed
    completed = complete(MODEL)
    return {f"sentence-transformers {kind}": (SentenceTransformers, kind, completed.name) for kind in ("f32", "bf16")}


def onnx_peers(folder: pathlib.Path, _calibration: list[dict]) -> dict[str, tuple]:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model, int8 = folder / "model.onnx", folder / "int8.onnx"
    quantize_dynamic(str(model), str(int8), weight_type=QuantType.QInt8, per_channel=True)
    return {"ONNX Runtime f32": (OnnxRuntime, "f32", str(model)), "ONNX Runtime int8, dynamic": (OnnxRuntime, "int8", str(int8))}


def openvino_peers(folder: pathlib.Path, calibration_papers: list[dict]) -> dict[str, tuple]:
    """OpenVINO in every precision, by name. One of the int8 models is calibrated with `calibration_papers`."""
    import nncf
    import openvino

    model = str(folder / "model.onnx")
    tokens = Batched()
    tokens.batch = 1
    inputs = [inputs for _, inputs in tokens.batches([text_of(paper) for paper in calibration_papers])]
    calibration = {"model_type": nncf.ModelType.TRANSFORMER, "subset_size": len(inputs)}
    models = {
        "f32": openvino.convert_model(model),
        "int8": nncf.quantize(openvino.convert_model(model), nncf.Dataset(inputs), **calibration),
        "int8-weights": nncf.compress_weights(openvino.convert_model(model)),
    }
    for name, converted in models.items():
        openvino.save_model(converted, folder / f"{name}.xml", compress_to_fp16=False)
    kinds = {"f32": ("f32", "f32"), "bf16": ("bf16", "f32"), "int8, calibrated": ("int8", "int8"), "int8, weights only": ("int8", "int8-weights")}
    return {f"OpenVINO {name}": (OpenVino, precision, str(folder / f"{file}.xml")) for name, (precision, file) in kinds.items()}


def peers(folder: pathlib.Path, calibration_papers: list[dict], tiny: bool) -> dict[str, tuple]:
    """The class and arguments of each peer, by name. Model files are written to the folder. A tiny run skips peers that
    are not installed."""
    found = {}
    if has("sentence-transformers", "torch", "sentence_transformers", tiny=tiny):
        found |= sentence_transformers_peers(folder, calibration_papers)
    # ONNX Runtime and OpenVINO read the model that torch exports.
    with_onnx = has("ONNX Runtime", "torch", "transformers", "tokenizers", "onnx", "onnxruntime", tiny=tiny)
    with_openvino = has("OpenVINO", "torch", "transformers", "tokenizers", "onnx", "openvino", "nncf", tiny=tiny)
    if with_onnx or with_openvino:
        export_onnx(folder / "model.onnx")
    if with_onnx:
        found |= onnx_peers(folder, calibration_papers)
    if with_openvino:
        found |= openvino_peers(folder, calibration_papers)
    return found


def likewise_encoders(binary: pathlib.Path, papers: list[dict]) -> dict[str, tuple]:
    """The class and arguments of likewise in every precision, by name."""
    return {f"likewise {precision}": (Likewise, precision, binary, papers) for precision in PRECISIONS}


def work(connection, kind, *arguments) -> None:
    """The main function of an encoder's process: calls the requested methods, and sends their times and results."""
    encoder = kind(*arguments)
    connection.send(encoder.precision)
    while (request := connection.recv()) is not None:
        method, *parameters = request
        start = time.perf_counter()
        result = getattr(encoder, method)(*parameters)
        connection.send((time.perf_counter() - start, result))


class Process:
    """An encoder in its own process."""

    def __init__(self, *class_and_arguments):
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=work, args=(other_end, *class_and_arguments), daemon=True)
        self.process.start()
        self.precision = self.connection.recv()

    def call(self, method: str, *parameters):
        """Calls a method of the encoder. Returns the seconds that it took and its result."""
        self.connection.send((method, *parameters))
        return self.connection.recv()

    def close(self) -> None:
        self.connection.send(None)
        self.process.join()
