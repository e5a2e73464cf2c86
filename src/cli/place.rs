//! Where papers are: in a data folder, or in an engine elsewhere (`--index`).
//!
//! Its own file because commands that ask for papers, or take them in, need not know which.

use super::{DataOptions, ModelOptions};
use crate::ingest::{self, Intake, Writer};
#[cfg(feature = "milvus")]
use crate::milvus::{self, Collection, CollectionIntake, Settings};
use crate::search::Library;
use clap::Args;
use likewise_encoder::Encoder;
use likewise_papers::PaperId;
use std::path::PathBuf;
use std::sync::Arc;

/// Options of every command that works wherever papers are.
#[derive(Args)]
pub struct PlaceOptions {
    #[command(flatten)]
    pub data: DataOptions,
    /// A collection of a Milvus server in place of the data folder: milvus://USER:PASSWORD@HOST:PORT/COLLECTION, with options after
    /// a `?`. LIKEWISE_INDEX_USER, LIKEWISE_INDEX_PASSWORD and LIKEWISE_INDEX_TOKEN can say who asks.
    // Read here and not by clap, which says the whole of what it cannot read, passwords too.
    #[arg(long, value_name = "URL", env = "LIKEWISE_INDEX", hide_env_values = true)]
    pub index: Option<String>,
}

/// What is said of an address where there is nothing to ask it with. It may have a password in it, and is not said again.
#[cfg(not(feature = "milvus"))]
const WITHOUT_MILVUS: &str = "got the address of a collection, and this program was built without Milvus; build it with --features milvus";

/// Who asks, in the environment: arguments can be seen by others.
#[cfg(feature = "milvus")]
const LOGIN: [&str; 3] = ["LIKEWISE_INDEX_USER", "LIKEWISE_INDEX_PASSWORD", "LIKEWISE_INDEX_TOKEN"];

/// An address, and who asks.
#[cfg(feature = "milvus")]
fn parse_settings(text: &str) -> anyhow::Result<Settings> {
    let settings: Settings = text.parse()?;
    let [user, password, token] =
        LOGIN.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Ok(settings.or_login(user, password, token))
}

/// Where papers are.
#[derive(Debug, Clone)]
pub enum Place {
    /// In a data folder.
    Folder(PathBuf),
    /// In a collection.
    #[cfg(feature = "milvus")]
    Collection(Box<Settings>),
}

impl Place {
    /// What is written like an address is a collection; anything else, a folder.
    pub fn parse(text: &str) -> anyhow::Result<Place> {
        #[cfg(feature = "milvus")]
        if text.contains("://") {
            return parse_settings(text).map(|settings| Place::Collection(Box::new(settings)));
        }
        #[cfg(not(feature = "milvus"))]
        anyhow::ensure!(!text.contains("://"), "{WITHOUT_MILVUS}");
        Ok(Place::Folder(text.into()))
    }

    /// Loads the model that was named, or that of the papers there, in the precision that was named, or theirs.
    pub fn load(&self, model: &ModelOptions) -> anyhow::Result<Arc<Encoder>> {
        match self {
            Place::Folder(data) => model.load_like(
                |models| Ok(ingest::model_of(data, models)?),
                |model| Ok(ingest::precision_of(data, model)?),
            ),
            #[cfg(feature = "milvus")]
            Place::Collection(settings) => {
                let own = milvus::description_of(settings)?;
                model.load_like(
                    |models| Ok(own.as_ref().map(|own| own.open_model(models)).transpose()?),
                    |model| Ok(own.as_ref().and_then(|own| model.precision_of(&own.fingerprint.sha256))),
                )
            }
        }
    }

    /// Opens the papers for answering.
    pub fn library(&self, encoder: Arc<Encoder>) -> anyhow::Result<Library> {
        Ok(match self {
            Place::Folder(data) => Library::open(data, encoder)?,
            #[cfg(feature = "milvus")]
            Place::Collection(settings) => Collection::library(settings, encoder)?,
        })
    }

    /// Opens them for writing.
    pub fn intake(&self, encoder: &Arc<Encoder>) -> anyhow::Result<Box<dyn Intake>> {
        Ok(match self {
            Place::Folder(data) => Box::new(Writer::open(data, encoder)?),
            #[cfg(feature = "milvus")]
            Place::Collection(settings) => Box::new(CollectionIntake::open(settings, encoder)?),
        })
    }

    /// Deletes papers, by any of their ids; gives which of them were there.
    pub fn delete(&self, ids: &[PaperId]) -> anyhow::Result<Vec<bool>> {
        Ok(match self {
            Place::Folder(data) => ingest::delete(data, ids)?,
            #[cfg(feature = "milvus")]
            Place::Collection(settings) => milvus::delete(settings, ids)?,
        })
    }
}

impl PlaceOptions {
    /// Where the papers are.
    pub fn place(&self) -> anyhow::Result<Place> {
        #[cfg(feature = "milvus")]
        if let Some(index) = &self.index {
            return Ok(Place::Collection(Box::new(parse_settings(index)?)));
        }
        #[cfg(not(feature = "milvus"))]
        anyhow::ensure!(self.index.is_none(), "{WITHOUT_MILVUS}");
        Ok(Place::Folder(self.data.data.clone()))
    }

    /// Whether they are in a data folder.
    pub fn is_folder(&self) -> bool {
        self.index.is_none()
    }

    /// See [`Place::load`].
    pub fn load(&self) -> anyhow::Result<Arc<Encoder>> {
        self.place()?.load(&self.data.model)
    }
}
