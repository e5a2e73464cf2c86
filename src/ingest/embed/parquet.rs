//! Writes vectors and their papers as Parquet, which `likewise ingest` reads without encoding the papers again. A file with
//! sparse vectors has no vectors that could be indexed: `likewise ingest` encodes its papers.
//!
//! Each part is a row group; parts are joined by copying row groups byte for byte.

use super::{Dtype, EmbeddedPaper, SPARSE_EMBEDDING, VectorLayout};
use crate::error::{self, Error};
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::reader::FileReader;
use ::parquet::file::serialized_reader::SerializedFileReader;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::ColumnPath;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, ListArray, RecordBatch,
    StringArray, StructArray, UInt32Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use likewise_papers::Paper;
use likewise_papers::dump::{EMBEDDING_COLUMN, FINGERPRINT_KEY, PAPER_COLUMNS};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes one part of the output.
pub fn write(path: &Path, rows: &[EmbeddedPaper], layout: &VectorLayout) -> error::Result<()> {
    let cannot = |error: ParquetError| Error::Data(format!("{}: {error}", path.display()));
    let batch = batch(rows, layout).map_err(|error| cannot(ParquetError::General(error)))?;
    let file = File::create(path).map_err(Error::io(path))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties(layout))).map_err(cannot)?;
    writer.write(&batch).map_err(cannot)?;
    writer.close().map(drop).map_err(cannot)
}

fn properties(layout: &VectorLayout) -> WriterProperties {
    let values = ColumnPath::new(vec![EMBEDDING_COLUMN.into(), "list".into(), "element".into()]);
    // The fingerprint says that the file has vectors that can be indexed.
    let fingerprint =
        (!layout.is_sparse).then(|| vec![KeyValue::new(FINGERPRINT_KEY.into(), layout.fingerprint.clone())]);
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("likewise ", env!("CARGO_PKG_VERSION")).into())
        .set_key_value_metadata(fingerprint)
        // A dictionary and statistics are useless for the values of vectors.
        .set_column_dictionary_enabled(values.clone(), false)
        .set_column_statistics_enabled(values, EnabledStatistics::None)
        .build()
}

fn batch(rows: &[EmbeddedPaper], layout: &VectorLayout) -> Result<RecordBatch, String> {
    let message = |error: ArrowError| error.to_string();
    let mut columns: Vec<(&str, ArrayRef)> =
        PAPER_COLUMNS.iter().map(|name| (*name, column(name, rows))).collect();
    // The vectors come after id, title and date, so that the most interesting columns are the first columns.
    let vectors = match layout.is_sparse {
        true => (SPARSE_EMBEDDING, sparse_vectors(rows, layout).map_err(message)?),
        false => (EMBEDDING_COLUMN, dense_vectors(rows, layout).map_err(message)?),
    };
    columns.insert(3, vectors);
    let field = |(name, column): &(&str, ArrayRef)| {
        let is_optional = !["id", "title", EMBEDDING_COLUMN, SPARSE_EMBEDDING].contains(name);
        Field::new(*name, column.data_type().clone(), is_optional)
    };
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())
        .map_err(message)
}

/// The values of all vectors, one after the other, in the layout's number format.
fn values(rows: &[EmbeddedPaper], layout: &VectorLayout) -> ArrayRef {
    let values = rows.iter().flat_map(|row| row.vector.values().iter().copied());
    match layout.dtype {
        Dtype::F32 => Arc::new(Float32Array::from_iter_values(values)),
        Dtype::F16 => Arc::new(Float16Array::from_iter_values(values.map(half::f16::from_f32))),
    }
}

fn dense_vectors(rows: &[EmbeddedPaper], layout: &VectorLayout) -> Result<ArrayRef, ArrowError> {
    let values = values(rows, layout);
    let item = Arc::new(Field::new("element", values.data_type().clone(), false));
    Ok(Arc::new(FixedSizeListArray::try_new(item, layout.dimension as i32, values, None)?))
}

/// A column of structs with the lists `indices` and `values`.
fn sparse_vectors(rows: &[EmbeddedPaper], layout: &VectorLayout) -> Result<ArrayRef, ArrowError> {
    let ends = OffsetBuffer::<i32>::from_lengths(rows.iter().map(|row| row.vector.values().len()));
    let list = |values: ArrayRef| -> Result<ArrayRef, ArrowError> {
        let item = Arc::new(Field::new("element", values.data_type().clone(), false));
        Ok(Arc::new(ListArray::try_new(item, ends.clone(), values, None)?))
    };
    let indices = rows.iter().flat_map(|row| row.vector.indices().iter().copied());
    let lists = [
        ("indices", list(Arc::new(UInt32Array::from_iter_values(indices)))?),
        ("values", list(values(rows, layout))?),
    ];
    let field = |(name, list): &(&str, ArrayRef)| Field::new(*name, list.data_type().clone(), false);
    let fields = Fields::from(lists.iter().map(field).collect::<Vec<_>>());
    let lists = lists.into_iter().map(|(_, list)| list).collect();
    Ok(Arc::new(StructArray::try_new(fields, lists, None)?))
}

fn column(name: &str, rows: &[EmbeddedPaper]) -> ArrayRef {
    let texts = |of: fn(&Paper) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of(&row.paper)).collect::<StringArray>())
    };
    let lists = |of: fn(&Paper) -> Vec<&str>| -> ArrayRef {
        let mut lists =
            ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
        for row in rows {
            of(&row.paper).into_iter().for_each(|text| lists.values().append_value(text));
            lists.append(true);
        }
        Arc::new(lists.finish())
    };
    match name {
        "id" => texts(|paper| Some(paper.id.as_str())),
        "title" => texts(|paper| Some(&paper.title)),
        "published" => texts(|paper| paper.published.as_deref()),
        "abstract" => texts(|paper| Some(&paper.r#abstract)),
        "authors" => lists(|paper| paper.authors.iter().map(String::as_str).collect()),
        "categories" => lists(|paper| paper.categories.iter().map(String::as_str).collect()),
        "venue" => texts(|paper| paper.venue.as_deref()),
        "source" => texts(|paper| paper.source.as_deref()),
        "url" => texts(|paper| paper.url.as_deref()),
        "alternate_ids" => lists(|paper| paper.alternate_ids.iter().map(|id| id.as_str()).collect()),
        _ => Arc::new(rows.iter().map(|row| Some(row.paper.withdrawn)).collect::<BooleanArray>()),
    }
}

/// Joins the parts into the output file by concatenating their row groups.
pub fn join(parts: &[PathBuf], out: &Path, layout: &VectorLayout) -> error::Result<()> {
    let cannot = |path: &Path| {
        let path = path.display().to_string();
        move |error: ParquetError| {
            Error::Data(format!(
                "{path}: {error}; delete the folder of finished parts beside the output file, and run `likewise embed` again"
            ))
        }
    };
    let file = File::create(out).map_err(Error::io(out))?;
    // An empty part. If there are no other parts, it supplies the schema and the fingerprint of the output file.
    let empty = out.with_extension("empty");
    write(&empty, &[], layout)?;
    let first = parts.first().unwrap_or(&empty);
    let (schema, keys) = {
        let read = File::open(first).map_err(Error::io(first))?;
        let metadata =
            SerializedFileReader::new(read).map_err(cannot(first))?.metadata().file_metadata().clone();
        (metadata.schema_descr().root_schema_ptr(), metadata.key_value_metadata().cloned())
    };
    likewise_base::disk::remove(&empty)?;
    let properties = properties(layout).into_builder().set_key_value_metadata(keys).build();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(cannot(out))?;
    for part in parts {
        let read = File::open(part).map_err(Error::io(part))?;
        let reader =
            SerializedFileReader::new(read.try_clone().map_err(Error::io(part))?).map_err(cannot(part))?;
        for group in reader.metadata().row_groups().iter().filter(|group| group.num_rows() > 0) {
            let mut copy = writer.next_row_group().map_err(cannot(out))?;
            for column in group.columns() {
                let close = ColumnCloseResult {
                    bytes_written: column.compressed_size() as u64,
                    rows_written: group.num_rows() as u64,
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                copy.append_column(&read, close).map_err(cannot(out))?;
            }
            copy.close().map_err(cannot(out))?;
        }
    }
    writer.close().map(drop).map_err(cannot(out))
}
