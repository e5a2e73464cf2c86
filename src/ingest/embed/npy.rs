//! Vectors as a NumPy array, one row a paper, and their ids beside it, one a line.
//!
//! Its own file because a part has no header: how many rows there are is known when the parts are joined.

use super::{Dtype, Layout, Row, append_all};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes before the first value of a .npy file; a multiple of 64, as the format asks.
const HEADER_BYTES: usize = 128;

/// The file of the ids that belong to a file of vectors.
pub fn ids(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // `v.npy` has `v.ids`, and while it is written `v.npy.partial` has `v.ids.partial`.
    match name.split_once(".npy") {
        Some((stem, rest)) => path.with_file_name(format!("{stem}.ids{rest}")),
        None => path.with_file_name(format!("{name}.ids")),
    }
}

/// Writes a part.
pub fn write(path: &Path, rows: &[Row], layout: &Layout) -> Result<()> {
    let mut bytes = Vec::new();
    for value in rows.iter().flat_map(|row| &row.vector) {
        match layout.dtype {
            Dtype::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
            Dtype::F16 => bytes.extend_from_slice(&half::f16::from_f32(*value).to_le_bytes()),
        }
    }
    std::fs::write(path, bytes).map_err(Error::io(path))?;
    let ids: String = rows.iter().map(|row| format!("{}\n", row.paper.id)).collect();
    std::fs::write(self::ids(path), ids).map_err(Error::io(self::ids(path)))
}

/// Joins parts.
pub fn join(parts: &[PathBuf], out: &Path, layout: &Layout) -> Result<()> {
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

/// The header of a .npy file of little-endian values, version 1.0 of the format.
fn header(rows: u64, layout: &Layout) -> Vec<u8> {
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
    fn the_header_has_its_length_whatever_the_shape() {
        for rows in [0, 1, u64::MAX] {
            let layout = Layout { fingerprint: String::new(), dimension: 384, dtype: Dtype::F16 };
            let header = header(rows, &layout);
            assert_eq!(header.len(), HEADER_BYTES);
            assert!(header.ends_with(b"\n"));
        }
    }

    #[test]
    fn ids_stand_beside_their_vectors() {
        assert_eq!(ids(Path::new("d/v.npy.partial")), Path::new("d/v.ids.partial"));
        assert_eq!(ids(Path::new("d/v.npy")), Path::new("d/v.ids"));
        assert_eq!(ids(Path::new("part-000001")), Path::new("part-000001.ids"));
    }
}
