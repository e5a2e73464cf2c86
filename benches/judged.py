"""Makes judged sets of the conference abstracts, to tune on and to report on: no person judged them, authors and chairs did.

Five questions, each with a set to tune on (dev) and one to report on (test), in BEIR's layout:

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
"""

import argparse
import collections
import gzip
import itertools
import json
import pathlib
import random
import re

SHARED = 2
LARGEST_SHARE = 0.02
TITLES = 2000
ABSTRACTS = 6000
POOLS = 1000
POOL = 100
SAME = 20
LISTS = 600
SUBJECT = (20, 150)
ON_LIST = (3, 17)


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


def by_keywords(records):
    of = {record["id"]: keywords(record) for record in records}
    papers = collections.defaultdict(list)
    for paper, words in of.items():
        for word in words:
            papers[word].append(paper)
    pairs = {pair for named in papers.values() if len(named) <= LARGEST_SHARE * len(of) for pair in itertools.combinations(named, 2)}
    judged = collections.defaultdict(dict)
    for one, other in sorted(pairs):
        shared = len(of[one] & of[other])
        if shared >= SHARED:
            judged[one][other] = judged[other][one] = min(shared, SHARED + 1) - 1
    return [document(record) for record in records], [{"_id": paper} for paper in judged], judged


def by_list(records, random):
    """A third of the lists each have one, two and three subjects; of each, as many papers as were drawn, and at most half."""
    of_word = collections.defaultdict(list)
    for record in records:
        for word in keywords(record):
            of_word[word].append(record["id"])
    subjects = sorted(word for word, papers in of_word.items() if SUBJECT[0] <= len(papers) <= SUBJECT[1])
    queries, judged = [], {}
    for place in range(LISTS):
        chosen, papers = random.sample(subjects, place % 3 + 1), []
        for word in chosen:
            papers += random.sample(of_word[word], min(random.randint(*ON_LIST), len(of_word[word]) // 2))
        name = f"list:{place}:{' / '.join(chosen)}"
        queries.append({"_id": name, "papers": list(dict.fromkeys(papers))})
        judged[name] = {paper: 1 for word in chosen for paper in of_word[word] if paper not in papers}
    return [document(record) for record in records], queries, judged


def by_title(records, random):
    corpus = random.sample(records, min(ABSTRACTS, len(records)))
    queries = [{"_id": f"title:{record['id']}", "text": record["title"]} for record in corpus[:TITLES]]
    judged = {f"title:{record['id']}": {record["id"]: 1} for record in corpus[:TITLES]}
    return [document(record, with_title=False) for record in corpus], queries, judged


def by_track(records, random):
    tracks = collections.defaultdict(list)
    for record in records:
        tracks[meeting(record), track(record)].append(record["id"])
    judged = {}
    for record in random.sample(records, len(records)):
        own = [paper for paper in tracks[meeting(record), track(record)] if paper != record["id"]]
        others = [paper for (name, area), papers in tracks.items() for paper in papers if name == meeting(record) and area != track(record)]
        if len(own) >= SAME and len(others) >= POOL - SAME and len(judged) < POOLS:
            pool = [(paper, 1) for paper in random.sample(own, SAME)] + [(paper, 0) for paper in random.sample(others, POOL - SAME)]
            judged[record["id"]] = dict(sorted(pool))
    return [document(record) for record in records], [{"_id": paper} for paper in judged], judged


def by_asking(records, random):
    """Up to three questions for each paper that has a pool."""
    corpus, queries, judged = by_track(records, random)
    of, asked, pools = {record["id"]: record for record in records}, [], {}
    for paper in [query["_id"] for query in queries]:
        record = of[paper]
        keyword = record["keywords"].split(";")[0].strip() if record["keywords"] else ""
        for kind, text in [("title", record["title"]), ("sentence", record["abstract"].split(". ")[0]), ("keyword", keyword)]:
            if text:
                asked.append({"_id": f"{kind}:{paper}", "text": text})
                pools[f"{kind}:{paper}"] = judged[paper]
    return corpus, asked, pools


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dump", default="../shared/data/conferences.jsonl.gz", help="papers with keywords and primary_area, as JSON Lines, gzip")
    parser.add_argument("--to", default="data/judged", type=pathlib.Path)
    options = parser.parse_args()
    with gzip.open(options.dump, "rt") as dump:
        records = [json.loads(line) for line in dump]
    for side, some in split([record for record in records if record["keywords"]]).items():
        write(options.to / f"keywords-{side}", *by_keywords(some))
        write(options.to / f"lists-{side}", *by_list(some, random.Random(1)))
    for side, some in split(records).items():
        write(options.to / f"titles-{side}", *by_title(some, random.Random(1)))
    for side, some in split([record for record in records if record["primary_area"]]).items():
        write(options.to / f"tracks-{side}", *by_track(some, random.Random(1)), pooled=True)
        write(options.to / f"asked-{side}", *by_asking(some, random.Random(1)), pooled=True)


if __name__ == "__main__":
    main()
