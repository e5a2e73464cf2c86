//! Writes vectors as JSON Lines with the keys `id`, `title`, `published` and `embedding`, or `sparse_embedding` with the
//! keys `indices` and `values`.

use super::{Dtype, EmbeddedPaper, SPARSE_EMBEDDING, VectorLayout, append_all};
use crate::error::{Error, Result};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes one part of the output.
pub fn write(path: &Path, rows: &[EmbeddedPaper], layout: &VectorLayout) -> Result<()> {
    let file = File::create(path).map_err(Error::io(path))?;
    let mut file = BufWriter::new(file);
    for EmbeddedPaper { paper, vector } in rows {
        let values: Vec<f32> = match layout.dtype {
            Dtype::F32 => vector.values().to_vec(),
            Dtype::F16 => vector.values().iter().map(|value| half::f16::from_f32(*value).to_f32()).collect(),
        };
        let mut line = json!({"id": paper.id, "title": paper.title, "published": paper.published});
        match layout.is_sparse {
            true => line[SPARSE_EMBEDDING] = json!({"indices": vector.indices(), "values": values}),
            false => line["embedding"] = json!(values),
        }
        writeln!(file, "{line}").map_err(Error::io(path))?;
    }
    file.flush().map_err(Error::io(path))
}

/// Joins the parts into the output file.
pub fn join(parts: &[PathBuf], out: &Path) -> Result<()> {
    let mut file = File::create(out).map_err(Error::io(out))?;
    append_all(parts, &mut file, out)
}
