//! Papers in a Milvus collection: the same library, elsewhere.
//!
//! Nothing is kept here that another process would need: a paper, what it is found by and its vector are a row
//! ([`rows`]), filters become the engine's expressions ([`expression`]), and what it cannot do (sort, fold records into
//! papers) is done on this side ([`order`], [`intake`]).

pub mod engine;
pub mod expression;
mod holdings;
mod intake;
pub mod order;
pub mod rows;

pub use crate::milvus::engine::{Settings, without_secrets};
pub use holdings::Collection;
pub use intake::{CollectionIntake, delete};

use crate::error::{Error, Result};
use crate::milvus::engine::{Milvus, Properties};
use crate::store::space::Description;
use likewise_encoder::Encoder;

/// How rows are made; a collection of another version is refused.
const VERSION: &str = "1";

/// How near vectors are.
const METRIC: &str = "cosine";

const OF_VERSION: &str = "likewise.version";
const OF_METRIC: &str = "likewise.metric";
const OF_DIMENSION: &str = "likewise.dimension";
const OF_FINGERPRINT: &str = "likewise.fingerprint";
const OF_MODEL: &str = "likewise.model";

/// Whose vectors a collection has; `None` if there is no collection.
///
/// # Errors
/// [`Error::Data`] if it does not say; [`Error::Engine`] if the engine cannot be reached.
pub fn description_of(settings: &Settings) -> Result<Option<Description>> {
    let Some((_, properties)) = Milvus::open(settings)? else { return Ok(None) };
    description(settings, &properties).map(Some)
}

/// Opens a collection that is there.
fn open(settings: &Settings, encoder: &Encoder) -> Result<Milvus> {
    let found = Milvus::open(settings)?;
    let (milvus, properties) = found.ok_or_else(|| {
        Error::Data(format!(
            "{settings}: no papers here; run `likewise ingest FILE… --index {settings}` first"
        ))
    })?;
    enter(milvus, &properties, encoder)
}

/// Lets nobody in whose vectors are others.
fn enter(milvus: Milvus, properties: &Properties, encoder: &Encoder) -> Result<Milvus> {
    let settings = milvus.settings();
    check(settings, properties, encoder)?;
    if milvus.dimension() != encoder.dimension() {
        return Err(Error::Data(format!(
            "{settings}: its vectors have {} values, and those of {} have {}; name another collection",
            milvus.dimension(),
            encoder.model().name,
            encoder.dimension()
        )));
    }
    milvus.load()?;
    Ok(milvus)
}

/// Opens a collection, and makes it if there is none.
fn open_or_create(settings: &Settings, encoder: &Encoder) -> Result<Milvus> {
    if let Some((milvus, properties)) = Milvus::open(settings)? {
        return enter(milvus, &properties, encoder);
    }
    let model = encoder.model();
    let properties = [
        (OF_VERSION, VERSION.to_string()),
        (OF_METRIC, METRIC.to_string()),
        (OF_DIMENSION, encoder.dimension().to_string()),
        (OF_FINGERPRINT, model.fingerprint.sha256.clone()),
        (OF_MODEL, Description::of(model)?),
    ];
    let properties: Properties =
        properties.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    match Milvus::create(settings, encoder.dimension(), properties.clone()) {
        Ok(milvus) => enter(milvus, &properties, encoder),
        // Somebody else may have made it in the meantime.
        Err(error) => match Milvus::open(settings)? {
            Some((milvus, properties)) => enter(milvus, &properties, encoder),
            None => Err(error),
        },
    }
}

/// Whose vectors a collection has.
fn description(settings: &Settings, properties: &Properties) -> Result<Description> {
    let noted = properties.get(OF_MODEL).and_then(|text| Description::parse(text.as_bytes()).ok());
    noted.ok_or_else(|| {
        Error::Data(format!(
            "{settings}: it does not say whose vectors it has; name a collection that likewise made"
        ))
    })
}

/// Refuses a collection whose vectors are another model's.
fn check(settings: &Settings, properties: &Properties, encoder: &Encoder) -> Result<()> {
    let is = |property: &str, wanted: &str| properties.get(property).is_some_and(|got| got == wanted);
    if !is(OF_VERSION, VERSION) || !is(OF_METRIC, METRIC) {
        return Err(Error::Data(format!(
            "{settings}: got a collection of version {} and metric {}, wanted {VERSION} and {METRIC}; name one that this \
             version of likewise made, or copy it with the version that made it",
            properties.get(OF_VERSION).map_or("none", String::as_str),
            properties.get(OF_METRIC).map_or("none", String::as_str),
        )));
    }
    let wanted = &encoder.model().fingerprint;
    if is(OF_FINGERPRINT, &wanted.sha256) {
        return Ok(());
    }
    let Description { model, fingerprint, .. } = description(settings, properties)?;
    Err(Error::Data(format!(
        "{settings}: its vectors are those of {model}, and not of {} as it is wanted now ({}); leave --model, --precision, \
         --dimensions and --prompt-name out to use the collection's own, or name another collection",
        encoder.model().describe(),
        wanted.differences(&fingerprint).join("; ")
    )))
}
