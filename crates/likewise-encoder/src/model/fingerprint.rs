//! The fingerprint that names an embedding space, and the sums it is made of.
//!
//! Its own file because it is a promise: two texts encoded under one fingerprint may be compared,
//! and nothing that changes a vector may leave it unchanged. A model's name is not in it.

use super::document::RECIPE;
use super::{CONFIG, ModelFolder, Stated, TOKENIZER};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Names one embedding space: every input that changes a vector, and their joint SHA-256.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// SHA-256 over the parts, as 64 hexadecimal digits.
    pub sha256: String,
    /// What went in, one `key=value` a line, for people who wonder why two differ.
    pub parts: String,
    /// Length of the space's vectors.
    pub dimension: usize,
}

impl Fingerprint {
    /// Fingerprints a model folder and the text recipe, see [`RECIPE`].
    ///
    /// What most models do not have is only told where there is some, so that a space keeps its name when the
    /// program learns of more.
    pub(super) fn of(folder: &ModelFolder) -> Fingerprint {
        let mut parts = String::new();
        for (file, sum) in &folder.sums {
            let _ = writeln!(parts, "{file}={sum}");
        }
        let ModelFolder { stated, precision, prompt, .. } = folder;
        let Stated { pooling, max_length, dimension: full, adapters, .. } = stated;
        let _ = writeln!(parts, "pooling={pooling:?}\nmax_length={max_length}\ndimension={full}");
        let _ = writeln!(parts, "precision={precision}\ntext={}", RECIPE);
        if let Some(join) = &stated.join {
            let _ = writeln!(parts, "join={join:?}");
        }
        for dense in &stated.dense {
            let _ = writeln!(parts, "dense={} tanh={}", dense.folder, dense.tanh);
        }
        if stated.lowercase {
            // Older versions put special tokens into lower case, too: `lowercase=true`.
            parts.push_str("lowercase=normalizer\n");
        }
        if let Some(normalizer) = &stated.normalizer {
            let _ = writeln!(parts, "normalizer={normalizer:?}");
        }
        for (side, prompt) in [("paper", &prompt.paper), ("query", &prompt.query)] {
            if !prompt.is_empty() {
                let _ = writeln!(parts, "prompt.{side}={prompt:?}");
            }
        }
        if let Some(adapters) = adapters {
            let _ = writeln!(parts, "adapter.paper={}\nadapter.query={}", adapters.paper, adapters.query);
        }
        if folder.title_share() > 0.0 {
            let _ = writeln!(parts, "title={}", folder.title_share());
        }
        if let Some(dimensions) = folder.options.dimensions.filter(|wanted| wanted != full) {
            let _ = writeln!(parts, "dimensions={dimensions}");
        }
        let dimension = folder.dimension();
        Fingerprint { sha256: hex(&Sha256::digest(parts.as_bytes())), parts, dimension }
    }

    /// What differs from another one's, a part a phrase.
    pub fn differences(&self, other: &Fingerprint) -> Vec<String> {
        let only_in = |one: &Fingerprint, other: &Fingerprint| -> BTreeMap<String, Vec<String>> {
            let others: BTreeSet<&str> = other.parts.lines().collect();
            let mut only = BTreeMap::<String, Vec<String>>::new();
            for line in one.parts.lines().filter(|line| !others.contains(line)) {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                only.entry(key.into()).or_default().push(value.into());
            }
            only
        };
        let (own, others) = (only_in(self, other), only_in(other, self));
        let keys: BTreeSet<&String> = own.keys().chain(others.keys()).collect();
        let phrase = |key: &String| {
            let values =
                |parts: &BTreeMap<String, Vec<String>>| parts.get(key).map(|values| values.join(", "));
            match (values(&own), values(&others)) {
                (Some(own), Some(others)) if is_sum(&own) && is_sum(&others) => {
                    format!("{key} is another file")
                }
                (Some(own), None) if is_sum(&own) => format!("{key} was not there"),
                (None, Some(others)) if is_sum(&others) => format!("{key} is not there any more"),
                (own, others) => {
                    let shown = |value: Option<String>| value.unwrap_or("none".into());
                    format!("{key} is {} and was {}", shown(own), shown(others))
                }
            }
        };
        keys.into_iter().map(phrase).collect()
    }
}

fn is_sum(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The sums of all files that change a vector, those of the weights first.
pub(super) fn sums(folder: &Path, weights: &[String], stated: &Stated) -> Result<Vec<(String, String)>> {
    let own = weights.iter().cloned().chain([TOKENIZER.into(), CONFIG.into()]);
    let mut files = Vec::new();
    for dense in &stated.dense {
        files.extend(
            super::weights::files(&folder.join(&dense.folder))?
                .into_iter()
                .map(|file| format!("{}/{file}", dense.folder)),
        );
    }
    if let Some(adapters) = &stated.adapters {
        for adapter in [&adapters.paper, &adapters.query] {
            files.extend(super::weights::ADAPTER.map(|file| format!("{adapter}/{file}")));
        }
    }
    let sum = |folder: &Path, file: String| {
        let known = stated.sums.iter().find(|(path, _)| *path == file).map(|(_, sum)| sum.clone());
        let sum = known.map_or_else(|| sha256_file(&folder.join(&file)), Ok)?;
        Ok((file, sum))
    };
    let network = folder.join(&stated.network);
    own.map(|file| sum(&network, file)).chain(files.into_iter().map(|file| sum(folder, file))).collect()
}

/// SHA-256 of a file's bytes, in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Model`] if it cannot be read: the files summed here belong to models.
pub fn sha256_file(path: &Path) -> Result<String> {
    let opened = disk::check_plain(path).and_then(|_| std::fs::File::open(path));
    let file = opened.map_err(|error| {
        Error::Model(format!("{}: {error}; a model folder needs this file", path.display()))
    })?;
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut hasher = Sha256::new();
    loop {
        let part = file.fill_buf().map_err(Error::io(path))?;
        if part.is_empty() {
            break;
        }
        hasher.update(part);
        let read = part.len();
        file.consume(read);
    }
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_said_part_by_part() {
        let of = |parts: &str| Fingerprint { parts: parts.into(), ..Fingerprint::default() };
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        let own =
            of(&format!("model.safetensors={one}\nprecision=f32\ndense=2 tanh=true\ndense=3 tanh=true\n"));
        let other = of(&format!(
            "model.safetensors={two}\nprecision=f32\ndense=2 tanh=false\ndense=3 tanh=true\ndimensions=8\n"
        ));
        assert_eq!(
            own.differences(&other),
            [
                "dense is 2 tanh=true and was 2 tanh=false",
                "dimensions is none and was 8",
                "model.safetensors is another file"
            ]
        );
        assert!(own.differences(&own).is_empty());
        assert_eq!(of("").differences(&of(&format!("x={one}\n"))), ["x is not there any more"]);
    }
}
