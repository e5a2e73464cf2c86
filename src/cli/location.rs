//! The location of the papers: a data folder (`--data`) or a collection of an external engine (`--index`).
//!
//! Commands that search or write papers use [`Location`], so that they do not depend on the kind of location.

use super::{DataOptions, EncoderOptions};
use crate::ingest::{self, FolderWriter, PaperWriter};
#[cfg(feature = "milvus")]
use crate::milvus::{self, Collection, CollectionWriter, Settings};
use crate::search::Library;
use clap::Args;
use likewise_encoder::Encoder;
use likewise_papers::PaperId;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of commands that work with either a data folder or a collection. `copy` and `eval` have options of their own
/// for this.
#[derive(Args)]
pub struct LocationOptions {
    #[command(flatten)]
    pub data: DataOptions,
    /// Use this collection of a Milvus server instead of a data folder: milvus://USER:PASSWORD@HOST:PORT/COLLECTION,
    /// with options after a `?`. To keep credentials out of the command line, set LIKEWISE_INDEX_USER and
    /// LIKEWISE_INDEX_PASSWORD, or LIKEWISE_INDEX_TOKEN. By default, the data folder is used.
    // The type is `String`, so that clap does not parse the address: an error message of clap would print the whole
    // address, including the password.
    #[arg(long, value_name = "URL", env = "LIKEWISE_INDEX", hide_env_values = true)]
    pub index: Option<String>,
}

/// The error message if the address of a collection is given. It does not contain the address, which can have a
/// password in it.
#[cfg(not(feature = "milvus"))]
const WITHOUT_MILVUS: &str =
    "this program was built without Milvus and cannot open a collection; build it with --features milvus";

/// Environment variables with the user, the password and the token for Milvus. Other users of the machine can see the
/// arguments of a process, but not its environment.
#[cfg(feature = "milvus")]
const CREDENTIALS: [&str; 3] = ["LIKEWISE_INDEX_USER", "LIKEWISE_INDEX_PASSWORD", "LIKEWISE_INDEX_TOKEN"];

/// Parses the address of a collection. Credentials that are missing in the address are taken from [`CREDENTIALS`].
#[cfg(feature = "milvus")]
fn parse_settings(text: &str) -> anyhow::Result<Settings> {
    let settings: Settings = text.parse()?;
    let [user, password, token] =
        CREDENTIALS.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Ok(settings.or_login(user, password, token))
}

/// The location of the papers.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a data folder.
    Folder(PathBuf),
    /// In a collection of a Milvus server.
    #[cfg(feature = "milvus")]
    Collection(Box<Settings>),
}

impl Location {
    /// Parses a location: the address of a collection if `text` contains `://`, otherwise the path of a data folder.
    pub fn parse(text: &str) -> anyhow::Result<Location> {
        #[cfg(feature = "milvus")]
        if text.contains("://") {
            return parse_settings(text).map(|settings| Location::Collection(Box::new(settings)));
        }
        #[cfg(not(feature = "milvus"))]
        anyhow::ensure!(!text.contains("://"), "{WITHOUT_MILVUS}");
        Ok(Location::Folder(text.into()))
    }

    /// Loads the encoder. If the options do not set the model or the precision, uses that of the stored papers.
    pub fn load_encoder(&self, options: &EncoderOptions) -> anyhow::Result<Arc<Encoder>> {
        match self {
            Location::Folder(data) => options.load_or_stored(
                |models| Ok(ingest::model_of(data, models)?),
                |model| Ok(ingest::precision_of(data, model)?),
            ),
            #[cfg(feature = "milvus")]
            Location::Collection(settings) => {
                let stored = milvus::description_of(settings)?;
                options.load_or_stored(
                    |models| Ok(stored.as_ref().map(|stored| stored.open_model(models)).transpose()?),
                    |model| {
                        Ok(stored.as_ref().and_then(|stored| model.precision_of(&stored.fingerprint.sha256)))
                    },
                )
            }
        }
    }

    /// Opens the papers for searching.
    pub fn open_library(&self, encoder: Arc<Encoder>) -> anyhow::Result<Library> {
        Ok(match self {
            Location::Folder(data) => Library::open(data, encoder)?,
            #[cfg(feature = "milvus")]
            Location::Collection(settings) => Collection::library(settings, encoder)?,
        })
    }

    /// Opens the papers for writing.
    pub fn open_writer(&self, encoder: &Arc<Encoder>) -> anyhow::Result<Box<dyn PaperWriter>> {
        Ok(match self {
            Location::Folder(data) => Box::new(FolderWriter::open(data, encoder)?),
            #[cfg(feature = "milvus")]
            Location::Collection(settings) => Box::new(CollectionWriter::open(settings, encoder)?),
        })
    }

    /// Deletes papers, each given by any of its ids. Returns, for each id, whether a paper with this id was deleted:
    /// `false` for an unknown id, and for a further id of a paper that an earlier id in the list names.
    pub fn delete(&self, ids: &[PaperId]) -> anyhow::Result<Vec<bool>> {
        Ok(match self {
            Location::Folder(data) => ingest::delete(data, ids)?,
            #[cfg(feature = "milvus")]
            Location::Collection(settings) => milvus::delete(settings, ids)?,
        })
    }
}

impl LocationOptions {
    /// Returns the collection of `--index` if the option is given, otherwise the data folder.
    pub fn location(&self) -> anyhow::Result<Location> {
        #[cfg(feature = "milvus")]
        if let Some(index) = &self.index {
            return Ok(Location::Collection(Box::new(parse_settings(index)?)));
        }
        #[cfg(not(feature = "milvus"))]
        anyhow::ensure!(self.index.is_none(), "{WITHOUT_MILVUS}");
        Ok(Location::Folder(self.data.data.clone()))
    }

    /// Whether the location is a data folder.
    pub fn is_folder(&self) -> bool {
        self.index.is_none()
    }

    /// Loads the encoder; see [`Location::load_encoder`].
    pub fn load_encoder(&self) -> anyhow::Result<Arc<Encoder>> {
        self.location()?.load_encoder(&self.data.encoder)
    }
}
