//! Computes the fingerprint of an embedding space, and the file checksums that are part of the fingerprint.
//!
//! Vectors can be compared only if they have the same fingerprint, so everything that affects a vector must be part of
//! the fingerprint. The name of a model is not part of it. Data folders on disk store the fingerprint of their vectors,
//! so the keys and values that this module writes must not change.

use super::document::TEXT_FORMAT;
use super::{CONFIG, Family, LORA_CONFIG, LORA_WEIGHTS, ModelConfig, ModelFolder, ModelKind, TOKENIZER};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Identifies an embedding space: a list of everything that affects a vector, and the SHA-256 of that list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// SHA-256 of `parts`, as 64 hexadecimal digits.
    pub sha256: String,
    /// A list of everything that affects a vector, one `key=value` per line. The list shows people why two fingerprints
    /// differ.
    pub parts: String,
    /// Number of values of the vectors.
    pub dimension: usize,
}

impl Fingerprint {
    /// Computes the fingerprint of a model folder.
    ///
    /// A property that most models do not have is written only if it is set. When a new program version supports a new
    /// property, the fingerprints of models without that property therefore stay the same.
    pub(super) fn of(folder: &ModelFolder) -> Fingerprint {
        let mut parts = String::new();
        for (file, checksum) in &folder.checksums {
            let _ = writeln!(parts, "{file}={checksum}");
        }
        let ModelFolder { config, precision, prompt, .. } = folder;
        let ModelConfig { pooling, max_length, dimension: full, adapters, .. } = config;
        let _ = writeln!(parts, "pooling={pooling:?}\nmax_length={max_length}\ndimension={full}");
        let _ = writeln!(parts, "precision={precision}\ntext={TEXT_FORMAT}");
        if let Some(join) = &config.join {
            let _ = writeln!(parts, "join={join:?}");
        }
        if config.pair {
            parts.push_str("pair=true\n");
        }
        if let Some(query) = &folder.query {
            let _ = writeln!(parts, "query_encoder={}", query.fingerprint.sha256);
        }
        for dense in &config.dense {
            let _ = writeln!(parts, "dense={} tanh={}", dense.folder, dense.tanh);
        }
        if let ModelKind::Sparse(sparse) = &config.kind {
            let _ = writeln!(parts, "sparse={sparse:?}");
        }
        if config.lowercase {
            // The value is not `true`, which older program versions wrote: they also converted special tokens to lower
            // case.
            parts.push_str("lowercase=normalizer\n");
        }
        if let Some(normalizer) = &config.normalizer {
            let _ = writeln!(parts, "normalizer={normalizer:?}");
        }
        // The key for documents is `paper`, because documents were called papers when the keys were chosen.
        for (input_type, prompt) in [("paper", &prompt.document), ("query", &prompt.query)] {
            if !prompt.is_empty() {
                let _ = writeln!(parts, "prompt.{input_type}={prompt:?}");
            }
        }
        if let Some(adapters) = adapters {
            let _ = writeln!(parts, "adapter.paper={}\nadapter.query={}", adapters.document, adapters.query);
        }
        if folder.title_weight() > 0.0 {
            let _ = writeln!(parts, "title={}", folder.title_weight());
        }
        if let Some(dimensions) = folder.options.dimensions.filter(|dimensions| dimensions != full) {
            let _ = writeln!(parts, "dimensions={dimensions}");
        }
        let dimension = folder.dimension();
        Fingerprint { sha256: hex(&Sha256::digest(parts.as_bytes())), parts, dimension }
    }

    /// Describes how this fingerprint differs from an older fingerprint, with one phrase per key.
    pub fn differences(&self, older: &Fingerprint) -> Vec<String> {
        let only_in = |one: &Fingerprint, other: &Fingerprint| -> BTreeMap<String, Vec<String>> {
            let shared: BTreeSet<&str> = other.parts.lines().collect();
            let mut only = BTreeMap::<String, Vec<String>>::new();
            for line in one.parts.lines().filter(|line| !shared.contains(line)) {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                only.entry(key.into()).or_default().push(value.into());
            }
            only
        };
        let (new, old) = (only_in(self, older), only_in(older, self));
        let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
        let phrase = |key: &String| {
            let values =
                |parts: &BTreeMap<String, Vec<String>>| parts.get(key).map(|values| values.join(", "));
            match (values(&new), values(&old)) {
                (Some(new), Some(old)) if is_checksum(&new) && is_checksum(&old) => {
                    format!("the file {key} has changed")
                }
                (Some(new), None) if is_checksum(&new) => format!("the file {key} was added"),
                (None, Some(old)) if is_checksum(&old) => format!("the file {key} was removed"),
                (new, old) => {
                    let or_none = |value: Option<String>| value.unwrap_or("none".into());
                    format!("{key} is {} and was {}", or_none(new), or_none(old))
                }
            }
        };
        keys.into_iter().map(phrase).collect()
    }
}

fn is_checksum(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// Returns the names and SHA-256 checksums of the files that are part of the fingerprint, in its order: weights,
/// tokenizer, config.json, dense layers, adapters. Checksums that `config` already has are not computed again.
pub(super) fn checksums(
    folder: &Path,
    weights: &[String],
    config: &ModelConfig,
    family: Family,
) -> Result<Vec<(String, String)>> {
    let is_static = family == Family::Static;
    let network = folder.join(&config.network);
    // A static model has no config.json, or one without settings that affect vectors.
    let config_file = (!is_static).then(|| CONFIG.to_string());
    let network_files = weights.iter().cloned().chain([TOKENIZER.into()]).chain(config_file);
    let mut other_files = Vec::new();
    // The weights of a layer without a folder of its own are among those of the network.
    for dense in config.dense.iter().filter(|dense| !dense.folder.is_empty()) {
        other_files.extend(
            super::weights::files(&folder.join(&dense.folder))?
                .into_iter()
                .map(|file| format!("{}/{file}", dense.folder)),
        );
    }
    if let Some(adapters) = &config.adapters {
        for adapter in [&adapters.document, &adapters.query] {
            other_files.extend(super::weights::ADAPTER_FILES.map(|file| format!("{adapter}/{file}")));
        }
    }
    if let Some(lora) = &config.lora {
        let in_folder = |file: &str| if lora.is_empty() { file.into() } else { format!("{lora}/{file}") };
        other_files.extend([LORA_CONFIG, LORA_WEIGHTS].map(in_folder));
    }
    let with_checksum = |folder: &Path, file: String| {
        let known = config.checksums.iter().find(|(path, _)| *path == file);
        let known = known.map(|(_, checksum)| checksum.clone());
        let checksum = known.map_or_else(|| sha256_file(&folder.join(&file)), Ok)?;
        Ok((file, checksum))
    };
    let network_files = network_files.map(|file| with_checksum(&network, file));
    network_files.chain(other_files.into_iter().map(|file| with_checksum(folder, file))).collect()
}

/// Returns the SHA-256 of a model's file, in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Model`] if the file is missing, is not a regular file, or cannot be opened; [`Error::Io`] if reading it
/// fails.
pub fn sha256_file(path: &Path) -> Result<String> {
    let opened = disk::regular_file_size(path).and_then(|_| std::fs::File::open(path));
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
    fn differences_describe_each_changed_key() {
        let of = |parts: &str| Fingerprint { parts: parts.into(), ..Fingerprint::default() };
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        let new =
            of(&format!("model.safetensors={one}\nprecision=f32\ndense=2 tanh=true\ndense=3 tanh=true\n"));
        let old = of(&format!(
            "model.safetensors={two}\nprecision=f32\ndense=2 tanh=false\ndense=3 tanh=true\ndimensions=8\n"
        ));
        assert_eq!(
            new.differences(&old),
            [
                "dense is 2 tanh=true and was 2 tanh=false",
                "dimensions is none and was 8",
                "the file model.safetensors has changed"
            ]
        );
        assert!(new.differences(&new).is_empty());
        assert_eq!(of("").differences(&of(&format!("x={one}\n"))), ["the file x was removed"]);
    }
}
