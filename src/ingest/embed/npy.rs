//! Writes vectors as a NumPy array with one row per paper, and the papers' ids in a second file, one per line.
//!
//! A part has no header, because the number of rows is known only when the parts are joined.

use super::{Dtype, EmbeddedPaper, VectorLayout, append_all};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Size of the header of a .npy file, in bytes; the format requires a multiple of 64.
const HEADER_BYTES: usize = 128;

/// The path of the file with the papers' ids, for the file of vectors at `path`.
pub fn ids(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // `v.ids` for `v.npy`, and `v.ids.partial` for the unfinished `v.npy.partial`.
    match name.split_once(".npy") {
        Some((stem, rest)) => path.with_file_name(format!("{stem}.ids{rest}")),
        None => path.with_file_name(format!("{name}.ids")),
    }
}

/// Writes one part of the output, and the file with the ids of its papers.
pub fn write(path: &Path, rows: &[EmbeddedPaper], layout: &VectorLayout) -> Result<()> {
    let mut bytes = Vec::new();
    for value in rows.iter().flat_map(|row| row.vector.values()) {
        match layout.dtype {
            Dtype::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
            Dtype::F16 => bytes.extend_from_slice(&half::f16::from_f32(*value).to_le_bytes()),
        }
    }
    std::fs::write(path, bytes).map_err(Error::io(path))?;
    let ids: String = rows.iter().map(|row| format!("{}\n", row.paper.id)).collect();
    std::fs::write(self::ids(path), ids).map_err(Error::io(self::ids(path)))
}

/// Joins the parts into the output file, and the ids into a second file.
pub fn join(parts: &[PathBuf], out: &Path, layout: &VectorLayout) -> Result<()> {
    let width = layout.dimension * if layout.dtype == Dtype::F32 { 4 } else { 2 };
    let mut bytes = 0;
    for part in parts {
        bytes += std::fs::metadata(part).map_err(Error::io(part))?.len();
    }
    let mut file = File::create(out).map_err(Error::io(out))?;
    file.write_all(&header(bytes / width as u64, layout)).map_err(Error::io(out))?;
    append_all(parts, &mut file, out)?;
    let path = ids(out);
    let mut file = File::create(&path).map_err(Error::io(&path))?;
    append_all(&parts.iter().map(|part| ids(part)).collect::<Vec<_>>(), &mut file, &path)
}

/// The header of a .npy file, version 1.0, for a matrix of little-endian values.
fn header(rows: u64, layout: &VectorLayout) -> Vec<u8> {
    let kind = if layout.dtype == Dtype::F32 { "<f4" } else { "<f2" };
    let shape =
        format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {}), }}", layout.dimension);
    let length = HEADER_BYTES - 10;
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend_from_slice(&(length as u16).to_le_bytes());
    header.extend_from_slice(format!("{shape:<width$}\n", width = length - 1).as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_a_fixed_size_for_any_shape() {
        for rows in [0, 1, u64::MAX] {
            let layout = VectorLayout {
                fingerprint: String::new(),
                dimension: 384,
                dtype: Dtype::F16,
                is_sparse: false,
            };
            let header = header(rows, &layout);
            assert_eq!(header.len(), HEADER_BYTES);
            assert!(header.ends_with(b"\n"));
        }
    }

    #[test]
    fn ids_are_in_a_file_next_to_their_vectors() {
        assert_eq!(ids(Path::new("d/v.npy.partial")), Path::new("d/v.ids.partial"));
        assert_eq!(ids(Path::new("d/v.npy")), Path::new("d/v.ids"));
        assert_eq!(ids(Path::new("part-000001")), Path::new("part-000001.ids"));
    }
}
