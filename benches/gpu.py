"""The encoder on a GPU beside sentence-transformers in bf16, on the same card, in turn.

    scripts/gpu-bench.sh DUMP               # builds, installs, runs this, writes benches/RESULTS.md

Measured: papers a second over 20,000 papers of a dump, from text to vectors, for all-MiniLM-L6-v2 and for random
checkpoints of a BERT-base and a ModernBERT-base shape (weights do not matter to speed); the cosine of ours in bf16 to
the peer in f32, mean and least, over 512 of them; and what share of the card's own bf16 rate the network's
multiplications come to. That rate is torch's matmul of 8192 x 8192 by 8192 x 8192, the best of ten.

Fair: the same folder, texts, length limit and card; the peer sorts by length, runs in bf16 with torch's own attention,
loaded and warm, with the batch size that suits it best of 64, 128 and 256. Ours is timed as a whole process, `likewise
embed`, less what the same process takes for 256 papers, so that start and loading are in neither; reading, tokenising
and writing are in. Both take turns, medians of three rounds.
"""

import argparse
import pathlib
import statistics
import subprocess
import time

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

import results
from checkpoints import ROOT, papers, recipe, text_of, write

PROGRAM = ROOT / "target/release/likewise"
FEW = 256


def card_rate() -> float:
    """Multiplications and additions a second."""
    size, best = 8192, 0.0
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(11):
        torch.cuda.synchronize()
        started = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def work(model: SentenceTransformer, lengths: list[int]) -> float:
    """Multiplications and additions that the network needs for texts of these lengths, without padding."""
    network = model[0].auto_model if hasattr(model[0], "auto_model") else model[0].model
    linear = sum(module.weight.numel() for module in network.modules() if isinstance(module, torch.nn.Linear))
    config = network.config
    pairs = 4 * config.num_hidden_layers * config.hidden_size
    return sum(2 * linear * length + pairs * length * length for length in lengths)


def ours(folder: pathlib.Path, dump: pathlib.Path, out: pathlib.Path) -> float:
    """Seconds of a whole process."""
    command = [PROGRAM, "embed", dump, "--model", folder, "--device", "cuda:0", "--precision", "bf16", "--out", out]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--dump", required=True)
    arguments.add_argument("--papers", type=int, default=20000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--results")
    arguments = arguments.parse_args()
    folder = ROOT / "target/bench/gpu"
    folder.mkdir(parents=True, exist_ok=True)
    every = papers(arguments.dump)
    chosen = every[:: max(1, len(every) // arguments.papers)][: arguments.papers]
    for name, part in (("many", chosen), ("few", chosen[:FEW])):
        write(folder / f"{name}.jsonl", part)
    texts = [text_of(paper) for paper in chosen]
    settings = dict(OUT=folder, CORPUS=texts[:4000], VOCABULARY=16000, LONGEST=528, WIDTH=768, HEADS=12)
    models = {"all-MiniLM-L6-v2": ROOT / "models/all-MiniLM-L6-v2"}
    # BERT-base is RoBERTa's shape, too.
    for title, shape, depth, wide in (("BERT-base, random", "roberta", 12, 3072), ("ModernBERT-base, random", "modernbert", 22, 1152)):
        recipe(**settings, DEPTH=depth, WIDE=wide).built(shape)
        models[title] = folder / shape
    rate = card_rate()
    rows = []
    for title, path in models.items():
        exact = SentenceTransformer(str(path), device="cuda")
        peer = SentenceTransformer(str(path), device="cuda", model_kwargs={"dtype": torch.bfloat16})
        if title == "all-MiniLM-L6-v2":
            exact.max_seq_length = peer.max_seq_length = 256
        timed = {}
        for size in (64, 128, 256):
            started = time.perf_counter()
            peer.encode(texts[:2048], batch_size=size, normalize_embeddings=True)
            timed[size] = time.perf_counter() - started
        size = min(timed, key=timed.get)
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for _ in range(arguments.rounds):
            many = ours(path, folder / "many.jsonl", folder / "many.npy")
            seconds["ours"].append(many - ours(path, folder / "few.jsonl", folder / "few.npy"))
            started = time.perf_counter()
            peer.encode(texts, batch_size=size, normalize_embeddings=True)
            seconds["peer"].append(time.perf_counter() - started)
        mine = (len(texts) - FEW) / statistics.median(seconds["ours"])
        theirs = len(texts) / statistics.median(seconds["peer"])
        lengths = [min(len(ids), exact.max_seq_length) for ids in exact.tokenizer(texts[:2000])["input_ids"]]
        share = mine * work(exact, lengths) / len(lengths) / rate
        got = np.load(folder / "many.npy")[:512]
        cosines = (exact.encode(texts[:512], normalize_embeddings=True) * got).sum(1)
        rows.append([title, f"{mine:,.0f}", f"{theirs:,.0f} (batches of {size})", f"{mine / theirs:.2f}×", f"{share:.0%}", f"{cosines.mean():.6f}", f"{cosines.min():.6f}"])
        print(" | ".join(rows[-1]), flush=True)
        del exact, peer
        torch.cuda.empty_cache()
    import sentence_transformers

    columns = ["model", "likewise bf16, papers/s", "sentence-transformers bf16, papers/s", "ratio", "of the card's rate", "cosine to f32, mean", "least"]
    text = (
        "`scripts/gpu-bench.sh`; how, and what is fair: benches/gpu.py.\n\n"
        f"{results.today()}, {torch.cuda.get_device_name(0)}, bf16 matmul {rate / 1e12:.0f} Tflop/s; {len(texts):,} papers of {pathlib.Path(arguments.dump).name}, "
        f"{arguments.rounds} interleaved rounds, medians. torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}.\n\n"
        + results.table(columns, rows)
    )
    print(text)
    if arguments.results:
        results.write_section(arguments.results, "The encoder on a GPU", text)


if __name__ == "__main__":
    main()
