//! Papers into a collection.
//!
//! Its own file because an engine keeps rows and knows nothing of records: which records are one paper is decided by the
//! catalog's own rules, over a catalog in memory that has the rows which a chunk could touch, and nothing else.

use super::rows::{hexadecimal, number_now, paper_of, row_of};
use super::{Settings, open_or_create};
use crate::catalog::{Act, Catalog, Outcome, marks};
use crate::dump::{BytesRead, Entry, Refused};
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::fill::{self, Encode, Known};
use crate::index::IndexStats;
use crate::index::milvus::{MAX_BYTES, MOST, Milvus, Row, Stored, has_one_of};
use crate::ingest::{Chunk, Counts, Intake};
use crate::paper::{Paper, PaperId};
use crate::space::check_unit;
use crate::text::{TextHash, text_of};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Entries that are looked for at once: a look that sees all that was written takes a fifth of a second.
const CHUNK: usize = 1024;

/// Pieces of what an encoder is best given at once that are written one after the other: a kill costs one of them.
const PIECES: usize = 4;

/// How often what is found leads to more that could be the same paper.
const ROUNDS: usize = 3;

/// How long a run waits for an engine that has gone away.
const PATIENCE: Duration = Duration::from_secs(300);

/// A SQLite database that is nowhere but in memory.
const IN_MEMORY: &str = ":memory:";

/// Takes papers into a collection. Several may, at once: of two that write one paper, the later wins.
pub struct CollectionIntake {
    milvus: Milvus,
    encoder: Arc<Encoder>,
    encode_by: Encode,
    counts: Counts,
    title_only: bool,
}

/// What a chunk changes.
struct Change {
    outcomes: Vec<Outcome>,
    /// Papers that are different now, and their records.
    papers: Vec<(Paper, Vec<Paper>)>,
    /// Rows that stand for none any more.
    gone: Vec<String>,
    /// Rows that were there.
    before: HashMap<String, Stored>,
}

impl CollectionIntake {
    /// Opens a collection for writing, and makes it if there is none.
    ///
    /// # Errors
    /// [`crate::Error::Data`] if it is another model's; [`crate::Error::Engine`] if the engine is away.
    pub fn open(settings: &Settings, encoder: &Arc<Encoder>) -> Result<CollectionIntake> {
        let milvus = open_or_create(settings, encoder)?.with_patience(PATIENCE);
        Ok(CollectionIntake::over(milvus, Arc::clone(encoder)))
    }

    pub(super) fn over(milvus: Milvus, encoder: Arc<Encoder>) -> CollectionIntake {
        let encode_by = fill::by(&encoder);
        CollectionIntake { milvus, encoder, encode_by, counts: Counts::default(), title_only: false }
    }

    /// The rows that some acts could touch: those with an id or a mark of theirs, and those with an id of such rows.
    fn touched(&self, acts: &[Act]) -> Result<HashMap<String, Stored>> {
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
        let mut found: HashMap<String, Stored> = HashMap::new();
        let mut asked: HashSet<String> = HashSet::new();
        for round in 0..ROUNDS {
            let new: Vec<String> = ids.iter().filter(|id| !asked.contains(*id)).cloned().collect();
            if new.is_empty() {
                break;
            }
            let mut expression = has_one_of(&new);
            if round == 0 && !sought.is_empty() {
                let sought: Vec<String> = sought.iter().map(ToString::to_string).collect();
                expression = format!("{expression} or array_contains_any(marks, [{}])", sought.join(","));
            }
            asked.extend(new);
            for stored in self.milvus.rows(&expression, MOST)? {
                let records =
                    paper_of(&stored.id, &stored.document).map(|(_, records)| records).unwrap_or_default();
                ids.extend(records.iter().flat_map(Paper::ids).map(ToString::to_string));
                found.insert(stored.id.clone(), stored);
            }
        }
        Ok(found)
    }

    /// What acts do to the papers that are here, by the catalog's rules.
    fn change(&self, acts: &[Act]) -> Result<Change> {
        let before = self.touched(acts)?;
        let scratch = Catalog::create(Path::new(IN_MEMORY))?;
        let mut papers = Vec::with_capacity(before.len());
        for stored in before.values() {
            match paper_of(&stored.id, &stored.document) {
                Ok((_, records)) => papers.push(records),
                // It is written over, if its paper comes.
                Err(error) => tracing::warn!("{error}"),
            }
        }
        scratch.restore(&papers)?;
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
        let mut gone = Vec::new();
        for id in before.keys() {
            if here(&PaperId::stored(id.clone()))?.is_none() {
                gone.push(id.clone());
            }
        }
        Ok(Change { outcomes: written.outcomes, papers, gone, before })
    }

    /// Encodes what has no vector yet, and writes.
    fn write(&mut self, change: &Change, mut known: Known) -> Result<Counts> {
        let mut counts = Counts::default();
        let of_text: HashMap<&str, &str> =
            change.before.values().map(|stored| (stored.text.as_str(), stored.id.as_str())).collect();
        let chunk = (self.encoder.chunk() / PIECES).max(1);
        for papers in change.papers.chunks(chunk) {
            let hashes: Vec<TextHash> =
                papers.iter().map(|(paper, _)| TextHash::of(&text_of(paper))).collect();
            counts.taken += hashes.iter().filter(|hash| known.contains_key(*hash)).count() as u64;
            self.take_stored(&hashes, &of_text, &mut known)?;
            let encoded = self.encode(papers, &hashes, &mut known)?;
            counts.encoded += encoded.encoded;
            counts.tokens += encoded.tokens;
            let row = |((paper, records), hash): (&(Paper, Vec<Paper>), &TextHash)| -> Option<Row> {
                let id = paper.id.to_string();
                let number = change.before.get(&id).map_or_else(|| number_now(&id), |stored| stored.number);
                let vector = known.get(hash).cloned();
                if vector.is_none() {
                    tracing::warn!("paper {id} is left out: the model gives no vector for it");
                }
                Some(row_of(paper, records, vector?, number))
            };
            let rows: Vec<Row> = papers.iter().zip(&hashes).filter_map(row).collect();
            let (rows, long): (Vec<Row>, Vec<Row>) =
                rows.into_iter().partition(|row| row.document.len() <= MAX_BYTES);
            for row in &long {
                counts.refused += 1;
                let bytes = row.document.len();
                tracing::warn!(
                    "paper {} is left out: packed it is {bytes} bytes, and a row holds {MAX_BYTES}",
                    row.id
                );
            }
            self.milvus.upsert(&rows)?;
        }
        // What takes the place of these is written: a paper is rather here twice than not at all.
        self.milvus.delete(&change.gone)?;
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
        &self,
        papers: &[(Paper, Vec<Paper>)],
        hashes: &[TextHash],
        known: &mut Known,
    ) -> Result<Counts> {
        let mut seen = HashSet::new();
        let new: Vec<(TextHash, String)> = hashes
            .iter()
            .zip(papers)
            .filter(|(hash, _)| !known.contains_key(*hash) && seen.insert(**hash))
            .map(|(hash, (paper, _))| (*hash, self.encoder.model().text_of(paper)))
            .collect();
        if new.is_empty() {
            return Ok(Counts::default());
        }
        let texts: Vec<&str> = new.iter().map(|(_, text)| text.as_str()).collect();
        let embeddings = (self.encode_by)(&texts)?;
        let mut counts = Counts::default();
        for ((hash, _), embedding) in new.iter().zip(embeddings) {
            counts.tokens += embedding.tokens as u64;
            if check_unit(&embedding.vector, self.encoder.dimension()).is_ok() {
                counts.encoded += 1;
                known.insert(*hash, embedding.vector);
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
        self.milvus.flush()?;
        let (indexed, waiting) = self.milvus.indexed()?;
        Ok(IndexStats { segments: 0, indexed, repaired: 0, stragglers: 0, waiting })
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
    delete_from(&milvus, ids)
}

fn delete_from(milvus: &Milvus, ids: &[PaperId]) -> Result<Vec<bool>> {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut by_name: HashMap<String, String> = HashMap::new();
    for stored in milvus.rows(&has_one_of(&names), MOST)? {
        if let Ok((paper, _)) = paper_of(&stored.id, &stored.document) {
            for also in &paper.also {
                by_name.entry(also.to_string()).or_insert_with(|| stored.id.clone());
            }
        }
        by_name.insert(stored.id.clone(), stored.id);
    }
    let found: Vec<Option<&String>> = names.iter().map(|name| by_name.get(name)).collect();
    let gone: BTreeSet<String> = found.iter().flatten().map(|id| id.to_string()).collect();
    milvus.delete(&gone.into_iter().collect::<Vec<_>>())?;
    Ok(found.iter().map(Option::is_some).collect())
}
