"""Makes test collections of the conference abstracts, to tune on and to report on. Nobody judged them by hand: the
judgements are what authors (keywords, titles) and chairs (tracks) said.

Five kinds of questions, each with a set to tune on (dev) and one to report on (test), in BEIR's layout:

- keywords-*: which papers share at least two of a paper's keywords? Grade 1 for two, 2 for three or more. One of the
  shared keywords must be of no more than 2 % of the papers: "deep learning" and "theory" make no two papers alike.
- titles-*: which abstract has this title? The abstracts stand without their titles.
- lists-*: which papers are of the subjects of a reading list? A list is some papers of one, two or three keywords, which are
  its subjects; the answers are the others of these.
- tracks-*: of a pool of a hundred papers of one conference, which twenty are of the paper's own track? To be ranked
  within the pool.
- asked-*: the same pools, asked by a title, by the first sentence of an abstract, and by a keyword: what scores of short
  questions mean is fitted to these.

Split by conference and year, in the order of their names, every other one: no paper of a test set is in a dev set,
and none of a year's calls for papers.

Known biases. Most papers with keywords are of IJCAI, whose keywords are chosen from a list: they say the field, as
tracks do, more than the subject. Papers that are alike and name other keywords count as wrong; so absolute figures are
low, and only differences mean something. Keywords and titles share words with abstracts, because the same people
wrote them: what compares words is favoured beside what a reader would judge, most of all in titles-*. All is computer
science, in English, of 2016 to 2025, and most of it is about machine learning and robots. A reader's wish, one paper
of another field with the same idea, is in none of the sets.

`--tiny` makes the same sets of 24 papers of the sample, whose categories stand for keywords and tracks. They are for
checking that benchmarks run; quality by them means nothing.
"""

import argparse
import collections
import dataclasses
import gzip
import itertools
import json
import pathlib
import random
import re

from options import SAMPLE

SHARED = 2


@dataclasses.dataclass
class Sizes:
    """How many of what; the defaults make the sets that figures are reported on."""

    largest_share: float = 0.02
    titles: int = 2000
    abstracts: int = 6000
    pools: int = 1000
    pool: int = 100
    same: int = 20
    lists: int = 600
    subject: tuple[int, int] = (20, 150)
    on_list: tuple[int, int] = (3, 17)


TINY = Sizes(largest_share=1, titles=6, abstracts=10, pools=4, pool=8, same=2, lists=6, subject=(2, 150), on_list=(1, 2))
TINY_PAPERS = 24


def sample():
    """Records as the dump of conferences has them, of two meetings; every other paper, so that there are many fields."""
    lines = SAMPLE.read_text().splitlines()[::2][:TINY_PAPERS]
    for place, paper in enumerate(map(json.loads, lines)):
        field = paper["categories"][0].split(".")[0]
        named = {"keywords": f"{paper['categories'][0]};{field} papers", "primary_area": field}
        yield {"id": paper["id"], "title": paper["title"], "abstract": paper["abstract"], "venue": "sample", "year": place % 2, **named}


def keywords(record):
    """As sets: lower case, without IJCAI's short names of fields, `Machine Learning: ML: Clustering`."""
    words = (re.sub(r": [A-Z&]{2,6}(?=: )", "", word.strip()) for word in record["keywords"].split(";"))
    return {re.sub(r"\W+", " ", word).strip().lower() for word in words} - {""}


def track(record):
    """`Computer Vision II` is `Computer Vision`: halves of one list."""
    return re.sub(r" I+$", "", record["primary_area"].strip())


def meeting(record):
    return f"{record['venue']}{record['year']}"


def split(records):
    """Every other meeting to dev and to test."""
    meetings = sorted({meeting(record) for record in records})
    side = {name: ("dev", "test")[place % 2] for place, name in enumerate(meetings)}
    return {name: [record for record in records if side[meeting(record)] == name] for name in ("dev", "test")}


def write(folder, corpus, queries, judged, pooled=False):
    """`queries`: what is asked for each; one without a text is the paper of that id."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)  # noqa: E731
    (folder / "corpus.jsonl").write_text(lines(corpus))
    (folder / "queries.jsonl").write_text(lines(queries))
    if pooled:
        (folder / "pools.json").write_text(json.dumps(judged, ensure_ascii=False))
    else:
        rows = [f"{query}\t{paper}\t{grade}" for query, grades in judged.items() for paper, grade in grades.items()]
        (folder / "qrels").mkdir(exist_ok=True)
        (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    print(f"{folder}: {len(queries)} queries over {len(corpus)} papers, {sum(map(len, judged.values()))} judgements")


def document(record, with_title=True):
    return {"_id": record["id"], "title": record["title"] if with_title else "", "text": record["abstract"]}


def by_keywords(records, sizes):
    of = {record["id"]: keywords(record) for record in records}
    papers = collections.defaultdict(list)
    for paper, words in of.items():
        for word in words:
            papers[word].append(paper)
    pairs = {pair for named in papers.values() if len(named) <= sizes.largest_share * len(of) for pair in itertools.combinations(named, 2)}
    judged = collections.defaultdict(dict)
    for one, other in sorted(pairs):
        shared = len(of[one] & of[other])
        if shared >= SHARED:
            judged[one][other] = judged[other][one] = min(shared, SHARED + 1) - 1
    return [document(record) for record in records], [{"_id": paper} for paper in judged], judged


def by_list(records, random, sizes):
    """A third of the lists each have one, two and three subjects; of each, as many papers as were drawn, and at most half."""
    of_word = collections.defaultdict(list)
    for record in records:
        for word in keywords(record):
            of_word[word].append(record["id"])
    subjects = sorted(word for word, papers in of_word.items() if sizes.subject[0] <= len(papers) <= sizes.subject[1])
    queries, judged = [], {}
    for place in range(sizes.lists):
        chosen, papers = random.sample(subjects, place % 3 + 1), []
        for word in chosen:
            papers += random.sample(of_word[word], min(random.randint(*sizes.on_list), len(of_word[word]) // 2))
        name = f"list:{place}:{' / '.join(chosen)}"
        queries.append({"_id": name, "papers": list(dict.fromkeys(papers))})
        judged[name] = {paper: 1 for word in chosen for paper in of_word[word] if paper not in papers}
    return [document(record) for record in records], queries, judged


def by_title(records, random, sizes):
    corpus = random.sample(records, min(sizes.abstracts, len(records)))
    queries = [{"_id": f"title:{record['id']}", "text": record["title"]} for record in corpus[:sizes.titles]]
    judged = {f"title:{record['id']}": {record["id"]: 1} for record in corpus[:sizes.titles]}
    return [document(record, with_title=False) for record in corpus], queries, judged


def by_track(records, random, sizes):
    tracks = collections.defaultdict(list)
    for record in records:
        tracks[meeting(record), track(record)].append(record["id"])
    judged = {}
    for record in random.sample(records, len(records)):
        own = [paper for paper in tracks[meeting(record), track(record)] if paper != record["id"]]
        others = [paper for (name, area), papers in tracks.items() for paper in papers if name == meeting(record) and area != track(record)]
        if len(own) >= sizes.same and len(others) >= sizes.pool - sizes.same and len(judged) < sizes.pools:
            pool = [(paper, 1) for paper in random.sample(own, sizes.same)] + [(paper, 0) for paper in random.sample(others, sizes.pool - sizes.same)]
            judged[record["id"]] = dict(sorted(pool))
    return [document(record) for record in records], [{"_id": paper} for paper in judged], judged


def by_asking(records, random, sizes):
    """Up to three questions for each paper that has a pool."""
    corpus, queries, judged = by_track(records, random, sizes)
    of, asked, pools = {record["id"]: record for record in records}, [], {}
    for paper in [query["_id"] for query in queries]:
        record = of[paper]
        keyword = record["keywords"].split(";")[0].strip() if record["keywords"] else ""
        for kind, text in [("title", record["title"]), ("sentence", record["abstract"].split(". ")[0]), ("keyword", keyword)]:
            if text:
                asked.append({"_id": f"{kind}:{paper}", "text": text})
                pools[f"{kind}:{paper}"] = judged[paper]
    return corpus, asked, pools


def make(records, to, sizes):
    """Every set, in a folder of its own."""
    for side, some in split([record for record in records if record["keywords"]]).items():
        write(to / f"keywords-{side}", *by_keywords(some, sizes))
        write(to / f"lists-{side}", *by_list(some, random.Random(1), sizes))
    for side, some in split(records).items():
        write(to / f"titles-{side}", *by_title(some, random.Random(1), sizes))
    for side, some in split([record for record in records if record["primary_area"]]).items():
        write(to / f"tracks-{side}", *by_track(some, random.Random(1), sizes), pooled=True)
        write(to / f"asked-{side}", *by_asking(some, random.Random(1), sizes), pooled=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", default="../shared/data/conferences.jsonl.gz", help="papers with keywords and primary_area, as JSON Lines, gzip")
    parser.add_argument("--to", default="data/judged", type=pathlib.Path)
    parser.add_argument("--tiny", action="store_true", help="small sets of the sample")
    options = parser.parse_args()
    if options.tiny:
        make(list(sample()), options.to, TINY)
        return
    with gzip.open(options.dump, "rt") as dump:
        make([json.loads(line) for line in dump], options.to, Sizes())


if __name__ == "__main__":
    main()
