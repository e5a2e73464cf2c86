//! What models there are: those in the models folder, and those that can be fetched by name.
//!
//! Its own file because it only looks: nothing is summed or loaded, so that a list of gigabytes is there at once.

use super::config::Config;
use super::manifest::FILE;
use super::{Manifest, has_model, sentence_transformers, weights};
use likewise_base::disk;
use std::path::{Path, PathBuf};

/// A model, as far as it can be told without reading its weights.
#[derive(Debug, Clone)]
pub struct Listed {
    /// What `--model` takes.
    pub name: String,
    /// Its folder, if it is here.
    pub folder: Option<PathBuf>,
    /// What it is good for.
    pub about: String,
    /// `model_type` of its config.json.
    pub architecture: String,
    /// Length of its vectors.
    pub dimension: usize,
    /// Tokens it reads of a text.
    pub max_length: usize,
    /// Licence of its weights, if that is said.
    pub license: Option<String>,
    /// Bytes of its weights, if it is here.
    pub bytes: Option<u64>,
    /// Parameters, in millions, if that is said.
    pub millions: Option<f64>,
}

/// The models in `models_dir`, by name, and then those that this program knows and that are not there; and what is wrong
/// with folders that look like models and are none.
pub fn list(models_dir: &Path) -> (Vec<Listed>, Vec<String>) {
    let (mut listed, mut wrong) = (Vec::new(), Vec::new());
    for name in folders(models_dir) {
        let folder = models_dir.join(&name);
        // Only a manifest may be there.
        if !has_model(&folder) {
            continue;
        }
        match look(&name, &folder) {
            Ok(model) => listed.push(model),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    let elsewhere =
        Manifest::all_known().filter(|known| !listed.iter().any(|model| model.name == known.name));
    let elsewhere: Vec<Listed> = elsewhere.map(|manifest| stated(manifest, None)).collect();
    listed.extend(elsewhere);
    (listed, wrong)
}

/// Names of folders that may be models: `name`, or `owner/name`.
fn folders(models_dir: &Path) -> Vec<String> {
    let inside = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let mut names = Vec::new();
    for name in inside(models_dir).into_iter().filter(|name| !name.starts_with('.')) {
        let path = models_dir.join(&name);
        if has_model(&path) || path.join(FILE).is_file() {
            names.push(name);
        } else {
            let is_model = |inner: &String| has_model(&path.join(inner));
            names.extend(inside(&path).into_iter().filter(is_model).map(|inner| format!("{name}/{inner}")));
        }
    }
    names.sort();
    names
}

/// What can be told of the model in a folder.
///
/// # Errors
/// [`crate::Error::Model`], if there is none.
pub fn look(name: &str, folder: &Path) -> crate::Result<Listed> {
    let bytes = |folder: &Path| -> crate::Result<u64> {
        let files = weights::files(folder)?.into_iter();
        Ok(files.filter_map(|file| folder.join(file).metadata().ok()).map(|file| file.len()).sum())
    };
    if let Some(manifest) = Manifest::read(folder)? {
        let bytes = Some(bytes(folder)?);
        return Ok(Listed { bytes, name: name.into(), ..stated(manifest, Some(folder)) });
    }
    let network = folder.join(sentence_transformers::network_in(folder)?);
    let (bytes, config) = (bytes(&network)?, Config::read(&network)?);
    let own = sentence_transformers::read(folder, &config)?;
    Ok(Listed {
        name: name.into(),
        folder: Some(folder.into()),
        about: String::new(),
        architecture: config.model_type,
        dimension: own.dimension,
        max_length: own.max_length,
        license: license(folder),
        bytes: Some(bytes),
        millions: None,
    })
}

fn stated(manifest: Manifest, folder: Option<&Path>) -> Listed {
    let Manifest { name, about, architecture, dimension, max_length, license, millions, .. } = manifest;
    Listed {
        name,
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

/// As the head of a repository's README says it.
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
    fn models_are_listed_with_what_can_be_had_and_what_is_wrong() {
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
        let (listed, wrong) = list(folder.path());
        let first = &listed[0];
        assert_eq!((first.name.as_str(), first.license.as_deref()), ("owner/small", Some("mit")));
        assert_eq!((first.dimension, first.architecture.as_str()), (36, "bert"));
        assert!(first.bytes.is_some_and(|bytes| bytes > 10_000));
        assert!(listed[1..].iter().all(|model| model.folder.is_none() && model.license.is_some()));
        assert_eq!(listed.len(), 1 + Manifest::all_known().count());
        assert!(wrong.len() == 1 && wrong[0].contains("broken"), "{wrong:?}");
    }
}
