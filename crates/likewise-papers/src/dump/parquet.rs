//! Reads Parquet: any table of papers, and the files that `likewise embed` writes.
//!
//! Parquet is the only format that cannot be streamed, because the index of the columns is at the end of the file. A
//! file is read a few hundred rows at a time. Only the columns that hold fields of a paper are read, and the embeddings
//! in files that `likewise embed` wrote. In arXiv's metadata snapshot, all columns except vectors are read.

use super::arxiv;
use super::columns::Columns;
use super::fields::{build, build_cleaned};
use super::lines::unreadable_from_here;
use super::warnings::Warnings;
use super::{BytesRead, Dump, Entry, Format, Refused, Source};
use crate::error::{Error, Result};
use crate::paper::format_day;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::errors::ParquetError;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};
use serde_json::{Map, Value};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

/// First bytes of a Parquet file.
pub const PARQUET_MAGIC: &[u8] = b"PAR1";

/// Metadata key whose value is the fingerprint of the model that computed the embeddings.
pub const FINGERPRINT_KEY: &str = "likewise.fingerprint";

/// Name of the column that holds the embeddings.
pub const EMBEDDING_COLUMN: &str = "embedding";

/// Names of the columns that hold the fields of a paper in files with embeddings.
pub const PAPER_COLUMNS: [&str; 11] = [
    "id",
    "title",
    "published",
    "abstract",
    "authors",
    "categories",
    "venue",
    "source",
    "url",
    "alternate_ids",
    "withdrawn",
];

/// Number of rows that are read at a time.
const BATCH_ROWS: usize = 512;

/// Opens a Parquet file.
///
/// # Errors
/// Returns [`Error::Invalid`] if the source is not a complete Parquet file, lacks a required column, or is a member of
/// an archive or a pipe. Returns [`Error::Io`] if the file cannot be opened.
pub fn open(source: &Source, columns: &Columns) -> Result<Dump> {
    let invalid = |problem: &dyn std::fmt::Display| Error::Invalid(format!("{source}: {problem}"));
    if source.member.is_some() || !source.path.is_file() {
        return Err(invalid(
            &"Parquet cannot be read from an archive or a pipe; save the data as a file and name that file",
        ));
    }
    let file = File::open(&source.path).map_err(Error::io(&source.path))?;
    let size = file.metadata().map_err(Error::io(&source.path))?.len();
    let parquet_error =
        |error: ParquetError| invalid(&format!("{error}; the Parquet file must be complete; get it again"));
    let builder = catch_panic(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(parquet_error)?;
    let metadata = builder.metadata().file_metadata();
    let keys = metadata.key_value_metadata().into_iter().flatten();
    let fingerprint = keys.filter(|pair| pair.key == FINGERPRINT_KEY).find_map(|pair| pair.value.clone());
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    columns.check(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(|wrong| invalid(&wrong))?;
    let name_list: Vec<&str> = names.iter().map(String::as_str).collect();
    let kind = match fingerprint {
        Some(_) => ContentKind::Embeddings,
        None if *columns == Columns::default() && arxiv::has_columns(&name_list) => {
            ContentKind::ArxivSnapshot
        }
        None => ContentKind::Table(columns.clone()),
    };
    let schema = builder.schema().clone();
    let is_read = |name: &str| match &kind {
        ContentKind::Embeddings => columns.has_field(name) || name == EMBEDDING_COLUMN,
        ContentKind::ArxivSnapshot => !is_vector(&schema, name),
        ContentKind::Table(columns) => columns.has_field(name),
    };
    let roots = (0..names.len()).filter(|index| is_read(&names[*index]));
    let projection = ProjectionMask::roots(metadata.schema_descr(), roots);
    let rows = metadata.num_rows().max(0) as u64;
    let reader = catch_panic(|| builder.with_projection(projection).with_batch_size(BATCH_ROWS).build())
        .map_err(parquet_error)?;
    let warnings = Warnings::default();
    let dump_warnings = warnings.clone();
    warn_of_unused_vectors(&names, &kind, &schema, &warnings);
    let bytes_read = BytesRead { total: size, entries: rows, ..BytesRead::default() };
    let batches = RowBatches { reader, row: 0, rows, bytes_read: bytes_read.clone(), ended: false };
    let entries = batches.flat_map(move |batch| match batch {
        Err(refused) => vec![Err(refused)],
        Ok((first, batch)) => {
            let entry = |row: usize| {
                entry(&batch, row, &kind, &warnings)
                    .map_err(|reason| Refused { line: first + row as u64 + 1, reason })
            };
            (0..batch.num_rows()).map(entry).collect()
        }
    });
    Ok(Dump {
        format: Format::Parquet,
        entries: Box::new(entries),
        bytes_read,
        fingerprint,
        warnings: dump_warnings,
    })
}

/// Turns a panic of the Parquet library into an error, so that the remaining dumps of a run are still read. A damaged
/// file can cause such a panic.
fn catch_panic<T>(
    read: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> std::result::Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("the file is damaged".into())))
}

/// An iterator over batches of rows. Each batch comes with the index of its first row, from 0.
struct RowBatches {
    reader: ParquetRecordBatchReader,
    row: u64,
    rows: u64,
    bytes_read: BytesRead,
    ended: bool,
}

impl Iterator for RowBatches {
    type Item = std::result::Result<(u64, RecordBatch), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let first = self.row;
        match catch_panic(|| {
            self.reader.next().transpose().map_err(|error| ParquetError::General(error.to_string()))
        }) {
            Ok(Some(batch)) => {
                self.row += batch.num_rows() as u64;
                // The Parquet library does not report its position in the file, so the number of bytes read is
                // estimated from the number of rows.
                let so_far = self.bytes_read.total as f64 * self.row as f64 / self.rows.max(1) as f64;
                self.bytes_read.read.store(so_far as u64, Ordering::Relaxed);
                Some(Ok((first, batch)))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(Refused { line: first + 1, reason: unreadable_from_here(&error) }))
            }
        }
    }
}

/// Kind of content of a Parquet file.
enum ContentKind {
    /// Papers and their embeddings, as written by `likewise embed`.
    Embeddings,
    /// arXiv's metadata snapshot.
    ArxivSnapshot,
    /// Any other table.
    Table(Columns),
}

/// Whether a column holds lists of floating-point numbers.
fn is_vector(schema: &Schema, name: &str) -> bool {
    schema.field_with_name(name).is_ok_and(|field| match field.data_type() {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            item.data_type().is_floating()
        }
        _ => false,
    })
}

/// Adds a warning for each column of vectors that is ignored. Vectors are ignored if the file does not name the model
/// that computed them.
fn warn_of_unused_vectors(names: &[String], kind: &ContentKind, schema: &Schema, warnings: &Warnings) {
    if matches!(kind, ContentKind::Embeddings) {
        return;
    }
    for name in names.iter().filter(|name| is_vector(schema, name)) {
        warnings.add(
            &format!(
                "column {name:?}: vectors ignored, because the file does not name the model that computed them; all \
                 papers are encoded again. Only vectors in files that `likewise embed` wrote are used; such a file has \
                 {FINGERPRINT_KEY} in its metadata"
            ),
            "",
        );
    }
}

fn entry(
    batch: &RecordBatch,
    row: usize,
    kind: &ContentKind,
    warnings: &Warnings,
) -> std::result::Result<Entry, String> {
    let mut values = Map::new();
    let mut vector = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == EMBEDDING_COLUMN && matches!(kind, ContentKind::Embeddings) {
            vector = embedding(column, row)?;
            continue;
        }
        let value = value(column, row).unwrap_or_else(|data_type| {
            warnings.add(&format!("column {:?}: ignored values of type {data_type}", field.name()), "");
            Value::Null
        });
        values.insert(field.name().clone(), value);
    }
    match kind {
        ContentKind::Embeddings => Ok(Entry::Encoded(
            build_cleaned(Columns::default().fields(&values, warnings)?, warnings)?,
            vector,
        )),
        ContentKind::ArxivSnapshot => arxiv::row(values, warnings),
        ContentKind::Table(columns) => build(columns.fields(&values, warnings)?, warnings).map(Entry::Paper),
    }
}

/// Returns the embedding in one row as f32.
///
/// # Errors
/// Returns the reason if the value is not a list of f32 or f16 without nulls.
fn embedding(column: &ArrayRef, row: usize) -> std::result::Result<Vec<f32>, String> {
    let wrong = || {
        format!("{EMBEDDING_COLUMN} must be a list of f32 or f16 without nulls (got {})", column.data_type())
    };
    let list = match column.data_type() {
        DataType::FixedSizeList(..) => column.as_fixed_size_list_opt().map(|list| list.value(row)),
        DataType::List(_) => column.as_list_opt::<i32>().map(|list| list.value(row)),
        _ => None,
    };
    let list = list.filter(|list| column.is_valid(row) && list.null_count() == 0).ok_or_else(wrong)?;
    match list.data_type() {
        DataType::Float32 => Ok(list.as_primitive::<Float32Type>().values().to_vec()),
        DataType::Float16 => {
            Ok(list.as_primitive::<Float16Type>().values().iter().map(|value| value.to_f32()).collect())
        }
        _ => Err(wrong()),
    }
}

/// Converts one value to JSON. Bytes and decimals become text. Dates and timestamps become the text of their day.
///
/// # Errors
/// Returns the name of the data type if the value cannot be converted to JSON, or says that bytes are not UTF-8.
fn value(column: &ArrayRef, row: usize) -> std::result::Result<Value, String> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    macro_rules! number {
        ($($kind:ident => $type:ty),*) => {
            match column.data_type() {
                $(DataType::$kind => return Ok(Value::from(column.as_primitive::<$type>().value(row))),)*
                _ => {}
            }
        };
    }
    number!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type, UInt8 => UInt8Type,
        UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type, Float32 => Float32Type, Float64 => Float64Type);
    let list = |items: ArrayRef| -> std::result::Result<Value, String> {
        (0..items.len())
            .map(|item| value(&items, item))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map(Value::Array)
    };
    Ok(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Binary => return bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => return bytes(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => return bytes(column.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => return bytes(column.as_fixed_size_binary().value(row)),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Decimal32(_, scale) => {
            decimal(column.as_primitive::<Decimal32Type>().value(row).into(), *scale)
        }
        DataType::Decimal64(_, scale) => {
            decimal(column.as_primitive::<Decimal64Type>().value(row).into(), *scale)
        }
        DataType::Decimal128(_, scale) => decimal(column.as_primitive::<Decimal128Type>().value(row), *scale),
        DataType::Float16 => Value::from(column.as_primitive::<Float16Type>().value(row).to_f32()),
        DataType::Date32 => day(i64::from(column.as_primitive::<Date32Type>().value(row)) * 86_400),
        DataType::Date64 => day(column.as_primitive::<Date64Type>().value(row).div_euclid(1000)),
        DataType::Timestamp(unit, _) => day(match unit {
            TimeUnit::Second => column.as_primitive::<TimestampSecondType>().value(row),
            TimeUnit::Millisecond => {
                column.as_primitive::<TimestampMillisecondType>().value(row).div_euclid(1000)
            }
            TimeUnit::Microsecond => {
                column.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1_000_000)
            }
            TimeUnit::Nanosecond => {
                column.as_primitive::<TimestampNanosecondType>().value(row).div_euclid(1_000_000_000)
            }
        }),
        DataType::List(_) => return list(column.as_list::<i32>().value(row)),
        DataType::LargeList(_) => return list(column.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => return list(column.as_fixed_size_list().value(row)),
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            // Fields without an equivalent in JSON become null.
            let pairs = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| (field.name().clone(), value(column, row).unwrap_or_default()));
            Value::Object(pairs.collect())
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            match dictionary.normalized_keys().get(row).copied() {
                Some(key) => return value(dictionary.values(), key),
                None => Value::Null,
            }
        }
        other => return Err(other.to_string()),
    })
}

/// Converts bytes to text. Trailing zero bytes of UTF-8 are removed; 16 bytes that are not UTF-8 are written as a UUID.
///
/// # Errors
/// Returns the reason if the bytes are neither UTF-8 nor 16 bytes.
fn bytes(bytes: &[u8]) -> std::result::Result<Value, String> {
    match (std::str::from_utf8(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(text), _) => Ok(text.trim_end_matches('\0').into()),
        (Err(_), Ok(number)) => {
            let digits: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            Ok(parts.join("-").into())
        }
        (Err(_), Err(_)) => Err("bytes that are not UTF-8".into()),
    }
}

/// Formats a decimal number with `scale` digits after the point. If all digits after the point are zero, they are left
/// out.
fn decimal(digits: i128, scale: i8) -> Value {
    let scale = usize::try_from(scale).unwrap_or_default();
    let written = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, part) = written.split_at(written.len() - scale);
    let sign = if digits < 0 { "-" } else { "" };
    if part.bytes().all(|digit| digit == b'0') {
        format!("{sign}{whole}").into()
    } else {
        format!("{sign}{whole}.{part}").into()
    }
}

/// Returns the day of a time as `YYYY-MM-DD`. The time is given in seconds since 1970-01-01. Null if the time is out of
/// range.
fn day(seconds: i64) -> Value {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds);
    time.map_or(Value::Null, |time| format_day(time.date()).into())
}
