//! Filling one space: papers' texts are encoded, appended and indexed.
//!
//! Its own file because a data folder may have two spaces that are filled, with an encoder each: the one in use,
//! and that of a model which is to take its place.

use crate::error::Result;
use crate::store::catalog::Catalog;
use crate::store::directory::Directory;
use crate::store::space::{Description, Generation, Space, SpaceWriter};
use crate::store::text::{TextHash, document_of, text_of};
use likewise_encoder::model::{Fingerprint, Side};
use likewise_encoder::{Devices, DocumentTexts, Embedding, Encoder};
use likewise_index::Segments;
use likewise_index::build::Effort;
use likewise_papers::Paper;
use roaring::RoaringBitmap;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Vectors that are built into segments in the middle of a run.
const FREEZE_EVERY: usize = 32_768;

/// The index is built anew without the slots that stand for no paper when they are more than this share of all…
const DEAD_SHARE: f64 = 0.2;

/// … and at least so many.
const LEAST_DEAD: usize = 1000;

/// Vectors that come from elsewhere, by the texts they are of.
pub type Known = HashMap<TextHash, Vec<f32>>;

/// Texts to vectors, in their order: by an encoder, or by a queue into one.
pub type Encode = Box<dyn Fn(&[&str]) -> likewise_encoder::Result<Vec<Embedding>> + Send>;

/// Papers' texts to vectors, by an encoder itself.
pub fn by(encoder: &Arc<Encoder>) -> Encode {
    let encoder = Arc::clone(encoder);
    Box::new(move |texts| encoder.encode(texts, Side::Paper))
}

/// The vector of a paper, if it could be read and `check` finds nothing wrong with the vector; else what is wrong.
pub(crate) fn vector_of(
    encoded: &Result<Embedding, String>,
    check: impl Fn(&[f32]) -> Result<()>,
) -> Result<&[f32], String> {
    let embedding = encoded.as_ref().map_err(String::clone)?;
    check(&embedding.vector).map_err(|error| error.to_string())?;
    Ok(&embedding.vector)
}

/// What became of some papers' texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Texts encoded.
    pub encoded: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Texts whose vectors came from elsewhere.
    pub taken: u64,
    /// Texts that got no vector: their papers are found by their words, and not by what they are about.
    pub without_vector: u64,
}

/// A space that is being filled. Whoever has one must hold the lock that sees to it that nobody else has.
pub struct Filler {
    data: PathBuf,
    encoder: Arc<Encoder>,
    /// The encoder itself, or somebody who has it.
    encode_by: Encode,
    space: SpaceWriter,
    /// Vectors that are in segments.
    frozen: usize,
    /// Papers that got no vector when papers were encoded last, with the reasons.
    pub(super) unreadable: Vec<String>,
    /// Texts that the model cannot read.
    without_vector: HashSet<TextHash>,
}

impl Filler {
    /// Opens the space of an encoder's model for writing, makes it if there is none, and removes what killed
    /// processes left half done in it.
    pub fn open(data: &Path, catalog: &Catalog, encoder: Arc<Encoder>) -> Result<Filler> {
        let fingerprint = &encoder.model().fingerprint;
        Space::create(data, encoder.model())?;
        catalog.set_model_of(&fingerprint.sha256, &Description::of(encoder.model())?)?;
        if Space::sweep(data, fingerprint)? {
            catalog.touch()?;
        }
        let folder = Space::folder(data, fingerprint)?;
        Directory::remove_if_ahead(&folder, catalog)?;
        let forget_derived = |slots| {
            Segments::remove_beyond(&folder, slots)?;
            Directory::remove_beyond(&folder, slots)
        };
        let space = SpaceWriter::open(data, fingerprint, forget_derived)?;
        let frozen = Segments::frozen_in(&folder, space.count())?;
        let without_vector = Space::unreadable(&folder)?;
        Ok(Filler {
            data: data.into(),
            encode_by: by(&encoder),
            encoder,
            space,
            frozen,
            unreadable: Vec::new(),
            without_vector,
        })
    }

    /// Encodes by somebody else from now on, who has the same encoder, and others who wait for it.
    pub fn encode_by(&mut self, encode: Encode) {
        self.encode_by = encode;
    }

    /// What it encodes on.
    pub fn devices(&self) -> &Devices {
        self.encoder.devices()
    }

    /// How many vectors there are, those of no paper too.
    pub fn vectors(&self) -> usize {
        self.space.count()
    }

    /// Papers that [`Filler::encode`] is best given at once: few enough that a kill costs seconds of work.
    pub fn chunk(&self) -> usize {
        self.encoder.chunk()
    }

    /// Encodes papers that are in the catalog and have no vector. Calls `progress` with how many are done and how
    /// many there are.
    pub fn catch_up(&mut self, catalog: &Catalog, mut progress: impl FnMut(usize, usize)) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut behind = catalog.texts()?;
        behind.retain(|(_, text)| {
            !self.space.has(*text) && !self.without_vector.contains(text) && seen.insert(*text)
        });
        let mut encoded = 0;
        for (chunk, numbers) in behind.chunks(self.chunk()).enumerate() {
            progress(chunk * self.chunk(), behind.len());
            let numbers: Vec<_> = numbers.iter().map(|(number, _)| *number).collect();
            let papers: Vec<Paper> = catalog.get(&numbers)?.into_iter().map(|(_, paper)| paper).collect();
            encoded += self.encode(catalog, &papers, &Known::new())?.encoded;
        }
        Ok(encoded)
    }

    /// Encodes and stores the texts that have no vector yet, each once, but for those whose vectors are `known`; of many,
    /// the first are built into the index already.
    pub fn encode(&mut self, catalog: &Catalog, papers: &[Paper], known: &Known) -> Result<Filled> {
        self.unreadable.clear();
        let mut seen = HashSet::new();
        let new: Vec<(TextHash, &Paper)> = papers
            .iter()
            .map(|paper| (TextHash::of(&text_of(paper)), paper))
            .filter(|(hash, _)| !self.space.has(*hash) && seen.insert(*hash))
            .collect();
        if new.is_empty() {
            return Ok(Filled::default());
        }
        let is_known =
            |hash: &TextHash| known.get(hash).is_some_and(|vector| self.space.check(vector).is_ok());
        let (taken, new): (Vec<_>, Vec<_>) = new.into_iter().partition(|(hash, _)| is_known(hash));
        let read = DocumentTexts::of(self.encoder.model(), new.iter().map(|(_, paper)| document_of(paper)));
        let encoded = read.encode(&self.encode_by)?;
        let mut entries: Vec<(TextHash, &[f32])> =
            taken.iter().map(|(hash, _)| (*hash, &known[hash][..])).collect();
        let mut filled = Filled { taken: taken.len() as u64, ..Filled::default() };
        for ((hash, paper), encoded) in new.iter().zip(&encoded) {
            filled.tokens += encoded.as_ref().map_or(0, |embedding| embedding.tokens as u64);
            match vector_of(encoded, |vector| self.space.check(vector)) {
                Ok(vector) => {
                    entries.push((*hash, vector));
                    filled.encoded += 1;
                }
                Err(reason) => {
                    tracing::warn!("paper {} is found by its words only: {reason}", paper.id);
                    self.unreadable.push(format!("{}: {reason}", paper.id));
                    filled.without_vector += 1;
                    // A vector that is none is the model's fault, and is tried again.
                    if encoded.is_err() {
                        self.without_vector.insert(*hash);
                    }
                }
            }
        }
        self.space.append(&entries)?;
        if filled.without_vector > 0 && encoded.iter().any(Result::is_err) {
            Space::set_unreadable(&self.data, self.fingerprint(), &self.without_vector)?;
        }
        if self.space.count() >= self.frozen + FREEZE_EVERY {
            // Whoever serves this folder would compare all of them one by one until the run is over.
            self.freeze(catalog, &self.open_space()?)?;
            self.frozen = self.space.count();
        }
        Ok(filled)
    }

    /// Brings the index up to the vectors, and saves it. If many slots stand for no paper any more, they are
    /// left out, as by [`Filler::compact`].
    pub fn finish(self, catalog: &Catalog) -> Result<Segments> {
        let space = self.open_space()?;
        let directory = Directory::of(catalog, &space)?;
        let (dead, all) = (directory.dead(), space.vectors().len());
        if dead >= LEAST_DEAD && dead as f64 > DEAD_SHARE * all as f64 {
            return self.compact(catalog);
        }
        directory.save(space.path())?;
        self.freeze(catalog, &space)
    }

    /// Only saves which papers the vectors stand for: the few that are in no segment are compared one by one.
    pub fn save_directory(self, catalog: &Catalog) -> Result<()> {
        let space = self.open_space()?;
        Directory::of(catalog, &space)?.save(space.path())
    }

    fn freeze(&self, catalog: &Catalog, space: &Space) -> Result<Segments> {
        let mut index = Segments::open(space.path(), space.vectors().clone())?;
        index.freeze(space.path(), Effort::default())?;
        catalog.touch()?;
        Ok(index)
    }

    /// Writes the space anew without the slots that stand for no paper, and builds its index: it is then as if
    /// only the papers that are here had ever been.
    pub fn compact(self, catalog: &Catalog) -> Result<Segments> {
        self.compact_without(catalog, &RoaringBitmap::new())
    }

    /// The same without vectors that are damaged, too: the next [`Filler::catch_up`] encodes their papers again.
    pub fn leave_out_damage(self, catalog: &Catalog) -> Result<Segments> {
        let space = self.open_space()?;
        // It says where papers' vectors are; what it says was not compared with anything.
        Directory::remove(space.path())?;
        let damaged = space.damaged().into_iter().collect();
        self.compact_without(catalog, &damaged)
    }

    fn compact_without(self, catalog: &Catalog, damaged: &RoaringBitmap) -> Result<Segments> {
        let directory = Directory::of(catalog, &self.open_space()?)?;
        let kept = directory.live().filter(|slot| !damaged.contains(*slot));
        let generation = Generation::copy(&self.data, self.fingerprint(), kept)?;
        let folder = generation.folder();
        let space = Space::open_in(folder.clone(), self.encoder.dimension())?;
        let mut index = Segments::empty(space.vectors().clone());
        index.freeze(&folder, Effort::default())?;
        Directory::of(catalog, &space)?.save(&folder)?;
        generation.publish()?;
        catalog.touch()?;
        Ok(index)
    }

    fn fingerprint(&self) -> &Fingerprint {
        &self.encoder.model().fingerprint
    }

    fn open_space(&self) -> Result<Space> {
        Space::open(&self.data, self.fingerprint())
    }
}
