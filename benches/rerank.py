"""Compares likewise's rerankers with those of sentence-transformers: the time to rank 30 abstracts for a question.

    make bench-rerank            # installs the peer into .venv-peers, runs, writes benches/results/rerank.md

Measured: the time of one call that scores a question with 30 abstracts of a dump, on two random models of the shape of
ms-marco-MiniLM-L6-v2 (6 layers of 384 values), made from the tokenizer of all-MiniLM-L6-v2: a cross-encoder, and a model
with late interaction (128 values per token, queries expanded to 32 tokens, as ColBERT's). likewise is measured over HTTP,
with `POST /rerank` of a server, in f32, bf16, int8 and the precision that `auto` chooses: parsing, the queue and the
tokenizer are included. The peer (sentence-transformers) is called in its own process, in f32. Also measured: the largest
difference of a score in f32 to the peer's, and the shares of the best ten that are the peer's in lower precisions.

Fair: both use the same folder and the same texts, all cores, and are warm. They take turns in every round; the results
are medians. The peer sorts pairs by length and pads batches of 30. Random weights are as fast as trained weights, but
their scores differ less, so that ranks change more easily in lower precisions. To likewise's disadvantage: HTTP.

`--tiny` uses 4 abstracts, and does not need the peer.
"""

import os
import pathlib
import statistics
import string
import tempfile
import time

import program
import results
from checkpoints import mini_lm
from corpus import papers, spread, text_of
from options import ROOT, SAMPLE, has, parse, parser

QUESTION = "Which methods learn good representations of documents without labelled data?"
SMALL = ROOT / "tests/golden/small"
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


class CrossEncoderPeer:
    def __init__(self, folder: pathlib.Path):
        import torch
        from sentence_transformers import CrossEncoder

        torch.set_num_threads(os.cpu_count())
        self.model = CrossEncoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())

    def scores(self, texts: list[str]) -> list[float]:
        return self.model.predict([(QUESTION, text) for text in texts], batch_size=30).tolist()


class LateInteractionPeer:
    def __init__(self, folder: pathlib.Path):
        import torch
        from sentence_transformers import MultiVectorEncoder

        torch.set_num_threads(os.cpu_count())
        self.model = MultiVectorEncoder(str(folder), device="cpu")

    def scores(self, texts: list[str]) -> list[float]:
        return self.model.similarity([self.model.encode_query(QUESTION)], self.model.encode_document(texts, batch_size=30))[0].tolist()


def cross_encoder(folder: pathlib.Path) -> None:
    """Writes a random cross-encoder."""
    mini_lm(folder, "BertForSequenceClassification", num_labels=1)


def late_interaction(folder: pathlib.Path) -> None:
    """Writes a random model with late interaction."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import Normalize

    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    with tempfile.TemporaryDirectory() as network:
        mini_lm(pathlib.Path(network), "BertModel")
        expansion = {"strategy": "fixed", "attend": False, "length": 32}
        transformer = Transformer(network, query_expansion=expansion, document_length=512)
        dense = Dense(384, 128, bias=False, activation_function=torch.nn.Identity(), **names)
        mask = MultiVectorMask(skiplist_words=list(string.punctuation), skiplist_tasks=["document"])
        modules = [transformer, dense, mask, Normalize(module_input_name="token_embeddings")]
        prompts = {"query": "query: ", "document": "document: "}
        MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(folder), create_model_card=False)


# For each kind of reranker: the function that writes a checkpoint, the peer, and a checkpoint of the tests.
KINDS = {
    "cross-encoder": (cross_encoder, CrossEncoderPeer, SMALL / "cross_bert"),
    "late interaction": (late_interaction, LateInteractionPeer, SMALL / "late_bert"),
}


def best(scores: list[float]) -> set[int]:
    return set(sorted(range(len(scores)), key=lambda index: -scores[index])[:10])


def row(name: str, times: list[float], pairs: int, peer_time: float | None, scores: list[float], reference: list[float]) -> list[str]:
    median = statistics.median(times)
    ratio = f"{peer_time / median:.2f}×" if peer_time else "–"
    difference = f"{max(abs(one - other) for one, other in zip(scores, reference)):.1e}" if reference else "–"
    same = f"{len(best(scores) & best(reference))} of 10" if reference else "–"
    return [name, f"{1000 * median:.0f}", f"{pairs / median:.0f}", ratio, difference, same]


def measure(kind: str, options, texts: list[str], with_peer: bool) -> str:
    """A table of one kind of reranker, below a line that says what `auto` chose."""
    write, peer, small = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "model").mkdir()
        if with_peer:
            write(folder / "model")
        model = folder / "model" if with_peer else small
        program.run(options.likewise, "ingest", SAMPLE, "--data", folder / "data")
        systems = {precision: Likewise(options.likewise, folder / "data", model, precision) for precision in PRECISIONS}
        if with_peer:
            systems["peer"] = peer(model)
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
    return f"{kind.capitalize()}; `auto` is: {chosen}.\n\n{results.table(COLUMNS, rows)}"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--texts", type=int, default=30)
    arguments.add_argument("--rounds", type=int, default=15)
    options = parse(arguments, texts=4, rounds=1)
    with_peer = has("sentence-transformers", "torch", "sentence_transformers", tiny=options.tiny)
    texts = [text_of(paper) for paper in spread(papers(options.dump), options.texts)]
    tables = [measure(kind, options, texts, with_peer) for kind in KINDS]
    used = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "sentence-transformers")]))
    head = (
        f"{results.today()}, {results.machine()}; a question and {len(texts)} abstracts of {pathlib.Path(options.dump).name}, random "
        f"models of 6 layers of 384, {options.rounds} interleaved rounds, medians. {used}."
    )
    results.report(options, "rerank", "Rerankers compared with sentence-transformers", "make bench-rerank", "rerank.py", "\n\n".join([head, *tables]))


if __name__ == "__main__":
    main()
