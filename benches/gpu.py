"""The encoder on a GPU beside sentence-transformers in bf16, on the same card, in turn.

    scripts/gpu-bench.sh DUMP               # builds, installs, runs this, writes benches/results/gpu.md

Measured: papers a second over 20,000 papers of a dump, from text to vectors, for all-MiniLM-L6-v2 and for random
checkpoints of a BERT-base and a ModernBERT-base shape (weights do not matter to speed); the cosine of ours in bf16 to
the peer in f32, mean and least, over 512 of them; and what share of the card's own bf16 rate the network's
multiplications come to. That rate is torch's matmul of 8192 x 8192 by 8192 x 8192, the best of ten.

Fair: the same folder, texts, length limit and card. No peer reads titles a second time, so ours runs with `--title 0`;
by default all-MiniLM-L6-v2 would encode every title, too, and have 15 % of it in its vectors. The run fails if ours are
not the peer's then. The peer sorts by length, runs in bf16 with torch's own attention, loaded and warm, with the batch
size that suits it best of 64, 128 and 256. Ours is timed as a whole process, `likewise embed`, less what the same
process takes for 256 papers, so that start and loading are in neither; reading, tokenising and writing are in. Both take
turns, medians of three rounds.

The sections of the file are cards, not CPUs.

`--tiny` takes 24 papers and all-MiniLM-L6-v2. Without a card and torch it says so, and runs ours on the CPU.
"""

import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np

import program
import results
from checkpoints import recipe
from corpus import papers, spread, text_of, write
from options import SAMPLE, has, parse, parser

DEFAULT = "all-MiniLM-L6-v2"
# The length limit of the default model; checkpoints say theirs.
DEFAULT_LENGTH = 256
BATCHES = (64, 128, 256)
COMPARED = 512
# Below this, the two do not encode the same texts; bf16 itself costs some 0.0001.
SAME = 0.999
COLUMNS = ["model", "likewise bf16, papers/s", "sentence-transformers bf16, papers/s", "ratio", "of the card's rate", "cosine to f32, mean", "least"]


def card_rate() -> float:
    """Multiplications and additions a second."""
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
    """`likewise embed --title 0`, on the card or, without one, on the CPU."""

    def __init__(self, options, folder: pathlib.Path, model: pathlib.Path, device: str):
        self.binary, self.folder = options.likewise, folder
        self.how = ["--model", model, "--device", device, "--precision", "bf16", "--title", 0]

    def seconds(self, name: str) -> float:
        """Of a whole process over NAME.jsonl."""
        started = time.perf_counter()
        program.run(self.binary, "embed", self.folder / f"{name}.jsonl", *self.how, "--out", self.folder / f"{name}.npy")
        return time.perf_counter() - started

    def net(self) -> float:
        """Seconds for those papers that are in `many` and not in `few`."""
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

    def work(self, texts: list[str]) -> float:
        """Multiplications and additions that the network needs for a text, without padding."""
        import torch

        network = self.exact[0].auto_model if hasattr(self.exact[0], "auto_model") else self.exact[0].model
        linear = sum(module.weight.numel() for module in network.modules() if isinstance(module, torch.nn.Linear))
        pairs = 4 * network.config.num_hidden_layers * network.config.hidden_size
        lengths = [min(len(ids), self.exact.max_seq_length) for ids in self.exact.tokenizer(texts[:2000])["input_ids"]]
        return statistics.mean(2 * linear * length + pairs * length * length for length in lengths)


def models(folder: pathlib.Path, texts: list[str], tiny: bool):
    """Titles and folders; each checkpoint is made when its turn comes."""
    yield DEFAULT, program.MODELS / DEFAULT
    if tiny:
        return
    settings = dict(OUT=folder, CORPUS=texts[:4000], VOCABULARY=16000, LONGEST=528, WIDTH=768, HEADS=12)
    # BERT-base is RoBERTa's shape, too.
    for title, shape, depth, wide in (("BERT-base, random", "roberta", 12, 3072), ("ModernBERT-base, random", "modernbert", 22, 1152)):
        recipe(**settings, DEPTH=depth, WIDE=wide).built(shape)
        yield title, folder / shape


def measured(title: str, likewise: Likewise, peer: Peer | None, texts: list[str], options, rate: float) -> list[str]:
    """A row of the table."""
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(likewise.net())
        if peer:
            theirs.append(peer.seconds(texts))
    mine, got = (len(texts) - options.few) / statistics.median(ours), likewise.vectors()
    assert len(got) == len(texts) and np.allclose(np.linalg.norm(got, axis=1), 1, atol=1e-3), got.shape
    if not peer:
        return [title, f"{mine:,.0f}", *["–"] * (len(COLUMNS) - 2)]
    cosines = (peer.vectors(texts[:COMPARED]) * got[:COMPARED]).sum(1)
    assert cosines.mean() > SAME, f"{title}: ours are not the peer's vectors, mean cosine {cosines.mean():.5f}"
    peers = len(texts) / statistics.median(theirs)
    share = f"{mine * peer.work(texts) / rate:.0%}"
    beside = [f"{peers:,.0f} (batches of {peer.batch})", f"{mine / peers:.2f}×", share]
    return [title, f"{mine:,.0f}", *beside, f"{cosines.mean():.6f}", f"{cosines.min():.6f}"]


def has_card(tiny: bool) -> bool:
    """Whether there is a card that torch can use."""
    if not has("sentence-transformers on a card", "torch", "sentence_transformers", tiny=tiny):
        return False
    import torch

    return torch.cuda.is_available()


def card_name(there: bool) -> str:
    """As torch, or the driver where there is no torch, or nobody says it."""
    if there:
        import torch

        return torch.cuda.get_device_name(0)
    try:
        asked = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
        return asked.stdout.splitlines()[0] if asked.returncode == 0 else ""
    except (FileNotFoundError, IndexError):
        return ""


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--dump", default=str(SAMPLE))
    made.add_argument("--papers", type=int, default=20_000)
    made.add_argument("--few", type=int, default=256, help="papers of the run that is taken off")
    made.add_argument("--rounds", type=int, default=3)
    options = parse(made, papers=24, few=4, rounds=1)
    there = has_card(options.tiny)
    if not there and not options.tiny:
        made.error("there is no NVIDIA card that torch can use")
    card = card_name(there)
    if not there:
        print(f"no card to measure by ({card or 'nvidia-smi names none'}): ours runs on the CPU", flush=True)
    chosen = spread(papers(options.dump), options.papers)
    texts, rows, rate = [text_of(paper) for paper in chosen], [], card_rate() if there else 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write(folder / "many.jsonl", chosen)
        write(folder / "few.jsonl", chosen[: options.few])
        for title, model in models(folder, texts, options.tiny):
            peer = Peer(model, texts) if there else None
            rows.append(measured(title, Likewise(options, folder, model, "cuda:0" if there else "cpu"), peer, texts, options, rate))
            print(" | ".join(rows[-1]), flush=True)
    where = f"{card}, bf16 matmul {rate / 1e12:.0f} Tflop/s" if there else f"no card; {results.machine()}"
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = f"{results.today()}, {where}; {len(texts):,} papers of {pathlib.Path(options.dump).name}, {options.rounds} interleaved rounds, medians. {used}."
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    section = card if there else ""
    results.report(options, "gpu", "The encoder on a GPU", "scripts/gpu-bench.sh", "gpu.py", text, section)


if __name__ == "__main__":
    main()
