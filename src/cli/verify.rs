//! `likewise verify`: checks a data folder for damage. With `--repair`, also repairs the damage.

use super::{DataOptions, print_line};
use crate::ingest::verify::{repair, verify};
use clap::Args;
use std::process::ExitCode;

/// Options of `likewise verify`.
#[derive(Args)]
pub struct Options {
    /// Repair the damage: rebuild the index from the vectors, and encode the texts of damaged vectors again. By
    /// default, damage is printed but not repaired.
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    data: DataOptions,
}

/// Runs the command. Exit status: 0, or 1 if damage was found and not repaired.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let (data, encoder) = (&options.data.data, options.data.load_encoder()?);
    let damage = verify(data, &encoder)?;
    for damage in &damage {
        print_line(&damage.to_string())?;
    }
    if damage.is_empty() {
        print_line("nothing is damaged")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.repair {
        eprintln!(
            "{} problems found; `likewise verify --repair` repairs all except damaged papers, and loses no paper",
            damage.len()
        );
        return Ok(ExitCode::FAILURE);
    }
    repair(data, &encoder)?;
    let left = verify(data, &encoder)?;
    print_line(&format!("{} problems repaired", damage.len() - left.len().min(damage.len())))?;
    anyhow::ensure!(
        left.is_empty(),
        "{} problems are left after the repair; the first is: {}",
        left.len(),
        left[0]
    );
    Ok(ExitCode::SUCCESS)
}
