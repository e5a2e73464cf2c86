//! Recognises static models (model2vec; `StaticEmbedding` of sentence-transformers), which have no network: only a table
//! of token vectors, and a tokenizer.

use super::WEIGHTS;
use crate::error::{Error, Result, damaged};
use candle_core::safetensors::SliceSafetensors;
use likewise_base::disk;
use likewise_base::map::MappedFile;
use serde::Deserialize;
use std::path::Path;

/// `model_type` in the config.json of model2vec's folders.
const MODEL2VEC: &str = "model2vec";

/// The names of the table in the files of sentence-transformers and of model2vec.
const TABLES: [&str; 2] = ["embedding.weight", "embeddings"];

/// The size of a table.
pub(super) struct TableSize {
    /// Number of tokens that have a vector.
    pub tokens: usize,
    /// Number of values of a vector.
    pub width: usize,
}

/// Whether config.json in `folder` says that the model is model2vec's.
pub(super) fn is_model2vec(folder: &Path) -> bool {
    #[derive(Deserialize)]
    struct ModelType {
        model_type: String,
    }
    let text = disk::read_text(&folder.join(super::CONFIG)).unwrap_or_default();
    serde_json::from_str(&text).is_ok_and(|ModelType { model_type }| model_type == MODEL2VEC)
}

/// Reads the size of the table in `folder`.
///
/// # Errors
/// [`Error::Model`] if the folder has no table in a safetensors file.
pub(super) fn table_size(folder: &Path) -> Result<TableSize> {
    let path = folder.join(WEIGHTS);
    let mapped = MappedFile::open(&path)?;
    let file = SliceSafetensors::new(mapped.bytes()).map_err(|error| damaged(&path, error))?;
    let shape = |name: &str| file.get(name).ok().map(|tensor| tensor.shape().to_vec());
    match (TABLES.into_iter().find_map(shape).as_deref(), shape("mapping").as_deref()) {
        (Some([tokens, width]), None) => Ok(TableSize { tokens: *tokens, width: *width }),
        (Some([_, width]), Some([tokens])) => Ok(TableSize { tokens: *tokens, width: *width }),
        _ => Err(Error::Model(format!(
            "{}: the file must have a table of token vectors, called {}; use another model",
            path.display(),
            TABLES.join(" or ")
        ))),
    }
}
