//! Another model takes the place of the one in use.
//!
//! Its own file because it is the one way in which a data folder changes its model: a second space is filled from
//! the catalog, beside the one that answers, and put in its place by one transaction when nothing is missing in it.
//! Papers that are added meanwhile go to both: whoever adds them encodes them twice, or leaves that to the process
//! that fills the second space. Cut short anywhere, the next run goes on.

use crate::error::{Error, Result};
use crate::ingest::fill::Filler;
use crate::ingest::verify::damage_in;
use crate::ingest::{lock_path, next_lock_path, open_catalog};
use crate::store::catalog::Catalog;
use crate::store::directory::Directory;
use crate::store::lock::WriteLock;
use crate::store::space::{Description, Space};
use likewise_encoder::Encoder;
use likewise_index::probe;
use likewise_index::{IndexStats, Segments};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// recall@10 that walks must reach in the new space against its exact scan.
const LEAST_RECALL: f64 = 0.95;

/// Fewer papers than this may be left to be encoded when a writer is asked to wait.
const FEW: u64 = 1000;

/// Stored vectors that are asked for that.
const ASKED: usize = 500;

/// Between two looks whether another process still writes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long is waited for it before what it has written is encoded.
const WAIT: Duration = Duration::from_secs(30);

/// What a run is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Another process writes: who, and where.
    Waiting(String),
    /// So many texts of so many are encoded.
    Encoding(usize, usize),
    /// Everything is encoded, and is checked.
    Checking,
}

/// What took over.
#[derive(Debug, Clone)]
pub struct TookOver {
    /// Papers, each with a vector of the new model.
    pub papers: usize,
    /// recall@10 of walks in the new space.
    pub recall: f64,
    /// The new space's index.
    pub index: IndexStats,
}

/// Fills the space of an encoder's model and puts it in the place of the one in use; `None` if it is that already,
/// and then none is to take its place any more.
///
/// # Errors
/// [`Error::Data`] if nothing was ever ingested, or the new space does not pass its check: then the old one stays in use.
pub fn reembed(data: &Path, encoder: &Arc<Encoder>, mut told: impl FnMut(Step)) -> Result<Option<TookOver>> {
    let path = open_catalog(data)?.path().to_path_buf();
    let catalog = Catalog::create(&path)?;
    let _next = wait(&next_lock_path(data), Duration::MAX, &mut told)?;
    let fingerprint = &encoder.model().fingerprint;
    if catalog.space()?.as_ref() == Some(&fingerprint.sha256) {
        catalog.forget_next_space()?;
        return Ok(None);
    }
    Space::create(data, encoder.model())?;
    catalog.set_next_space(&fingerprint.sha256)?;
    let mut run = Run { data, catalog, encoder, told, checked: None };
    let mut recall = run.fill()?;
    // Held only for the few papers that came since, and for the change itself.
    let _lock = loop {
        match wait(&lock_path(data), WAIT, &mut run.told)? {
            Some(lock) => break lock,
            None => recall = run.fill()?,
        }
    };
    let mut filler = run.open_filler()?;
    filler.catch_up(&run.catalog, |done, all| (run.told)(Step::Encoding(done, all)))?;
    filler.save_directory(&run.catalog)?;
    let (papers, space) = (run.papers()?, run.open_space()?);
    run.catalog.take_over(&fingerprint.sha256)?;
    let index = Segments::open(space.path(), space.vectors().clone())?.stats();
    Ok(Some(TookOver { papers, recall, index }))
}

/// Removes the spaces of a data folder that are neither in use nor to be; gives what they said of themselves.
///
/// # Errors
/// [`Error::Data`] if another process is writing.
pub fn drop_old(data: &Path) -> Result<Vec<Description>> {
    let path = open_catalog(data)?.path().to_path_buf();
    let _locks = [WriteLock::take(&lock_path(data))?, WriteLock::take(&next_lock_path(data))?];
    let catalog = Catalog::create(&path)?;
    let kept: Vec<String> = catalog.space()?.into_iter().chain(catalog.next_space()?).collect();
    Space::remove_others(data, &kept)
}

/// Takes a lock when the process that has it lets go of it; `None` if it does not for so long.
fn wait(path: &Path, time: Duration, told: &mut impl FnMut(Step)) -> Result<Option<WriteLock>> {
    let started = Instant::now();
    loop {
        match WriteLock::try_take(path)? {
            Some(lock) => return Ok(Some(lock)),
            None if started.elapsed() > time => return Ok(None),
            None => told(Step::Waiting(WriteLock::owner(path))),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What every part of a run needs.
struct Run<'a, T> {
    data: &'a Path,
    catalog: Catalog,
    encoder: &'a Arc<Encoder>,
    told: T,
    /// The index that passed the check, and its recall.
    checked: Option<(IndexStats, f64)>,
}

impl<T: FnMut(Step)> Run<'_, T> {
    /// Encodes and indexes papers until only few come meanwhile, and checks what was made; gives the recall.
    fn fill(&mut self) -> Result<f64> {
        loop {
            let (encoded, index) = self.pass()?;
            if encoded >= FEW {
                continue;
            }
            let is_same = |(checked, _): &(IndexStats, f64)| {
                (checked.indexed, checked.segments) == (index.indexed, index.segments)
            };
            if let Some((_, recall)) = self.checked.filter(is_same) {
                return Ok(recall);
            }
            let recall = self.check()?;
            self.checked = Some((index, recall));
        }
    }

    /// Encodes and indexes what has no vector yet; gives how many texts that were.
    fn pass(&mut self) -> Result<(u64, IndexStats)> {
        let mut filler = self.open_filler()?;
        let encoded = filler.catch_up(&self.catalog, |done, all| (self.told)(Step::Encoding(done, all)))?;
        Ok((encoded, filler.finish(&self.catalog)?.stats()))
    }

    fn open_filler(&self) -> Result<Filler> {
        Filler::open(self.data, &self.catalog, Arc::clone(self.encoder))
    }

    /// Reads every byte of the new space, mends what is damaged, and asks it for what is in it.
    fn check(&mut self) -> Result<f64> {
        (self.told)(Step::Checking);
        let mut space = self.open_space()?;
        let damage = damage_in(&space)?;
        if !damage.is_empty() {
            damage.iter().for_each(|damage| tracing::warn!("{damage}; it is mended"));
            space = self.mend()?;
        }
        let index = Segments::open(space.path(), space.vectors().clone())?;
        let recall = probe(&index, space.vectors(), ASKED);
        if recall >= LEAST_RECALL {
            return Ok(recall);
        }
        Err(self.failed(format!("got recall@10 {recall:.3} by walks, wanted {LEAST_RECALL}")))
    }

    fn mend(&mut self) -> Result<Space> {
        self.open_filler()?.leave_out_damage(&self.catalog)?;
        self.pass()?;
        self.open_space()
    }

    fn open_space(&self) -> Result<Space> {
        Space::open(self.data, &self.encoder.model().fingerprint)
    }

    /// How many papers there are; an error if one has no vector that could have one.
    fn papers(&self) -> Result<usize> {
        let space = self.open_space()?;
        let directory = Directory::of(&self.catalog, &space)?;
        let waiting = directory.waiting(&Space::unreadable(space.path())?);
        let (with, all) = (directory.papers() - waiting, self.catalog.count()?);
        if with == all {
            return Ok(all);
        }
        Err(self.failed(format!("{} of {all} papers have no vector, see the warnings", all.abs_diff(with))))
    }

    fn failed(&self, what: String) -> Error {
        Error::Data(format!(
            "{}: {what} in the space of {}; the model in use stays in use",
            self.data.display(),
            self.encoder.model().name
        ))
    }
}
