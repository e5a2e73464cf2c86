//! `likewise verify`: read a whole data folder, and mend it.

use super::{DataOptions, print_line};
use crate::ingest::verify::{repair, verify};
use clap::Args;
use std::process::ExitCode;

/// Options of `likewise verify`.
#[derive(Args)]
pub struct Options {
    /// Mend what is damaged: the index is built again from the vectors, a vector from its paper's text.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    data: DataOptions,
}

/// Runs it: exit status 0, or 1 if something is damaged and was not mended.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (data, encoder) = (&options.data.data, options.data.load()?);
    let damage = verify(data, &encoder)?;
    for damage in &damage {
        print_line(&damage.to_string())?;
    }
    if damage.is_empty() {
        print_line("nothing is damaged")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.repair {
        eprintln!("{} damaged; `likewise verify --repair` mends it, without losing a paper", damage.len());
        return Ok(ExitCode::FAILURE);
    }
    repair(data, &encoder)?;
    let left = verify(data, &encoder)?;
    print_line(&format!("{} mended", damage.len() - left.len().min(damage.len())))?;
    anyhow::ensure!(left.is_empty(), "{} still damaged, the first: {}", left.len(), left[0]);
    Ok(ExitCode::SUCCESS)
}
