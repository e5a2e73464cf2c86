//! What `likewise ingest` takes in: its options, and what becomes of some dumps.
//!
//! Its own file because `ingest` takes them in once, and `ingest --watch` again and again.

use super::dumps::{DumpOptions, Dumps, tell_unread};
use super::place::PlaceOptions;
use super::print_line;
use super::progress::Progress;
use crate::ingest::{Counts, Intake};
use clap::Args;
use likewise_encoder::Encoder;
use likewise_index::IndexStats;
use likewise_papers::dump::{self, Dump, Source};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Options of `likewise ingest`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub(super) dumps: DumpOptions,
    /// Take papers without an abstract, too, by their titles alone.
    #[arg(long)]
    pub(super) title_only: bool,
    /// A folder whose files are taken in as they are completed, until this is stopped.
    #[arg(long, value_name = "FOLDER")]
    pub(super) watch: Option<PathBuf>,
    #[command(flatten)]
    pub(super) place: PlaceOptions,
}

/// Takes in dumps, and says what became of them.
pub(super) fn ingest(options: &Options, encoder: &Arc<Encoder>, dumps: &mut Dumps) -> anyhow::Result<Counts> {
    let mut writer = options.place.place()?.intake(encoder)?;
    writer.set_title_only(options.title_only);
    let started = Instant::now();
    writer.catch_up(&mut |done, all| eprintln!("from an interrupted run: {done} of {all} encoded"))?;
    for source in std::mem::take(&mut dumps.sources) {
        let Some(dump) = dumps.open(&source) else { continue };
        if let Err(error) = check_vectors(&source, &dump, encoder) {
            eprintln!("refused: {error}");
            dumps.unreadable += 1;
            continue;
        }
        ingest_dump(&source, dump, &mut *writer)?;
    }
    let (encoding, counts) = (started.elapsed(), *writer.counts());
    let index = writer.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    let IndexStats { indexed, segments, .. } = index;
    let finishing = seconds - encoding.as_secs_f64();
    match options.place.is_folder() {
        true => eprintln!(
            "index: {indexed} vectors in {segments} segments, {} compared one by one, {finishing:.1} s",
            index.waiting + index.stragglers,
        ),
        false => eprintln!("index: {indexed} vectors, {} wait to be in it, {finishing:.1} s", index.waiting),
    }
    print_line(&format!("{}, {seconds:.1} s, {:.1} papers/s", told(&counts), counts.read as f64 / seconds))?;
    if counts.without_abstract > 0 {
        eprintln!(
            "{} papers have no abstract; --title-only takes them by their titles",
            counts.without_abstract
        );
    }
    if counts.without_vector > 0 {
        eprintln!(
            "{} papers have texts that the model cannot read (named above); they are found by their words only",
            counts.without_vector
        );
    }
    Ok(counts)
}

/// What was counted; of what there seldom is, only what there was.
fn told(counts: &Counts) -> String {
    let named = counts.named();
    let (often, seldom) = named.split_at(Counts::OFTEN);
    let there = seldom.iter().filter(|(_, count)| *count > 0);
    let told: Vec<String> =
        often.iter().chain(there).map(|(name, count)| format!("{name} {count}")).collect();
    told.join(", ")
}

/// Refuses vectors of another space.
fn check_vectors(source: &Source, dump: &Dump, encoder: &Encoder) -> anyhow::Result<()> {
    let wanted = &encoder.model().fingerprint.sha256;
    match &dump.fingerprint {
        Some(got) if got != wanted => anyhow::bail!(
            "{source}: its vectors are of another model, or of this one in another precision, length or prompt: got \
             fingerprint {got}, wanted {wanted}, which is {}; ingest the dump that they were made of, or say --model, \
             --precision, --dimensions and --prompt-name as for the `embed` that made them",
            encoder.model().describe()
        ),
        _ => Ok(()),
    }
}

fn ingest_dump(source: &Source, dump: Dump, writer: &mut dyn Intake) -> anyhow::Result<()> {
    writer.reads(&source.path, dump.bytes_read.clone());
    // Of some files it is known before anything is encoded, and people may want to stop then.
    let told = dump.unread.lines();
    tell_unread(source, &dump.unread, &[]);
    let mut progress = Progress::new(source, dump.bytes_read, writer.counts());
    for chunk in dump::chunks(dump.entries, writer.chunk()) {
        chunk.iter().filter_map(|entry| entry.as_ref().err()).for_each(|refused| progress.refuse(refused));
        writer.add(chunk)?;
        progress.update(writer.counts());
    }
    progress.finish();
    tell_unread(source, &dump.unread, &told);
    Ok(())
}
