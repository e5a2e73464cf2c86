"""Compares likewise's cross-encoders with those of sentence-transformers: the time to rank 30 abstracts for a question.

    make bench-rerank            # installs the peer into .venv-peers, runs, writes benches/results/rerank.md

Measured: the time of one call that scores a question with 30 abstracts of a dump, on a random cross-encoder of the shape
of ms-marco-MiniLM-L6-v2 (6 layers of 384 values), made from the tokenizer of all-MiniLM-L6-v2. likewise is measured over
HTTP, with `POST /rerank` of a server, in f32, bf16, int8 and the precision that `auto` chooses: parsing, the queue and
the tokenizer are included. The peer (sentence-transformers) is called in its own process, in f32. Also measured: the
largest difference of a score in f32 to the peer's, and the shares of the best ten that are the peer's in lower precisions.

Fair: both use the same folder and the same texts, all cores, and are warm. They take turns in every round; the results
are medians. The peer sorts pairs by length and pads batches of 30. Random weights are as fast as trained weights, but
their scores differ less, so that ranks change more easily in lower precisions. To likewise's disadvantage: HTTP.

`--tiny` uses 4 abstracts, and does not need the peer.
"""

import json
import os
import pathlib
import statistics
import tempfile
import time

import program
import results
from corpus import papers, spread, text_of
from options import ROOT, SAMPLE, has, parse, parser

QUESTION = "Which methods learn good representations of documents without labelled data?"
MODEL = ROOT / "models/all-MiniLM-L6-v2"
SMALL = ROOT / "tests/golden/small/cross_bert"
PRECISIONS = ["f32", "bf16", "int8", "auto"]
COLUMNS = ["ranks with", "ms per call", "pairs/s", "ratio to peer", "largest difference", "of the peer's best ten"]


class Likewise:
    """A server with the cross-encoder in one precision."""

    def __init__(self, binary: pathlib.Path, data: pathlib.Path, folder: pathlib.Path, precision: str):
        options = ["--data", data, "--reranker", folder, "--reranker-precision", precision]
        self.server = program.Server(binary, *options)

    def scores(self, texts: list[str]) -> list[float]:
        status, ranks, _ = self.server.request("/rerank", {"query": QUESTION, "texts": texts, "raw_scores": True})
        assert status == 200, ranks
        return [rank["score"] for rank in sorted(ranks, key=lambda rank: rank["index"])]


class Peer:
    def __init__(self, folder: pathlib.Path):
        import torch
        from sentence_transformers import CrossEncoder

        torch.set_num_threads(os.cpu_count())
        self.model = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())

    def scores(self, texts: list[str]) -> list[float]:
        return self.model.predict([(QUESTION, text) for text in texts], batch_size=30).tolist()


def checkpoint(folder: pathlib.Path) -> None:
    """Writes a random cross-encoder of the shape of ms-marco-MiniLM-L6-v2."""
    import torch
    import transformers

    torch.manual_seed(1)
    config = json.loads((MODEL / "config.json").read_text()) | {"num_labels": 1, "max_position_embeddings": 512}
    config = transformers.BertConfig(**{key: value for key, value in config.items() if key != "architectures"})
    network = transformers.BertForSequenceClassification(config).eval()
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, 0, 1.2 / parameter.shape[1] ** 0.5)
    network.save_pretrained(folder)
    tokenizer = json.loads((MODEL / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"truncation": None, "padding": None}))
    settings = {"tokenizer_class": "BertTokenizer", "model_max_length": 512, "do_lower_case": True, "pad_token": "[PAD]"}
    settings |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def best(scores: list[float]) -> set[int]:
    return set(sorted(range(len(scores)), key=lambda index: -scores[index])[:10])


def row(name: str, times: list[float], pairs: int, peer_time: float | None, scores: list[float], reference: list[float]) -> list[str]:
    median = statistics.median(times)
    ratio = f"{peer_time / median:.2f}×" if peer_time else "–"
    difference = f"{max(abs(one - other) for one, other in zip(scores, reference)):.1e}" if reference else "–"
    same = f"{len(best(scores) & best(reference))} of 10" if reference else "–"
    return [name, f"{1000 * median:.0f}", f"{pairs / median:.0f}", ratio, difference, same]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--texts", type=int, default=30)
    arguments.add_argument("--rounds", type=int, default=15)
    options = parse(arguments, texts=4, rounds=1)
    with_peer = has("sentence-transformers", "torch", "sentence_transformers", tiny=options.tiny)
    texts = [text_of(paper) for paper in spread(papers(options.dump), options.texts)]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "model").mkdir()
        if with_peer:
            checkpoint(folder / "model")
        model = folder / "model" if with_peer else SMALL
        program.run(options.likewise, "ingest", SAMPLE, "--data", folder / "data")
        systems = {precision: Likewise(options.likewise, folder / "data", model, precision) for precision in PRECISIONS}
        if with_peer:
            systems["peer"] = Peer(model)
        scores = {name: system.scores(texts) for name, system in systems.items()}
        times: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(options.rounds):
            for name, system in systems.items():
                started = time.perf_counter()
                system.scores(texts)
                times[name].append(time.perf_counter() - started)
        info = systems["auto"].server.output()
        for precision in PRECISIONS:
            systems[precision].server.stop()
    peer_time = statistics.median(times["peer"]) if with_peer else None
    reference = scores.get("peer", [])
    chosen = next((line.split("reranks with ")[1] for line in info.splitlines() if "reranks with " in line), "")
    rows = [row(f"likewise, {name}", times[name], len(texts), peer_time, scores[name], reference) for name in PRECISIONS]
    if with_peer:
        rows.append(row("sentence-transformers, f32", times["peer"], len(texts), peer_time, reference, reference))
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = (
        f"{results.today()}, {results.machine()}; a question and {len(texts)} abstracts of {pathlib.Path(options.dump).name}, a random "
        f"cross-encoder of 6 layers of 384, {options.rounds} interleaved rounds, medians. `auto` is: {chosen}. {used}."
    )
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    results.report(options, "rerank", "Cross-encoders compared with sentence-transformers", "make bench-rerank", "rerank.py", text)


if __name__ == "__main__":
    main()
