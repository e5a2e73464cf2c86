//! Papers in a Milvus collection, as an alternative to a data folder.
//!
//! All state is in the collection, so several processes can use the collection at the same time. A row holds a paper
//! with its vector ([`rows`]), and filters are translated to Milvus expressions ([`expression`]). Milvus cannot sort or
//! deduplicate, so [`newest`] sorts and [`collection_writer`] deduplicates.

mod collection_writer;
pub mod engine;
pub mod expression;
pub mod newest;
mod paper_store;
pub mod rows;

pub use crate::milvus::engine::{Settings, without_secrets};
pub use collection_writer::{CollectionWriter, delete};
pub use paper_store::Collection;

use crate::error::{Error, Result};
use crate::milvus::engine::{Milvus, Properties};
use crate::store::vector_store::Description;
use likewise_encoder::Encoder;

/// Version of the row format; collections with another version are not opened for search or for adding papers.
const VERSION: &str = "1";

/// Similarity metric of the vectors.
const METRIC: &str = "cosine";

// Names of a collection's properties.
const VERSION_PROPERTY: &str = "likewise.version";
const METRIC_PROPERTY: &str = "likewise.metric";
const DIMENSION_PROPERTY: &str = "likewise.dimension";
const FINGERPRINT_PROPERTY: &str = "likewise.fingerprint";
const MODEL_PROPERTY: &str = "likewise.model";

/// The model of a collection's vectors; `None` if the collection does not exist.
///
/// # Errors
/// Returns [`Error::Data`] if the collection does not state the model of its vectors, [`Error::Engine`] if the engine
/// cannot be reached.
pub fn description_of(settings: &Settings) -> Result<Option<Description>> {
    let Some((_, properties)) = Milvus::open(settings)? else { return Ok(None) };
    description(settings, &properties).map(Some)
}

/// Opens an existing collection.
fn open(settings: &Settings, encoder: &Encoder) -> Result<Milvus> {
    let found = Milvus::open(settings)?;
    let (milvus, properties) = found.ok_or_else(|| {
        Error::Data(format!(
            "{settings}: the collection does not exist; run `likewise ingest FILE… --index {settings}` first"
        ))
    })?;
    check_and_load(milvus, &properties, encoder)
}

/// Loads a collection after checking its format and that its vectors were computed by the encoder's model.
fn check_and_load(milvus: Milvus, properties: &Properties, encoder: &Encoder) -> Result<Milvus> {
    let settings = milvus.settings();
    check(settings, properties, encoder)?;
    if milvus.dimension() != encoder.dimension() {
        return Err(Error::Data(format!(
            "{settings}: the collection's vectors must have {} values, like the vectors of {} (got {}); give the \
             name of another collection",
            encoder.dimension(),
            encoder.model().name,
            milvus.dimension()
        )));
    }
    milvus.load()?;
    Ok(milvus)
}

/// Opens a collection, and creates it if it does not exist.
fn open_or_create(settings: &Settings, encoder: &Encoder) -> Result<Milvus> {
    if let Some((milvus, properties)) = Milvus::open(settings)? {
        return check_and_load(milvus, &properties, encoder);
    }
    let model = encoder.model();
    let properties = [
        (VERSION_PROPERTY, VERSION.to_string()),
        (METRIC_PROPERTY, METRIC.to_string()),
        (DIMENSION_PROPERTY, encoder.dimension().to_string()),
        (FINGERPRINT_PROPERTY, model.fingerprint.sha256.clone()),
        (MODEL_PROPERTY, Description::json_of(model)?),
    ];
    let properties: Properties =
        properties.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    match Milvus::create(settings, encoder.dimension(), properties.clone()) {
        Ok(milvus) => check_and_load(milvus, &properties, encoder),
        // Another process may have created the collection in the meantime.
        Err(error) => match Milvus::open(settings)? {
            Some((milvus, properties)) => check_and_load(milvus, &properties, encoder),
            None => Err(error),
        },
    }
}

/// Reads the model of a collection's vectors from its properties.
fn description(settings: &Settings, properties: &Properties) -> Result<Description> {
    let description =
        properties.get(MODEL_PROPERTY).and_then(|text| Description::parse(text.as_bytes()).ok());
    description.ok_or_else(|| {
        Error::Data(format!(
            "{settings}: the collection does not state the model of its vectors; give a collection that likewise made"
        ))
    })
}

/// Checks that a collection has the format of this version of likewise, and vectors of the encoder's model.
fn check(settings: &Settings, properties: &Properties, encoder: &Encoder) -> Result<()> {
    let is = |property: &str, value: &str| properties.get(property).is_some_and(|found| found == value);
    if !is(VERSION_PROPERTY, VERSION) || !is(METRIC_PROPERTY, METRIC) {
        return Err(Error::Data(format!(
            "{settings}: the collection must have version {VERSION} and metric {METRIC} (got {} and {}); give a \
             collection that this version of likewise created, or copy the papers to a data folder with the version \
             of likewise that created the collection",
            properties.get(VERSION_PROPERTY).map_or("none", String::as_str),
            properties.get(METRIC_PROPERTY).map_or("none", String::as_str),
        )));
    }
    let expected = &encoder.model().fingerprint;
    if is(FINGERPRINT_PROPERTY, &expected.sha256) {
        return Ok(());
    }
    let Description { model, fingerprint, .. } = description(settings, properties)?;
    Err(Error::Data(format!(
        "{settings}: the collection's vectors must be of the model {} (got vectors of {model}: {}); leave --model, \
         --precision, --dimensions and --prompt-name out to use the collection's model, or give the name of another \
         collection",
        encoder.model().describe(),
        expected.differences(&fingerprint).join("; ")
    )))
}
