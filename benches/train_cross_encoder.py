"""Trains a small cross-encoder with titles and abstracts, and measures whether it ranks better than the embedding model.

    make bench-cross-encoder     # installs torch into .venv-peers, trains for minutes, writes benches/results/cross_encoder.md

The cross-encoder starts from the weights of all-MiniLM-L6-v2 and learns to tell a paper from similar papers. A query is a
paper's title or a sentence of its abstract, the document is the rest of the paper, and the other documents are among the
50 papers with the most similar vectors (Nogueira and Cho 2019; hard negatives as in Gao et al. 2021,
"Rethink Training of BERT Rerankers"). The loss is the cross-entropy of the paper among these documents.

Measured: nDCG@10 of `likewise eval`, without and with `--reranker`, on two sets of judgments:

- titles: 500 titles of papers that training did not use, among all abstracts. Only the title's own abstract is relevant.
- Cranfield, if it is given with `--judged`: questions of 1960s aerodynamics, which the training papers are not about.

Fair: both rank the same corpus, and the reranker only changes the order of the first 30 hits of the embedding model.
Not fair: all-MiniLM-L6-v2 was trained with a billion pairs of texts, the cross-encoder with some thousand papers.

`--tiny` trains for 6 seconds, or, without torch, uses a random cross-encoder.
"""

import math
import pathlib
import random
import re
import tempfile
import time

import program
import results
from corpus import papers, spread, text_of, write
from options import ROOT, SAMPLE, has, parse, parser

MODEL = ROOT / "models/all-MiniLM-L6-v2"
SMALL = ROOT / "tests/golden/small/cross_bert"
COLUMNS = ["judgments", "nDCG@10 of vectors", "nDCG@10 reranked", "difference", "questions"]
# The nearest paper is the paper itself, and the next one can be as relevant as the paper.
NEAREST = slice(2, 50)
DOCUMENTS_PER_QUERY = 8
QUERIES_PER_STEP = 4
MAX_TOKENS = 192
LEARNING_RATE = 8e-5


def nearest(binary: pathlib.Path, scratch: pathlib.Path, corpus: list[dict]):
    """The indices of the papers nearest to each paper, shape `[papers, 48]`."""
    import numpy

    write(scratch / "corpus.jsonl", corpus)
    program.run(binary, "embed", scratch / "corpus.jsonl", "--out", scratch / "corpus.npy")
    vectors = numpy.load(scratch / "corpus.npy").astype("float32")
    assert len(vectors) == len(corpus), f"{len(corpus) - len(vectors)} of {len(corpus)} papers have no vector"
    starts = range(0, len(corpus), 256)
    return numpy.concatenate([numpy.argsort(-(vectors[start : start + 256] @ vectors.T), axis=1)[:, NEAREST] for start in starts])


def query_and_document(paper: dict, chance: random.Random) -> tuple[str, str]:
    """The title and the abstract, or a sentence of the abstract and the rest of the paper."""
    sentences = re.split(r"(?<=[.?!]) ", paper["abstract"])
    if chance.random() < 0.5 or len(sentences) < 3:
        return paper["title"], paper["abstract"]
    sentence = chance.choice(sentences)
    rest = " ".join(other for other in sentences if other is not sentence)
    return sentence, text_of({"title": paper["title"], "abstract": rest})


def train(folder: pathlib.Path, corpus: list[dict], neighbours, minutes: float) -> tuple[int, float]:
    """Trains until the time is over, and writes the cross-encoder to `folder`. Returns the number of steps and the mean
    loss of the last tenth of them."""
    import torch
    import transformers

    torch.manual_seed(1)
    chance = random.Random(1)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(MODEL / "tokenizer.json"), cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )
    network = transformers.BertForSequenceClassification.from_pretrained(MODEL, num_labels=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    losses, started, done = [], time.monotonic(), 0.0
    while done < 1:
        pairs = []
        for index in chance.sample(range(len(corpus)), QUERIES_PER_STEP):
            query, document = query_and_document(corpus[index], chance)
            others = chance.sample([other for other in neighbours[index] if other != index], DOCUMENTS_PER_QUERY - 1)
            pairs.append((query, document))
            pairs += [(query, query_and_document(corpus[other], chance)[1]) for other in others]
        rate = LEARNING_RATE * min(1, (len(losses) + 1) / 50) * (1 - done)
        for group in optimizer.param_groups:
            group["lr"] = rate
        tokens = tokenizer([pair[0] for pair in pairs], [pair[1] for pair in pairs], truncation="longest_first", max_length=MAX_TOKENS, padding=True, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(**tokens).logits
        loss = torch.nn.functional.cross_entropy(
            logits.float().reshape(QUERIES_PER_STEP, DOCUMENTS_PER_QUERY), torch.zeros(QUERIES_PER_STEP, dtype=torch.long)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        done = (time.monotonic() - started) / (60 * minutes)
        if len(losses) % 50 == 0:
            print(f"step {len(losses)}, {100 * done:.0f} % of the time, loss {sum(losses[-50:]) / 50:.3f}", flush=True)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    last = losses[-max(1, len(losses) // 10) :]
    return len(losses), sum(last) / len(last)


def title_judgments(folder: pathlib.Path, tested: list[dict], corpus: list[dict]) -> None:
    """Writes a test collection: each tested paper's title is a query, and only its own abstract is relevant."""
    (folder / "qrels").mkdir(parents=True)
    # Papers need a title, and it must not be the query: so the title is the first sentence of the abstract.
    documents = []
    for paper in tested + corpus:
        first, *rest = re.split(r"(?<=[.?!]) ", paper["abstract"], maxsplit=1)
        documents.append({"_id": paper["id"], "title": first, "text": rest[0] if rest else first})
    write(folder / "corpus.jsonl", documents)
    # The id of a query must not be that of a paper, because `eval` leaves out the paper with the query's id.
    write(folder / "queries.jsonl", [{"_id": f"title of {paper['id']}", "text": paper["title"]} for paper in tested])
    judgments = "".join(f"title of {paper['id']}\t{paper['id']}\t1\n" for paper in tested)
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgments)


def measure(binary: pathlib.Path, judged: pathlib.Path, reranker: pathlib.Path, scratch: pathlib.Path) -> list[str]:
    """A row of the results: nDCG@10 of the embedding model, and of the cross-encoder that reranks its hits."""
    run, common = scratch / f"{judged.name}.run", ["--data", scratch / f"data-{judged.name}", "--measures", "nDCG@10"]
    vectors = program.run(binary, "eval", judged, *common, "--save-run", run)
    reranked = program.run(binary, "eval", judged, *common, "--reranker", reranker, "--against", run)
    last = lambda text: re.findall(r"nDCG@10 +(\S+) +(\[[^]]*\]) *(.*)", text)[-1]  # noqa: E731
    (alone, interval, _), (value, its_interval, difference) = last(vectors), last(reranked)
    questions = len((judged / "queries.jsonl").read_text().splitlines())
    return [judged.name, f"{alone} {interval}", f"{value} {its_interval}", difference, str(questions)]


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--dump", default=str(SAMPLE))
    arguments.add_argument("--papers", type=int, default=12_000, help="papers to train with")
    arguments.add_argument("--tested", type=int, default=500, help="papers whose titles are queries")
    arguments.add_argument("--minutes", type=float, default=12, help="minutes to train")
    arguments.add_argument("--judged", type=pathlib.Path, help="another folder with judgments, such as Cranfield")
    arguments.add_argument("--keep", type=pathlib.Path, help="keep the cross-encoder in this folder")
    arguments.add_argument("--trained", type=pathlib.Path, help="do not train, and measure the cross-encoder in this folder")
    options = parse(arguments, minutes=0.1, papers=64, tested=8)
    with_torch = has("training", "torch", "transformers", "numpy", tiny=options.tiny)
    every = spread(papers(options.dump), options.tested + options.papers)
    random.Random(1).shuffle(every)
    tested, corpus = every[: options.tested], every[options.tested :]
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        model, trained = SMALL, "a random cross-encoder"
        if options.trained:
            model, trained = options.trained, (options.trained / "training.txt").read_text()
        elif with_torch:
            model = options.keep or scratch / "cross-encoder"
            steps, loss = train(model, corpus, nearest(options.likewise, scratch, corpus), options.minutes)
            pairs = steps * QUERIES_PER_STEP * DOCUMENTS_PER_QUERY
            trained = f"{options.minutes:g} minutes of training: {steps} steps, {pairs:,} pairs, last loss {loss:.2f} (by chance {math.log(DOCUMENTS_PER_QUERY):.2f})"
            (model / "training.txt").write_text(trained)
        title_judgments(scratch / "titles", tested, corpus)
        folders = [scratch / "titles"] + ([options.judged] if options.judged else [])
        rows = [measure(options.likewise, folder, model, scratch) for folder in folders]
    versions = ", ".join(filter(None, [program.version(options.likewise), results.versions("torch", "transformers")]))
    head = f"{results.today()}, {results.machine()}; {len(corpus):,} papers of {pathlib.Path(options.dump).name}. {trained[0].upper()}{trained[1:]}. {versions}."
    text = f"{head}\n\n{results.table(COLUMNS, rows)}"
    results.report(options, "cross_encoder", "A trained cross-encoder compared with the embedding model", "make bench-cross-encoder", "train_cross_encoder.py", text)


if __name__ == "__main__":
    main()
