//! Papers into a collection.
//!
//! Its own file because an engine keeps rows and knows nothing of records: which records are one paper is decided by the
//! catalog's own rules, over a catalog in memory that has the rows which a chunk could touch, and nothing else.

use super::rows::{hexadecimal, number_now, paper_of, row_of};
use super::{Settings, open_or_create};
use crate::error::{Error, Result};
use crate::ingest::fill::vector_of;
use crate::ingest::fill::{self, Encode, Known};
use crate::ingest::{Chunk, Counts, Intake, OpenIntake};
use crate::milvus::engine::{MAX_BYTES, MOST, Milvus, Row, Stored, has_one_of};
use crate::store::catalog::{Act, Catalog, Outcome, marks};
use crate::store::space::check_unit;
use crate::store::text::{TextHash, document_of, text_of};
use likewise_encoder::{DocumentTexts, Encoder};
use likewise_index::IndexStats;
use likewise_papers::dump::{BytesRead, Entry, Refused};
use likewise_papers::{Paper, PaperId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Entries that are looked for at once: a look that sees all that was written takes a fifth of a second.
const CHUNK: usize = 2048;

/// Pieces of what an encoder is best given at once that are written one after the other: a kill costs one of them.
const PIECES: usize = 4;

/// How often what is found leads to more that could be the same paper.
const ROUNDS: usize = 3;

/// How long a run waits for an engine that has gone away.
const PATIENCE: Duration = Duration::from_secs(300);

/// A SQLite database that is nowhere but in memory.
const IN_MEMORY: &str = ":memory:";

/// Takes papers into a collection. Of two that write records of one paper at once, the later keeps what it knew of: who
/// fills a collection from many sources does that in one process.
pub struct CollectionIntake {
    milvus: Milvus,
    encoder: Arc<Encoder>,
    encode_by: Encode,
    counts: Counts,
    title_only: bool,
    /// Whether it sees to it in the end that what it wrote is in segments: a server that writes now and then leaves that to
    /// the engine.
    flushes: bool,
    /// Papers that got no vector when papers were added last, with the reasons.
    unreadable: Vec<String>,
}

/// What a chunk changes.
struct Change {
    outcomes: Vec<Outcome>,
    /// Papers that are different now, and their records.
    papers: Vec<(Paper, Vec<Paper>)>,
    /// Rows that stand for none any more.
    gone: Vec<Before>,
    /// Rows that were there, by their ids.
    before: HashMap<String, Stored>,
}

/// A row that was there.
struct Before {
    row: Stored,
    records: Vec<Paper>,
}

/// Opens a collection for the writes of a server, which wait for the engine for so long. Any number may write at once.
pub(super) fn open(milvus: Milvus, patience: Duration) -> OpenIntake {
    Box::new(move |encoder| {
        let milvus = milvus.clone().for_writing(patience);
        Ok(Some(Box::new(CollectionIntake::over(milvus, Arc::clone(encoder), false))))
    })
}

impl CollectionIntake {
    /// Opens a collection for writing, and makes it if there is none.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if it is another model's; [`crate::Error::Engine`] if the engine is away.
    pub fn open(settings: &Settings, encoder: &Arc<Encoder>) -> Result<CollectionIntake> {
        let milvus = open_or_create(settings, encoder)?.for_writing(PATIENCE);
        Ok(CollectionIntake::over(milvus, Arc::clone(encoder), true))
    }

    fn over(milvus: Milvus, encoder: Arc<Encoder>, flushes: bool) -> CollectionIntake {
        let (encode_by, counts) = (fill::by(&encoder), Counts::default());
        CollectionIntake {
            milvus,
            encoder,
            encode_by,
            counts,
            title_only: false,
            flushes,
            unreadable: Vec::new(),
        }
    }

    /// The rows that some acts could touch: those with an id or a mark of theirs, and those with an id of such rows.
    fn touched(&self, acts: &[Act]) -> Result<Vec<Before>> {
        let (mut ids, mut sought) = (BTreeSet::new(), BTreeSet::new());
        for act in acts {
            match act {
                Act::Put(record) => {
                    ids.extend(record.ids().map(ToString::to_string));
                    sought.extend(marks(record));
                }
                Act::Retract(gone) => drop(ids.insert(gone.id.to_string())),
            }
        }
        let mut rows: BTreeSet<String> =
            self.marked(&sought.into_iter().collect::<Vec<_>>())?.into_iter().collect();
        let (mut found, mut asked, mut read) = (Vec::new(), HashSet::new(), HashSet::new());
        for _ in 0..ROUNDS {
            let new: Vec<String> = ids.iter().filter(|id| asked.insert((*id).clone())).cloned().collect();
            for some in new.chunks(CHUNK) {
                // No two rows have one id, but for what a killed run left.
                rows.extend(self.milvus.ids(&has_one_of(some), MOST)?);
            }
            let new: Vec<String> = rows.iter().filter(|id| read.insert((*id).clone())).cloned().collect();
            if new.is_empty() {
                break;
            }
            for row in self.milvus.rows(&new)? {
                match paper_of(&row.id, &row.document) {
                    Ok((_, records)) => {
                        ids.extend(records.iter().flat_map(Paper::ids).map(ToString::to_string));
                        found.push(Before { row, records });
                    }
                    // It is written over, if its paper comes.
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        }
        Ok(found)
    }

    /// The ids of rows that have one of some marks. One that very many have says nothing, and is passed over.
    fn marked(&self, marks: &[i64]) -> Result<Vec<String>> {
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<String> = marks.iter().map(ToString::to_string).collect();
        let found = self.milvus.ids(&format!("array_contains_any(marks, [{}])", list.join(",")), MOST)?;
        match marks.split_at(marks.len() / 2) {
            _ if found.len() < MOST => Ok(found),
            ([], _) => Ok(Vec::new()),
            (some, others) => Ok([self.marked(some)?, self.marked(others)?].concat()),
        }
    }

    /// What acts do to the papers that are here, by the catalog's rules.
    fn change(&self, acts: &[Act]) -> Result<Change> {
        let mut before = self.touched(acts)?;
        // Papers that become one are called as the older was.
        before.sort_unstable_by_key(|before| before.row.number);
        let (left, before) = without_leftovers(before);
        let scratch = Catalog::create(Path::new(IN_MEMORY))?;
        scratch.restore(&before.iter().map(|before| before.records.clone()).collect::<Vec<_>>())?;
        let written = scratch.apply(acts, self.title_only)?;
        let here = |id: &PaperId| -> Result<Option<(i64, Paper)>> {
            Ok(scratch.find(id)?.filter(|(_, paper)| paper.id == *id))
        };
        let mut papers = Vec::with_capacity(written.papers.len());
        for paper in &written.papers {
            if let Some((number, paper)) = here(&paper.id)? {
                papers.push((paper, scratch.records(number)?));
            }
        }
        let rows =
            left.iter().chain(&before).map(|before| (before.row.id.clone(), before.row.clone())).collect();
        let mut gone = Vec::new();
        for before in left.into_iter().chain(before) {
            if here(&PaperId::stored(before.row.id.clone()))?.is_none() {
                gone.push(before);
            }
        }
        Ok(Change { outcomes: written.outcomes, papers, gone, before: rows })
    }

    /// Encodes what has no vector yet, and writes.
    fn write(&mut self, change: &Change, mut known: Known) -> Result<Counts> {
        let mut counts = Counts::default();
        self.unreadable.clear();
        let mut left_out: HashSet<String> = HashSet::new();
        let mut leave_out = |records: &[Paper]| {
            left_out.extend(records.iter().flat_map(Paper::ids).map(ToString::to_string));
        };
        let of_text: HashMap<&str, &str> =
            change.before.values().map(|stored| (stored.text.as_str(), stored.id.as_str())).collect();
        let hash_of = |(paper, _): &(Paper, Vec<Paper>)| TextHash::of(&text_of(paper));
        let are_known = change.papers.iter().all(|paper| known.contains_key(&hash_of(paper)));
        let chunk = if are_known { CHUNK } else { (self.encoder.chunk() / PIECES).max(1) };
        for papers in change.papers.chunks(chunk) {
            let hashes: Vec<TextHash> = papers.iter().map(hash_of).collect();
            counts.taken += hashes.iter().filter(|hash| known.contains_key(*hash)).count() as u64;
            self.take_stored(&hashes, &of_text, &mut known)?;
            let encoded = self.encode(papers, &hashes, &mut known)?;
            counts.encoded += encoded.encoded;
            counts.tokens += encoded.tokens;
            let mut rows = Vec::with_capacity(papers.len());
            for ((paper, records), hash) in papers.iter().zip(&hashes) {
                match row(paper, records, known.get(hash), &change.before) {
                    Ok(row) => rows.push(row),
                    Err(cause) => {
                        tracing::warn!("paper {} is left out: {cause}", paper.id);
                        counts.refused += 1;
                        leave_out(records);
                    }
                }
            }
            self.milvus.upsert(&rows)?;
        }
        // What takes the place of these is written, or was not to be: a paper is rather here twice than not at all.
        let is_replaced = |before: &&Before| {
            !before.records.iter().flat_map(Paper::ids).any(|id| left_out.contains(id.as_str()))
        };
        let gone: Vec<String> =
            change.gone.iter().filter(is_replaced).map(|before| before.row.id.clone()).collect();
        self.milvus.delete(&gone)?;
        Ok(counts)
    }

    /// Takes the vectors of texts that rows have already.
    fn take_stored(
        &self,
        hashes: &[TextHash],
        of_text: &HashMap<&str, &str>,
        known: &mut Known,
    ) -> Result<()> {
        let wanted = hashes.iter().filter(|hash| !known.contains_key(*hash));
        let there: Vec<(TextHash, &str)> =
            wanted.filter_map(|hash| Some((*hash, *of_text.get(hexadecimal(*hash).as_str())?))).collect();
        if there.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = there.iter().map(|(_, id)| id.to_string()).collect();
        let vectors = self.milvus.vectors(&ids)?;
        known.extend(there.iter().filter_map(|(hash, id)| Some((*hash, vectors.get(*id)?.clone()))));
        Ok(())
    }

    /// Encodes the texts whose vectors are not known, each once.
    fn encode(
        &mut self,
        papers: &[(Paper, Vec<Paper>)],
        hashes: &[TextHash],
        known: &mut Known,
    ) -> Result<Counts> {
        let mut seen = HashSet::new();
        let new: Vec<(TextHash, &Paper)> = hashes
            .iter()
            .zip(papers)
            .filter(|(hash, _)| !known.contains_key(*hash) && seen.insert(**hash))
            .map(|(hash, (paper, _))| (*hash, paper))
            .collect();
        if new.is_empty() {
            return Ok(Counts::default());
        }
        let read = DocumentTexts::of(self.encoder.model(), new.iter().map(|(_, paper)| document_of(paper)));
        let encoded = read.encode(&self.encode_by)?;
        let mut counts = Counts::default();
        for ((hash, paper), encoded) in new.iter().zip(&encoded) {
            counts.tokens += encoded.as_ref().map_or(0, |embedding| embedding.tokens as u64);
            match vector_of(encoded, |vector| check_unit(vector, self.encoder.dimension())) {
                Ok(vector) => {
                    counts.encoded += 1;
                    known.insert(*hash, vector.into());
                }
                // A collection's rows all have vectors: it is refused where rows are made.
                Err(reason) => {
                    tracing::warn!("paper {} has no vector: {reason}", paper.id);
                    self.unreadable.push(format!("{}: {reason}", paper.id));
                }
            }
        }
        Ok(counts)
    }
}

impl Intake for CollectionIntake {
    fn set_title_only(&mut self, title_only: bool) {
        self.title_only = title_only;
    }

    fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts> {
        let Chunk { entries, mut known, mut counts } = Chunk::of(entries);
        known.retain(|_, vector| check_unit(vector, self.encoder.dimension()).is_ok());
        let change = self.change(&Chunk::acts(&entries))?;
        change.outcomes.iter().for_each(|outcome| counts.count(*outcome));
        let written = self.write(&change, known)?;
        counts += written;
        self.counts += counts;
        Ok(counts)
    }

    fn delete(&mut self, ids: &[PaperId]) -> Result<Vec<bool>> {
        delete_from(&self.milvus, ids)
    }

    fn catch_up(&mut self, _progress: &mut dyn FnMut(usize, usize)) -> Result<u64> {
        // A row has its vector, or is not there.
        Ok(0)
    }

    fn take_unreadable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unreadable)
    }

    fn encode_by(&mut self, encode: Encode) {
        self.encode_by = encode;
    }

    fn chunk(&self) -> usize {
        CHUNK
    }

    fn reads(&mut self, _source: &Path, _bytes: BytesRead) {}

    fn counts(&self) -> &Counts {
        &self.counts
    }

    fn finish(self: Box<Self>) -> Result<IndexStats> {
        if self.flushes {
            self.milvus.flush()?;
        }
        let rows = self.milvus.count("")?;
        let indexed = self.milvus.indexed(rows)?;
        Ok(IndexStats { indexed, waiting: rows - indexed, ..IndexStats::default() })
    }
}

/// Rows that a killed run left, all of whose records another row has; and the others, in their order. Of two with the same
/// records the one that came last stays; of a record that two others have, it is that of the last.
fn without_leftovers(rows: Vec<Before>) -> (Vec<Before>, Vec<Before>) {
    let ids =
        |at: usize| -> BTreeSet<&str> { rows[at].records.iter().map(|record| record.id.as_str()).collect() };
    let mut having: HashMap<&str, Vec<usize>> = HashMap::new();
    for at in 0..rows.len() {
        ids(at).into_iter().for_each(|id| having.entry(id).or_default().push(at));
    }
    let is_left = |at: usize| {
        let own = ids(at);
        let with_first = own.first().and_then(|first| having.get(first)).into_iter().flatten();
        let mut others = with_first.filter(|other| **other != at).map(|other| (*other, ids(*other)));
        others.any(|(other, ids)| own.is_subset(&ids) && (own.len() < ids.len() || at < other))
    };
    let left: HashSet<usize> = (0..rows.len()).filter(|at| is_left(*at)).collect();
    let (mut left_rows, mut kept) = (Vec::new(), Vec::with_capacity(rows.len()));
    let mut seen: HashSet<String> = HashSet::new();
    for (at, mut row) in rows.into_iter().enumerate().rev() {
        let is_left = left.contains(&at);
        if !is_left {
            // A record is that of one paper.
            row.records.retain(|record| seen.insert(record.id.to_string()));
        }
        if is_left || row.records.is_empty() { left_rows.push(row) } else { kept.push(row) }
    }
    kept.reverse();
    (left_rows, kept)
}

/// The row of a paper and its records; or why it can have none.
fn row(
    paper: &Paper,
    records: &[Paper],
    vector: Option<&Vec<f32>>,
    before: &HashMap<String, Stored>,
) -> Result<Row, String> {
    let vector = vector.ok_or("the model gives no vector for it")?;
    let id = paper.id.to_string();
    let number = before.get(&id).map_or_else(|| number_now(&id), |stored| stored.number);
    let row = row_of(paper, records, vector.clone(), number);
    match row.document.len() {
        0..=MAX_BYTES => Ok(row),
        bytes => Err(format!("packed it is {bytes} bytes, and a row holds {MAX_BYTES}")),
    }
}

/// Deletes papers from a collection; gives which of them were there.
///
/// # Errors
/// [`Error::Data`] if there is none; [`Error::Engine`] if the engine is away.
pub fn delete(settings: &Settings, ids: &[PaperId]) -> Result<Vec<bool>> {
    let (milvus, _) =
        Milvus::open(settings)?.ok_or_else(|| Error::Data(format!("{settings}: no papers here")))?;
    milvus.load()?;
    delete_from(&milvus.for_writing(PATIENCE), ids)
}

fn delete_from(milvus: &Milvus, ids: &[PaperId]) -> Result<Vec<bool>> {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut by_name: HashMap<String, String> = HashMap::new();
    for names in names.chunks(CHUNK) {
        for row in milvus.rows(&milvus.ids(&has_one_of(names), MOST)?)? {
            if let Ok((paper, _)) = paper_of(&row.id, &row.document) {
                for also in &paper.also {
                    by_name.entry(also.to_string()).or_insert_with(|| row.id.clone());
                }
            }
            by_name.insert(row.id.clone(), row.id);
        }
    }
    // One that was named by two of its ids was there for the first.
    let mut gone = BTreeSet::new();
    let were_here = names.iter().map(|name| by_name.get(name).is_some_and(|id| gone.insert(id.clone())));
    let were_here = were_here.collect();
    milvus.delete(&gone.into_iter().collect::<Vec<_>>())?;
    Ok(were_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_told_from_papers() {
        let record = |id: &&str| Paper { id: PaperId::stored(id.to_string()), ..Paper::default() };
        let row = |number: i64, ids: &[&str]| Before {
            row: Stored { id: ids[0].into(), text: String::new(), document: String::new(), number },
            records: ids.iter().map(record).collect(),
        };
        let numbers = |rows: Vec<Before>| rows.iter().map(|row| row.row.number).collect::<Vec<_>>();
        let rows = vec![
            row(1, &["a"]),
            // A merge that was not done with the row before, and one of the same two by another name.
            row(2, &["a", "b"]),
            row(3, &["b", "a"]),
            row(4, &["c"]),
            // These share one and are no leftovers of each other.
            row(5, &["d", "e"]),
            row(6, &["d", "f"]),
        ];
        let (left, kept) = without_leftovers(rows);
        assert_eq!(kept[2].records, [record(&"e")]);
        assert_eq!((numbers(left), numbers(kept)), (vec![2, 1], vec![3, 4, 5, 6]));
    }
}
