//! Lists the available models: the models in the models folder, and the built-in models that can be fetched by name.
//!
//! Listing reads only small files: it computes no checksums and loads no weights, so it is fast even for many large
//! models.

use super::manifest::MANIFEST_FILE;
use super::network_config::NetworkConfig;
use super::{
    Manifest, ManifestKind, has_model, kind_of, read_settings, sentence_transformers, static_model, weights,
};
use likewise_base::disk;
use std::path::{Path, PathBuf};

/// The properties of a model that are known without reading its weights.
#[derive(Debug, Clone)]
pub struct ModelSummary {
    /// The name to pass to `--model`.
    pub name: String,
    /// The folder of the model. `None`: the model has not been fetched.
    pub folder: Option<PathBuf>,
    /// What the model computes.
    pub kind: ManifestKind,
    /// One line that says what the model is suited for; empty if unknown.
    pub about: String,
    /// `model_type` in the model's config.json.
    pub architecture: String,
    /// Number of values of the model's vectors; 0 for a cross-encoder.
    pub dimension: usize,
    /// Maximum length of a text in tokens.
    pub max_length: usize,
    /// Licence of the model's weights. `None`: unknown.
    pub license: Option<String>,
    /// Size of the model's weights in bytes. `None`: the model has not been fetched.
    pub bytes: Option<u64>,
    /// Number of parameters in millions. `None`: unknown.
    pub millions: Option<f64>,
}

/// Returns the models in `models_dir`, sorted by name, followed by the built-in models that are not among them. The
/// second list has one error message for each folder that looks like a model but cannot be read. If such a folder is
/// that of a built-in model, the model is listed as not fetched.
pub fn list(models_dir: &Path) -> (Vec<ModelSummary>, Vec<String>) {
    let (mut models, mut errors) = (Vec::new(), Vec::new());
    for name in folders(models_dir) {
        let folder = models_dir.join(&name);
        // The folder of a model that has not been fetched can contain only a manifest.
        if !has_model(&folder) {
            continue;
        }
        match summarize(&name, &folder) {
            Ok(model) => models.push(model),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let is_listed = |manifest: &Manifest| models.iter().any(|model| model.name == manifest.name);
    let not_fetched = Manifest::all_built_in().filter(|manifest| !is_listed(manifest));
    let not_fetched: Vec<ModelSummary> = not_fetched.map(|manifest| from_manifest(manifest, None)).collect();
    models.extend(not_fetched);
    (models, errors)
}

/// Returns the names of the folders that possibly contain a model, sorted. A name has the form `name` or `owner/name`.
fn folders(models_dir: &Path) -> Vec<String> {
    let subfolders = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let mut names = Vec::new();
    for name in subfolders(models_dir).into_iter().filter(|name| !name.starts_with('.')) {
        let path = models_dir.join(&name);
        if has_model(&path) || path.join(MANIFEST_FILE).is_file() {
            names.push(name);
        } else {
            let is_model = |inner: &String| has_model(&path.join(inner));
            let models = subfolders(&path).into_iter().filter(is_model);
            names.extend(models.map(|inner| format!("{name}/{inner}")));
        }
    }
    names.sort();
    names
}

/// Summarises the model in a folder.
///
/// # Errors
/// [`crate::Error::Model`] if the folder contains no model, or a model that is damaged or not supported.
pub fn summarize(name: &str, folder: &Path) -> crate::Result<ModelSummary> {
    let bytes = |folder: &Path| -> crate::Result<u64> {
        let files = weights::files(folder)?.into_iter();
        Ok(files.filter_map(|file| folder.join(file).metadata().ok()).map(|file| file.len()).sum())
    };
    if let Some(manifest) = Manifest::read(folder)? {
        let network = match manifest.kind {
            ManifestKind::Static if folder.join(sentence_transformers::MODULES).is_file() => {
                folder.join(sentence_transformers::network_folder(folder)?)
            }
            _ => folder.to_path_buf(),
        };
        let bytes = Some(bytes(&network)?);
        return Ok(ModelSummary { bytes, name: name.into(), ..from_manifest(manifest, Some(folder)) });
    }
    let network = folder.join(sentence_transformers::network_folder(folder)?);
    let is_static = sentence_transformers::is_static(folder)?;
    let network_config = match is_static {
        true => NetworkConfig::of_table(&static_model::table_size(&network)?),
        false => NetworkConfig::read(&network)?,
    };
    let bytes = bytes(&network)?;
    let kind = kind_of(folder, &network_config)?;
    let config = read_settings(kind, folder, &network_config)?;
    Ok(ModelSummary {
        name: name.into(),
        kind,
        folder: Some(folder.into()),
        about: String::new(),
        architecture: network_config.model_type,
        dimension: if kind.has_vectors() { config.dimension } else { 0 },
        max_length: config.max_length,
        license: license(folder),
        bytes: Some(bytes),
        millions: None,
    })
}

fn from_manifest(manifest: Manifest, folder: Option<&Path>) -> ModelSummary {
    let Manifest { name, kind, about, architecture, dimension, max_length, license, millions, .. } = manifest;
    ModelSummary {
        name,
        kind,
        folder: folder.map(Path::to_path_buf),
        about,
        architecture,
        dimension,
        max_length,
        license: Some(license),
        bytes: None,
        millions,
    }
}

/// Returns the licence that the YAML header of a repository's README states.
fn license(folder: &Path) -> Option<String> {
    let text = disk::read_text(&folder.join("README.md")).ok()?;
    let head = text.strip_prefix("---")?.split("\n---").next()?;
    let line = head.lines().find_map(|line| line.strip_prefix("license:"))?;
    Some(line.trim().trim_matches('"').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_includes_built_in_models_and_reports_broken_folders() {
        let folder = tempfile::tempdir().unwrap();
        let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/small-bert");
        let own = folder.path().join("owner/small");
        std::fs::create_dir_all(own.join("1_Pooling")).unwrap();
        for file in ["config.json", "model.safetensors", "modules.json", "1_Pooling/config.json"] {
            std::fs::copy(small.join(file), own.join(file)).unwrap();
        }
        std::fs::write(own.join("README.md"), "---\nlanguage: en\nlicense: mit\n---\n# Small\n").unwrap();
        let broken = folder.path().join("broken");
        std::fs::create_dir(&broken).unwrap();
        std::fs::write(broken.join("config.json"), "{}").unwrap();
        let (models, errors) = list(folder.path());
        let first = &models[0];
        assert_eq!((first.name.as_str(), first.license.as_deref()), ("owner/small", Some("mit")));
        assert_eq!((first.dimension, first.architecture.as_str()), (36, "bert"));
        assert!(first.bytes.is_some_and(|bytes| bytes > 10_000));
        assert!(models[1..].iter().all(|model| model.folder.is_none() && model.license.is_some()));
        assert_eq!(models.len(), 1 + Manifest::all_built_in().count());
        assert!(errors.len() == 1 && errors[0].contains("broken"), "{errors:?}");
    }
}
