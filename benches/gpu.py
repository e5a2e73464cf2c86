"""Compares the encoder on a GPU with sentence-transformers in bf16 on the same GPU.

    scripts/gpu-bench.sh DUMP               # builds, installs, runs this, writes benches/results/gpu.md

Measured: papers per second over 20,000 papers of a dump, from text to vectors, for all-MiniLM-L6-v2 and for random
checkpoints of the shapes of BERT-base and ModernBERT-base (the values of the weights do not affect the speed); mean and
minimum cosine of likewise's bf16 vectors to sentence-transformers' f32 vectors over 512 of the papers; and the rate of
the network's multiplications as a share of the GPU's bf16 rate. The GPU's rate is the best of eleven measurements of
torch's product of two 8192 x 8192 matrices.

Fair: likewise and the peer (sentence-transformers) use the same folder, texts, length limit and GPU. The peer does not
encode titles separately, so likewise runs with `--title 0`; by default all-MiniLM-L6-v2 also encodes the title, with a
weight of 15 %. The run fails if the vectors differ. The peer sorts texts by length, runs in bf16 with torch's
attention, is already loaded, and has the best batch size of 64, 128 and 256. likewise is measured as a whole process,
`likewise embed`, minus the time of the same process for 256 papers, which removes start and loading, but not reading,
tokenising and writing. Both take turns, and medians of three rounds are reported.

The file of the results has one section per GPU model, not per CPU class.

`--tiny` uses 24 papers and only all-MiniLM-L6-v2. If there is no GPU that torch can use, a tiny run prints that, and
runs likewise on the CPU.
"""

import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

import program
import results
from checkpoints import checkpoint_maker
from corpus import papers, spread, text_of, write
from options import SAMPLE, has, parse, parser

DEFAULT = "all-MiniLM-L6-v2"
# The length limit of the default model. For the random checkpoints, the limit is in the files of the checkpoint.
DEFAULT_LENGTH = 256
BATCHES = (64, 128, 256)
COMPARED = 512
# If the mean cosine is below this, the two encoders do not encode the same texts. bf16 itself lowers the mean cosine by
# about 0.0001.
MIN_COSINE = 0.999
COLUMNS = ["model", "likewise bf16, papers/s", "sentence-transformers bf16, papers/s", "ratio", "share of GPU rate", "cosine to f32, mean", "cosine to f32, min"]


def gpu_rate() -> float:
    """The highest measured number of multiplications and additions per second in bf16."""
    import torch

    size, best = 8192, 0.0
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(11):
        torch.cuda.synchronize()
        started = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


class Likewise:
    """`likewise embed --title 0` on the GPU or, if there is none, on the CPU."""

    def __init__(self, options, folder: pathlib.Path, model: pathlib.Path, device: str):
        self.binary, self.folder = options.likewise, folder
        self.options = ["--model", model, "--device", device, "--precision", "bf16", "--title", 0]

    def seconds(self, name: str) -> float:
        """The seconds that a whole process takes for NAME.jsonl."""
        started = time.perf_counter()
        program.run(self.binary, "embed", self.folder / f"{name}.jsonl", *self.options, "--out", self.folder / f"{name}.npy")
        return time.perf_counter() - started

    def net_seconds(self) -> float:
        """Seconds for the papers of `many` that are not in `few`, without start and loading."""
        return self.seconds("many") - self.seconds("few")

    def vectors(self) -> np.ndarray:
        return np.load(self.folder / "many.npy")


class Peer:
    def __init__(self, model: pathlib.Path, texts: list[str]):
        import torch
        from sentence_transformers import SentenceTransformer

        self.exact = SentenceTransformer(str(model), device="cuda")
        self.fast = SentenceTransformer(str(model), device="cuda", model_kwargs={"dtype": torch.bfloat16})
        if model.name == DEFAULT:
            self.exact.max_seq_length = self.fast.max_seq_length = DEFAULT_LENGTH
        self.batch = min(BATCHES, key=lambda size: self.seconds(texts[:2048], size))

    def seconds(self, texts: list[str], batch: int | None = None) -> float:
        started = time.perf_counter()
        self.fast.encode(texts, batch_size=batch or self.batch, normalize_embeddings=True)
        return time.perf_counter() - started

    def vectors(self, texts: list[str]) -> np.ndarray:
        return self.exact.encode(texts, normalize_embeddings=True)

    def operations(self, texts: list[str]) -> float:
        """The mean number of multiplications and additions that the network needs for a text, without padding."""
        import torch

        network = self.exact[0].auto_model if hasattr(self.exact[0], "auto_model") else self.exact[0].model
        linear = sum(module.weight.numel() for module in network.modules() if isinstance(module, torch.nn.Linear))
        pairs = 4 * network.config.num_hidden_layers * network.config.hidden_size
        lengths = [min(len(ids), self.exact.max_seq_length) for ids in self.exact.tokenizer(texts[:2000])["input_ids"]]
        return statistics.mean(2 * linear * length + pairs * length * length for length in lengths)


def models(folder: pathlib.Path, texts: list[str], tiny: bool):
    """Yields the title and the folder of each model. A checkpoint is made just before it is yielded."""
    yield DEFAULT, program.MODELS / DEFAULT
    if tiny:
        return
    settings = dict(OUT=folder, CORPUS=texts[:4000], VOCABULARY=16000, MAX_POSITIONS=528, WIDTH=768, HEADS=12)
    # RoBERTa-base has the shape of BERT-base.
    for title, shape, depth, intermediate in (("BERT-base, random", "roberta", 12, 3072), ("ModernBERT-base, random", "modernbert", 22, 1152)):
        checkpoint_maker(**settings, DEPTH=depth, INTERMEDIATE=intermediate).build(shape)
        yield title, folder / shape


def measure(title: str, likewise: Likewise, peer: Peer | None, texts: list[str], options, rate: float) -> list[str]:
    """A row of the table."""
    likewise_times, peer_times = [], []
    for _ in range(options.rounds):
        likewise_times.append(likewise.net_seconds())
        if peer:
            peer_times.append(peer.seconds(texts))
    likewise_rate = (len(texts) - options.few) / statistics.median(likewise_times)
    vectors = likewise.vectors()
    assert len(vectors) == len(texts) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3), vectors.shape
    if not peer:
        return [title, f"{likewise_rate:,.0f}", *["–"] * (len(COLUMNS) - 2)]
    cosines = (peer.vectors(texts[:COMPARED]) * vectors[:COMPARED]).sum(1)
    assert cosines.mean() > MIN_COSINE, f"{title}: likewise's vectors differ from the peer's, mean cosine {cosines.mean():.5f}"
    peer_rate = len(texts) / statistics.median(peer_times)
    share = f"{likewise_rate * peer.operations(texts) / rate:.0%}"
    comparison = [f"{peer_rate:,.0f} (batches of {peer.batch})", f"{likewise_rate / peer_rate:.2f}×", share]
    return [title, f"{likewise_rate:,.0f}", *comparison, f"{cosines.mean():.6f}", f"{cosines.min():.6f}"]


def has_gpu(tiny: bool) -> bool:
    """Whether there is a GPU that torch can use."""
    if not has("sentence-transformers on a GPU", "torch", "sentence_transformers", tiny=tiny):
        return False
    import torch

    return torch.cuda.is_available()


def gpu_name(usable: bool) -> str:
    """The name of the GPU, from torch if torch can use the GPU, otherwise from the driver. Empty: there is no GPU."""
    if usable:
        import torch

        return torch.cuda.get_device_name(0)
    try:
        result = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
        return result.stdout.splitlines()[0] if result.returncode == 0 else ""
    except (FileNotFoundError, IndexError):
        return ""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--papers", type=int, default=20_000)
    arguments.add_argument("--few", type=int, default=256, help="number of papers of the run whose time is subtracted")
    arguments.add_argument("--rounds", type=int, default=3)
    options = parse(arguments, papers=24, few=4, rounds=1)
    usable = has_gpu(options.tiny)
    if not usable and not options.tiny:
        arguments.error("there is no NVIDIA GPU that torch can use; only --tiny runs without a GPU")
    gpu = gpu_name(usable)
    if not usable:
        print(f"no usable GPU ({gpu or 'nvidia-smi lists none'}): likewise runs on the CPU", flush=True)
    chosen = spread(papers(options.dump), options.papers)
    texts, rows, rate = [text_of(paper) for paper in chosen], [], gpu_rate() if usable else 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder / "many.jsonl", chosen)
        write(folder / "few.jsonl", chosen[: options.few])
        for title, model in models(folder, texts, options.tiny):
            peer = Peer(model, texts) if usable else None
            likewise = Likewise(options, folder, model, "cuda:0" if usable else "cpu")
            rows.append(measure(title, likewise, peer, texts, options, rate))
            print(" | ".join(rows[-1]), flush=True)
    device = f"{gpu}, bf16 matmul {rate / 1e12:.0f} Tflop/s" if usable else f"no GPU; {results.machine()}"
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = f"{results.today()}, {device}; {len(texts):,} papers of {pathlib.Path(options.dump).name}, {options.rounds} interleaved rounds, medians. {used}."
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    section = gpu if usable else ""
    results.report(options, "gpu", "The encoder on a GPU", "scripts/gpu-bench.sh", "gpu.py", text, section)


if __name__ == "__main__":
    main()
