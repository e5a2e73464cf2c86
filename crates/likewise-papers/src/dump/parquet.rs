//! Parquet: any table of papers, and what `likewise embed` writes.
//!
//! Its own file because it is the one format that is not read from its beginning: a file's last bytes say where its
//! columns are. It is read a few rows at a time, and only the columns that a paper has.

use super::arxiv;
use super::columns::Columns;
use super::fields::{build, build_again};
use super::unread::Unread;
use super::{BytesRead, Dump, Entry, Format, Refused, Source};
use crate::error::{Error, Result};
use crate::paper::written_day;
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

/// What such a file begins with.
pub const MAGIC: &[u8] = b"PAR1";

/// The key in a file's metadata whose value is the fingerprint of the space that its vectors are of.
pub const FINGERPRINT: &str = "likewise.fingerprint";

/// The column that holds them.
pub const EMBEDDING: &str = "embedding";

/// The columns that hold a paper, in files of vectors.
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
    "also",
    "withdrawn",
];

/// Rows that are held at once.
const ROWS: usize = 512;

/// Opens a file.
///
/// # Errors
/// [`Error::Invalid`] if it is no such file, lacks columns, or is packed in another one.
pub fn open(source: &Source, columns: &Columns) -> Result<Dump> {
    let invalid = |what: &dyn std::fmt::Display| Error::Invalid(format!("{source}: {what}"));
    if source.member.is_some() || !source.path.is_file() {
        return Err(invalid(&"Parquet is read from a file of its own; unpack it, and name the file"));
    }
    let file = File::open(&source.path).map_err(Error::io(&source.path))?;
    let size = file.metadata().map_err(Error::io(&source.path))?.len();
    let cannot =
        |error: ParquetError| invalid(&format!("{error}; wanted a whole Parquet file, get it again"));
    let builder = caught(|| ParquetRecordBatchReaderBuilder::try_new(file)).map_err(cannot)?;
    let metadata = builder.metadata().file_metadata();
    let keys = metadata.key_value_metadata().into_iter().flatten();
    let fingerprint = keys.filter(|pair| pair.key == FINGERPRINT).find_map(|pair| pair.value.clone());
    let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    columns.check(&names.iter().map(String::as_str).collect::<Vec<_>>()).map_err(|wrong| invalid(&wrong))?;
    let name_list: Vec<&str> = names.iter().map(String::as_str).collect();
    let kind = match fingerprint {
        Some(_) => Kind::Vectors,
        None if *columns == Columns::default() && arxiv::has_columns(&name_list) => Kind::Arxiv,
        None => Kind::Table(columns.clone()),
    };
    let schema = builder.schema().clone();
    let wanted = |name: &str| match &kind {
        Kind::Vectors => columns.wants(name) || name == EMBEDDING,
        Kind::Arxiv => !is_vector(&schema, name),
        Kind::Table(columns) => columns.wants(name),
    };
    let roots = (0..names.len()).filter(|place| wanted(&names[*place]));
    let projection = ProjectionMask::roots(metadata.schema_descr(), roots);
    let rows = metadata.num_rows().max(0) as u64;
    let reader =
        caught(|| builder.with_projection(projection).with_batch_size(ROWS).build()).map_err(cannot)?;
    let unread = Unread::default();
    let kept = unread.clone();
    note_vectors(&names, &kind, &schema, &unread);
    let bytes_read = BytesRead { total: size, entries: rows, ..BytesRead::default() };
    let batches = Batches { reader, row: 0, rows, bytes_read: bytes_read.clone(), ended: false };
    let entries = batches.flat_map(move |batch| match batch {
        Err(refused) => vec![Err(refused)],
        Ok((first, batch)) => {
            let entry = |row: usize| {
                entry(&batch, row, &kind, &unread)
                    .map_err(|reason| Refused { line: first + row as u64 + 1, reason })
            };
            (0..batch.num_rows()).map(entry).collect()
        }
    });
    Ok(Dump { format: Format::Parquet, entries: Box::new(entries), bytes_read, fingerprint, unread: kept })
}

/// A damaged file may make the library panic; that must not be the end of a run over many.
fn caught<T>(
    read: impl FnOnce() -> std::result::Result<T, ParquetError>,
) -> std::result::Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("the file is damaged".into())))
}

struct Batches {
    reader: ParquetRecordBatchReader,
    row: u64,
    rows: u64,
    bytes_read: BytesRead,
    ended: bool,
}

impl Iterator for Batches {
    type Item = std::result::Result<(u64, RecordBatch), Refused>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let first = self.row;
        match caught(|| {
            self.reader.next().transpose().map_err(|error| ParquetError::General(error.to_string()))
        }) {
            Ok(Some(batch)) => {
                self.row += batch.num_rows() as u64;
                // Where it is in the file is not known; how many rows there are is.
                let so_far = self.bytes_read.total as f64 * self.row as f64 / self.rows.max(1) as f64;
                self.bytes_read.read.store(so_far as u64, Ordering::Relaxed);
                Some(Ok((first, batch)))
            }
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                let reason = format!(
                    "the file cannot be read from here on ({error}); everything before was read, get the file again"
                );
                Some(Err(Refused { line: first + 1, reason }))
            }
        }
    }
}

/// What a file is.
enum Kind {
    /// Papers and their vectors, as `likewise embed` writes them.
    Vectors,
    /// arXiv's snapshot.
    Arxiv,
    /// Any table.
    Table(Columns),
}

/// Whether a column is of lists of numbers with fractions.
fn is_vector(schema: &Schema, name: &str) -> bool {
    schema.field_with_name(name).is_ok_and(|field| match field.data_type() {
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            item.data_type().is_floating()
        }
        _ => false,
    })
}

/// Says of columns of vectors that they are not used: they do not say of what model they are.
fn note_vectors(names: &[String], kind: &Kind, schema: &Schema, unread: &Unread) {
    if matches!(kind, Kind::Vectors) {
        return;
    }
    for name in names.iter().filter(|name| is_vector(schema, name)) {
        unread.note(
            &format!(
                "column {name:?}: vectors that are not used, because the file does not say of what model they are; all papers are \
                 encoded. Vectors that `likewise embed` wrote are used: their file has {FINGERPRINT} in its metadata"
            ),
            "",
        );
    }
}

fn entry(
    batch: &RecordBatch,
    row: usize,
    kind: &Kind,
    unread: &Unread,
) -> std::result::Result<Entry, String> {
    let mut values = Map::new();
    let mut vector = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == EMBEDDING && matches!(kind, Kind::Vectors) {
            vector = floats(column, row)?;
            continue;
        }
        let value = value(column, row).unwrap_or_else(|kind| {
            unread.note(&format!("column {:?}: got {kind}", field.name()), "");
            Value::Null
        });
        values.insert(field.name().clone(), value);
    }
    match kind {
        Kind::Vectors => {
            Ok(Entry::Encoded(build_again(Columns::default().fields(&values, unread)?, unread)?, vector))
        }
        Kind::Arxiv => arxiv::row(values, unread),
        Kind::Table(columns) => build(columns.fields(&values, unread)?, unread).map(Entry::Paper),
    }
}

/// The numbers in a row's list.
fn floats(column: &ArrayRef, row: usize) -> std::result::Result<Vec<f32>, String> {
    let wrong = || format!("{EMBEDDING}: got {}, wanted a list of f32 or f16", column.data_type());
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

/// A value as JSON has it. Bytes that are UTF-8 are text, and decimals are written out.
///
/// # Errors
/// What it is instead, where it has no such form.
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
            // Of an object, the parts that have such a form are enough.
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

/// Text that a program wrote as bytes; or the 16 bytes of a UUID.
fn bytes(bytes: &[u8]) -> std::result::Result<Value, String> {
    match (std::str::from_utf8(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(text), _) => Ok(text.trim_end_matches('\0').into()),
        (Err(_), Ok(number)) => {
            let digits: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
            Ok(parts.join("-").into())
        }
        (Err(_), Err(_)) => Err("bytes that are no UTF-8".into()),
    }
}

/// A decimal as it is written: a number of digits after the point, and none where all are zero.
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

/// The day of a time in seconds since 1970.
fn day(seconds: i64) -> Value {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds);
    time.map_or(Value::Null, |time| written_day(time.date()).into())
}
