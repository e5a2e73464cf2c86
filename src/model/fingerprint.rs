//! The fingerprint that names an embedding space, and the sums it is made of.
//!
//! Its own file because it is a promise: two texts encoded under one fingerprint may be compared,
//! and nothing that changes a vector may leave it unchanged. A model's name is not in it.

use super::{CONFIG, Precision, Stated, TOKENIZER, WEIGHTS};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::path::Path;

const PRECISION: &str = "precision=";

/// Names one embedding space: every input that changes a vector, and their joint SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// SHA-256 over the parts, as 64 hexadecimal digits.
    pub sha256: String,
    /// What went in, one `key=value` a line, for people who wonder why two differ.
    pub parts: String,
    /// Length of the space's vectors.
    pub dimension: usize,
}

impl Fingerprint {
    /// Fingerprints a model folder and the text recipe, see [`crate::text::RECIPE`].
    pub(super) fn of(folder: &Path, stated: &Stated, precision: Precision) -> Result<Fingerprint> {
        let mut parts = String::new();
        for file in [WEIGHTS, TOKENIZER, CONFIG] {
            let sum = match stated.sums.iter().find(|(path, _)| path == file) {
                Some((_, sum)) => sum.clone(),
                None => sha256_file(&folder.join(file))?,
            };
            let _ = writeln!(parts, "{file}={sum}");
        }
        let Stated { pooling, max_length, dimension, .. } = stated;
        let _ = writeln!(parts, "pooling={pooling:?}\nmax_length={max_length}\ndimension={dimension}");
        let _ = writeln!(parts, "{PRECISION}{precision}\ntext={}", crate::text::RECIPE);
        Ok(Fingerprint::of_parts(parts, *dimension))
    }

    fn of_parts(parts: String, dimension: usize) -> Fingerprint {
        Fingerprint { sha256: hex(&Sha256::digest(parts.as_bytes())), parts, dimension }
    }

    /// The same model in another precision.
    pub(super) fn in_precision(&self, precision: Precision) -> Fingerprint {
        let line = |line: &str| match line.starts_with(PRECISION) {
            true => format!("{PRECISION}{precision}\n"),
            false => format!("{line}\n"),
        };
        Fingerprint::of_parts(self.parts.lines().map(line).collect(), self.dimension)
    }
}

/// SHA-256 of a file's bytes, in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Model`] if it cannot be read: the files summed here belong to models.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(|error| {
        Error::Model(format!("{}: {error}; a model folder needs this file", path.display()))
    })?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(Error::io(path))?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
