//! Writes papers to a collection.
//!
//! Milvus stores rows and cannot deduplicate records. Therefore, for each chunk of entries, the rows that the chunk may
//! affect are read into a catalog in memory. The catalog's rules are applied there, and the changed papers are written
//! back as rows.

use super::rows::{hexadecimal, number_now, paper_of, row_of};
use super::{Settings, open_or_create};
use crate::error::{Error, Result};
use crate::ingest::vector_writer::checked_vector;
use crate::ingest::vector_writer::{EncodeFn, EncodeProgress, Precomputed, encode_with};
use crate::ingest::{Chunk, Counts, OpenPaperWriter, PaperWriter};
use crate::milvus::engine::{MAX_DOCUMENT_BYTES, MAX_ROWS, Milvus, PaperRow, StoredRow, has_one_of};
use crate::store::catalog::{ApplyOptions, Catalog, Mutation, MutationOutcome, blocking_keys};
use crate::store::text::{TextHash, document_of, text_of};
use crate::store::vector_store::check_unit;
use likewise_encoder::{DocumentTexts, Encoder};
use likewise_index::IndexStats;
use likewise_papers::dump::{BytesRead, Entry, Refused};
use likewise_papers::{Paper, PaperId};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Number of entries in a chunk. Chunks are large, because a strongly consistent read takes 0.2 s.
const CHUNK: usize = 2048;

/// Divisor of [`Encoder::chunk_size`]: if papers of a chunk have to be encoded, the chunk is encoded and written in
/// parts. The number of papers in a part is [`Encoder::chunk_size`] divided by this number. A process that is killed
/// loses the work of only one part.
const ENCODER_CHUNK_PARTS: usize = 4;

/// Maximum number of rounds in which the ids of found rows are used to find further rows.
const MAX_ROUNDS: usize = 3;

/// Time for which an ingest, or a deletion by the command, retries a failed call.
const INGEST_RETRY_TIME: Duration = Duration::from_secs(300);

/// SQLite's name for a database in memory.
const IN_MEMORY: &str = ":memory:";

/// Writes papers to a collection. If two processes write records of the same paper at the same time, the process that
/// writes later overwrites the record of the other process. Therefore use one process to fill a collection from many
/// sources.
pub struct CollectionWriter {
    milvus: Milvus,
    encoder: Arc<Encoder>,
    encode_fn: EncodeFn,
    counts: Counts,
    title_only: bool,
    /// Whether to flush the collection at the end. A server writes little at a time, and leaves flushing to the engine.
    flushes: bool,
    /// Papers of the last chunk that the model could not encode, with the reasons; empty after
    /// [`PaperWriter::take_unreadable`].
    unreadable: Vec<String>,
}

/// The effects of a chunk on the collection.
struct ChunkChanges {
    outcomes: Vec<MutationOutcome>,
    /// New and changed papers, with their records.
    papers: Vec<(Paper, Vec<Paper>)>,
    /// Rows whose papers were deleted or merged into others.
    obsolete: Vec<ExistingRow>,
    /// All rows that were read, by their ids.
    existing: HashMap<String, StoredRow>,
}

/// A row of the collection before a chunk is applied.
struct ExistingRow {
    row: StoredRow,
    records: Vec<Paper>,
}

/// Returns a function that opens a collection for the writes of a server; failed calls are retried for `retry_time`.
/// Several writers can be open at once.
pub(super) fn open(milvus: Milvus, retry_time: Duration) -> OpenPaperWriter {
    Box::new(move |encoder| {
        let milvus = milvus.clone().for_writing(retry_time);
        Ok(Some(Box::new(CollectionWriter::over(milvus, Arc::clone(encoder), false))))
    })
}

impl CollectionWriter {
    /// Opens a collection for writing, and creates it if it does not exist.
    ///
    /// # Errors
    /// Returns [`crate::Error::Data`] if the collection has vectors of another model, [`crate::Error::Engine`] if the
    /// engine cannot be reached.
    pub fn open(settings: &Settings, encoder: &Arc<Encoder>) -> Result<CollectionWriter> {
        let milvus = open_or_create(settings, encoder)?.for_writing(INGEST_RETRY_TIME);
        Ok(CollectionWriter::over(milvus, Arc::clone(encoder), true))
    }

    fn over(milvus: Milvus, encoder: Arc<Encoder>, flushes: bool) -> CollectionWriter {
        let (encode_fn, counts) = (encode_with(&encoder), Counts::default());
        CollectionWriter {
            milvus,
            encoder,
            encode_fn,
            counts,
            title_only: false,
            flushes,
            unreadable: Vec::new(),
        }
    }

    /// Reads the rows that some mutations may affect: rows with an id or a blocking key of a mutation, and rows that
    /// share an id with such a row, for at most [`MAX_ROUNDS`] rounds.
    fn affected_rows(&self, mutations: &[Mutation]) -> Result<Vec<ExistingRow>> {
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for mutation in mutations {
            match mutation {
                Mutation::Put(record) => {
                    ids.extend(record.ids().map(ToString::to_string));
                    keys.extend(blocking_keys(record));
                }
                Mutation::Retract(retracted) => drop(ids.insert(retracted.id.to_string())),
            }
        }
        let mut rows: BTreeSet<String> =
            self.rows_with_keys(&keys.into_iter().collect::<Vec<_>>())?.into_iter().collect();
        let (mut found, mut searched, mut read) = (Vec::new(), HashSet::new(), HashSet::new());
        for _ in 0..MAX_ROUNDS {
            let new: Vec<String> = ids.iter().filter(|id| searched.insert((*id).clone())).cloned().collect();
            for chunk in new.chunks(CHUNK) {
                // Only rows that an interrupted run left share ids with other rows, so MAX_ROWS is enough.
                rows.extend(self.milvus.ids(&has_one_of(chunk), MAX_ROWS)?);
            }
            let new: Vec<String> = rows.iter().filter(|id| read.insert((*id).clone())).cloned().collect();
            if new.is_empty() {
                break;
            }
            for row in self.milvus.rows(&new)? {
                match paper_of(&row.id, &row.document) {
                    Ok((_, records)) => {
                        ids.extend(records.iter().flat_map(Paper::ids).map(ToString::to_string));
                        found.push(ExistingRow { row, records });
                    }
                    // An unreadable row is replaced when its paper is ingested again.
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        }
        Ok(found)
    }

    /// Returns the ids of rows that have one of the given blocking keys. A key that [`MAX_ROWS`] rows share does not
    /// identify a paper and is ignored.
    fn rows_with_keys(&self, keys: &[i64]) -> Result<Vec<String>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let list: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let found = self.milvus.ids(&format!("array_contains_any(marks, [{}])", list.join(",")), MAX_ROWS)?;
        match keys.split_at(keys.len() / 2) {
            _ if found.len() < MAX_ROWS => Ok(found),
            ([], _) => Ok(Vec::new()),
            (first, second) => Ok([self.rows_with_keys(first)?, self.rows_with_keys(second)?].concat()),
        }
    }

    /// Computes the effects of mutations by the catalog's rules.
    fn changes(&self, mutations: &[Mutation]) -> Result<ChunkChanges> {
        let mut existing = self.affected_rows(mutations)?;
        // Sorted by age, oldest first, because a merged paper keeps the id of the oldest paper.
        existing.sort_unstable_by_key(|existing| existing.row.number);
        let Partitioned { leftovers, current } = without_leftovers(existing);
        let scratch = Catalog::create(Path::new(IN_MEMORY))?;
        scratch.restore(&current.iter().map(|existing| existing.records.clone()).collect::<Vec<_>>())?;
        let written = scratch.apply(mutations, ApplyOptions { title_only: self.title_only })?;
        let find = |id: &PaperId| -> Result<Option<(i64, Paper)>> {
            Ok(scratch.find(id)?.filter(|(_, paper)| paper.id == *id))
        };
        let mut papers = Vec::with_capacity(written.papers.len());
        for paper in &written.papers {
            if let Some((number, paper)) = find(&paper.id)? {
                papers.push((paper, scratch.records(number)?));
            }
        }
        let rows = leftovers.iter().chain(&current);
        let rows = rows.map(|existing| (existing.row.id.clone(), existing.row.clone())).collect();
        let mut obsolete = Vec::new();
        for existing in leftovers.into_iter().chain(current) {
            if find(&PaperId::stored(existing.row.id.clone()))?.is_none() {
                obsolete.push(existing);
            }
        }
        Ok(ChunkChanges { outcomes: written.outcomes, papers, obsolete, existing: rows })
    }

    /// Encodes papers without a vector and writes all changes.
    fn write(&mut self, changes: &ChunkChanges, mut precomputed: Precomputed) -> Result<Counts> {
        let mut counts = Counts::default();
        self.unreadable.clear();
        let mut refused_ids: HashSet<String> = HashSet::new();
        let mut refuse = |records: &[Paper]| {
            refused_ids.extend(records.iter().flat_map(Paper::ids).map(ToString::to_string));
        };
        let id_by_text: HashMap<&str, &str> =
            changes.existing.values().map(|row| (row.text.as_str(), row.id.as_str())).collect();
        let hash_of = |(paper, _): &(Paper, Vec<Paper>)| TextHash::of(&text_of(paper));
        let none_to_encode = changes.papers.iter().all(|paper| precomputed.contains_key(&hash_of(paper)));
        let chunk =
            if none_to_encode { CHUNK } else { (self.encoder.chunk_size() / ENCODER_CHUNK_PARTS).max(1) };
        for papers in changes.papers.chunks(chunk) {
            let hashes: Vec<TextHash> = papers.iter().map(hash_of).collect();
            counts.taken += hashes.iter().filter(|hash| precomputed.contains_key(*hash)).count() as u64;
            self.reuse_stored_vectors(&hashes, &id_by_text, &mut precomputed)?;
            let encoded = self.encode(papers, &hashes, &mut precomputed)?;
            counts.encoded += encoded.encoded;
            counts.tokens += encoded.tokens;
            let mut rows = Vec::with_capacity(papers.len());
            for ((paper, records), hash) in papers.iter().zip(&hashes) {
                match row(paper, records, precomputed.get(hash), &changes.existing) {
                    Ok(row) => rows.push(row),
                    Err(cause) => {
                        tracing::warn!("paper {} is not written: {cause}", paper.id);
                        counts.refused += 1;
                        refuse(records);
                    }
                }
            }
            self.milvus.upsert(&rows)?;
        }
        // Obsolete rows are deleted only after the rows that replace them are written. They are kept if a replacement
        // was refused: a paper that is stored twice is better than a lost paper.
        let is_replaced = |existing: &&ExistingRow| {
            !existing.records.iter().flat_map(Paper::ids).any(|id| refused_ids.contains(id.as_str()))
        };
        let obsolete = changes.obsolete.iter().filter(is_replaced);
        self.milvus.delete(&obsolete.map(|existing| existing.row.id.clone()).collect::<Vec<_>>())?;
        Ok(counts)
    }

    /// Adds to `precomputed` the vectors of texts that existing rows already have.
    fn reuse_stored_vectors(
        &self,
        hashes: &[TextHash],
        id_by_text: &HashMap<&str, &str>,
        precomputed: &mut Precomputed,
    ) -> Result<()> {
        let missing = hashes.iter().filter(|hash| !precomputed.contains_key(*hash));
        let stored: Vec<(TextHash, &str)> =
            missing.filter_map(|hash| Some((*hash, *id_by_text.get(hexadecimal(*hash).as_str())?))).collect();
        if stored.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = stored.iter().map(|(_, id)| id.to_string()).collect();
        let vectors = self.milvus.vectors(&ids)?;
        precomputed.extend(stored.iter().filter_map(|(hash, id)| Some((*hash, vectors.get(*id)?.clone()))));
        Ok(())
    }

    /// Encodes each text that has no vector in `precomputed`, and adds the vector to `precomputed`.
    fn encode(
        &mut self,
        papers: &[(Paper, Vec<Paper>)],
        hashes: &[TextHash],
        precomputed: &mut Precomputed,
    ) -> Result<Counts> {
        let mut seen = HashSet::new();
        let new: Vec<(TextHash, &Paper)> = hashes
            .iter()
            .zip(papers)
            .filter(|(hash, _)| !precomputed.contains_key(*hash) && seen.insert(**hash))
            .map(|(hash, (paper, _))| (*hash, paper))
            .collect();
        if new.is_empty() {
            return Ok(Counts::default());
        }
        let texts = DocumentTexts::of(self.encoder.model(), new.iter().map(|(_, paper)| document_of(paper)));
        let encoded = texts.encode(&self.encode_fn)?;
        let mut counts = Counts::default();
        for ((hash, paper), encoded) in new.iter().zip(&encoded) {
            counts.tokens += encoded.as_ref().map_or(0, |embedding| embedding.tokens as u64);
            match checked_vector(encoded, |vector| check_unit(vector, self.encoder.dimension())) {
                Ok(vector) => {
                    counts.encoded += 1;
                    precomputed.insert(*hash, vector.into());
                }
                // All rows need vectors, so this paper is refused when its row is made.
                Err(reason) => {
                    tracing::warn!("paper {} has no vector: {reason}", paper.id);
                    self.unreadable.push(format!("{}: {reason}", paper.id));
                }
            }
        }
        Ok(counts)
    }
}

impl PaperWriter for CollectionWriter {
    fn set_title_only(&mut self, title_only: bool) {
        self.title_only = title_only;
    }

    fn add(&mut self, entries: Vec<Result<Entry, Refused>>) -> Result<Counts> {
        let Chunk { entries, mut precomputed, mut counts } = Chunk::of(entries);
        precomputed.retain(|_, vector| check_unit(vector, self.encoder.dimension()).is_ok());
        let changes = self.changes(&Chunk::mutations(&entries))?;
        changes.outcomes.iter().for_each(|outcome| counts.count(*outcome));
        let written = self.write(&changes, precomputed)?;
        counts += written;
        self.counts += counts;
        Ok(counts)
    }

    fn delete(&mut self, ids: &[PaperId]) -> Result<Vec<bool>> {
        delete_from(&self.milvus, ids)
    }

    fn catch_up(&mut self, _progress: &mut dyn FnMut(EncodeProgress)) -> Result<u64> {
        // All rows have vectors.
        Ok(0)
    }

    fn take_unreadable(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unreadable)
    }

    fn set_encode_fn(&mut self, encode_fn: EncodeFn) {
        self.encode_fn = encode_fn;
    }

    fn chunk_size(&self) -> usize {
        CHUNK
    }

    fn start_source(&mut self, _path: &Path, _bytes_read: BytesRead) {}

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

/// Existing rows, divided by [`without_leftovers`].
struct Partitioned {
    /// Rows that an interrupted run left.
    leftovers: Vec<ExistingRow>,
    /// All other rows.
    current: Vec<ExistingRow>,
}

/// Separates the rows that an interrupted run left: a row is a leftover if another row has all of its records. Of two
/// rows with the same records, the later row is current. A record that several current rows have is kept only in the
/// last of these rows; a row that then has no record is also a leftover.
fn without_leftovers(rows: Vec<ExistingRow>) -> Partitioned {
    let record_ids = |index: usize| -> BTreeSet<&str> {
        rows[index].records.iter().map(|record| record.id.as_str()).collect()
    };
    let mut rows_by_id: HashMap<&str, Vec<usize>> = HashMap::new();
    for index in 0..rows.len() {
        record_ids(index).into_iter().for_each(|id| rows_by_id.entry(id).or_default().push(index));
    }
    let is_leftover = |index: usize| {
        let own = record_ids(index);
        let with_first = own.first().and_then(|first| rows_by_id.get(first)).into_iter().flatten();
        let mut others =
            with_first.filter(|other| **other != index).map(|other| (*other, record_ids(*other)));
        others.any(|(other, ids)| own.is_subset(&ids) && (own.len() < ids.len() || index < other))
    };
    let leftover_indices: HashSet<usize> = (0..rows.len()).filter(|index| is_leftover(*index)).collect();
    let (mut leftovers, mut current) = (Vec::new(), Vec::with_capacity(rows.len()));
    let mut seen: HashSet<String> = HashSet::new();
    for (index, mut row) in rows.into_iter().enumerate().rev() {
        let is_leftover = leftover_indices.contains(&index);
        if !is_leftover {
            row.records.retain(|record| seen.insert(record.id.to_string()));
        }
        if is_leftover || row.records.is_empty() { leftovers.push(row) } else { current.push(row) }
    }
    current.reverse();
    Partitioned { leftovers, current }
}

/// Makes the row of a paper and its records. The error says why the paper cannot be stored.
fn row(
    paper: &Paper,
    records: &[Paper],
    vector: Option<&Vec<f32>>,
    existing: &HashMap<String, StoredRow>,
) -> Result<PaperRow, String> {
    let vector = vector.ok_or("the model cannot encode its text")?;
    let id = paper.id.to_string();
    let number = existing.get(&id).map_or_else(|| number_now(&id), |row| row.number);
    let row = row_of(paper, records, vector.clone(), number);
    match row.document.len() {
        0..=MAX_DOCUMENT_BYTES => Ok(row),
        bytes => Err(format!(
            "its document must have at most {MAX_DOCUMENT_BYTES} bytes after compression (got {bytes})"
        )),
    }
}

/// Deletes papers from a collection. Returns for each id whether it named a paper, which is now deleted. If several ids
/// name the same paper, this is true for the first of them only.
///
/// # Errors
/// Returns [`Error::Data`] if the collection does not exist, [`Error::Engine`] if the engine cannot be reached.
pub fn delete(settings: &Settings, ids: &[PaperId]) -> Result<Vec<bool>> {
    let missing =
        || Error::Data(format!("{settings}: the collection does not exist; check its name in the address"));
    let (milvus, _) = Milvus::open(settings)?.ok_or_else(missing)?;
    milvus.load()?;
    delete_from(&milvus.for_writing(INGEST_RETRY_TIME), ids)
}

fn delete_from(milvus: &Milvus, ids: &[PaperId]) -> Result<Vec<bool>> {
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut id_by_name: HashMap<String, String> = HashMap::new();
    for names in names.chunks(CHUNK) {
        for row in milvus.rows(&milvus.ids(&has_one_of(names), MAX_ROWS)?)? {
            if let Ok((paper, _)) = paper_of(&row.id, &row.document) {
                for id in &paper.alternate_ids {
                    id_by_name.entry(id.to_string()).or_insert_with(|| row.id.clone());
                }
            }
            id_by_name.insert(row.id.clone(), row.id);
        }
    }
    // If several ids name the same paper, only the first id counts as found.
    let mut deleted = BTreeSet::new();
    let found = names.iter().map(|name| id_by_name.get(name).is_some_and(|id| deleted.insert(id.clone())));
    let found = found.collect();
    milvus.delete(&deleted.into_iter().collect::<Vec<_>>())?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_an_interrupted_run_are_separated() {
        let record = |id: &&str| Paper { id: PaperId::stored(id.to_string()), ..Paper::default() };
        let row = |number: i64, ids: &[&str]| ExistingRow {
            row: StoredRow { id: ids[0].into(), text: String::new(), document: String::new(), number },
            records: ids.iter().map(record).collect(),
        };
        let numbers = |rows: Vec<ExistingRow>| rows.iter().map(|row| row.row.number).collect::<Vec<_>>();
        let rows = vec![
            row(1, &["a"]),
            // Row 2 is a merge after which row 1 was not deleted. Row 3 is a merge of the same two records under
            // another id.
            row(2, &["a", "b"]),
            row(3, &["b", "a"]),
            row(4, &["c"]),
            // Rows 5 and 6 share the record `d`, but neither row was left by an interrupted write.
            row(5, &["d", "e"]),
            row(6, &["d", "f"]),
        ];
        let Partitioned { leftovers, current } = without_leftovers(rows);
        assert_eq!(current[2].records, [record(&"e")]);
        assert_eq!((numbers(leftovers), numbers(current)), (vec![2, 1], vec![3, 4, 5, 6]));
    }
}
