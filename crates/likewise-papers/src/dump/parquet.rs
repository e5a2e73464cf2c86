//! Parquet: any table of papers, and what `likewise embed` writes.
//!
//! Its own file because it is the one format that is not read from its beginning: a file's last bytes say where its
//! columns are. It is read a few rows at a time, and only the columns that a paper has.

use super::arxiv;
use super::columns::Columns;
use super::fields::{build, build_again};
use super::{BytesRead, Dump, Entry, Format, Refused, Source};
use crate::error::{Error, Result};
use crate::paper::written_day;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::errors::ParquetError;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
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
    let wanted = |name: &str| match &kind {
        Kind::Vectors => columns.wants(name) || name == EMBEDDING,
        Kind::Arxiv => true,
        Kind::Table(columns) => columns.wants(name),
    };
    let roots = (0..names.len()).filter(|place| wanted(&names[*place]));
    let projection = ProjectionMask::roots(metadata.schema_descr(), roots);
    let rows = metadata.num_rows().max(0) as u64;
    let reader =
        caught(|| builder.with_projection(projection).with_batch_size(ROWS).build()).map_err(cannot)?;
    let bytes_read = BytesRead { total: size, ..BytesRead::default() };
    let batches = Batches { reader, row: 0, rows, bytes_read: bytes_read.clone(), ended: false };
    let entries = batches.flat_map(move |batch| match batch {
        Err(refused) => vec![Err(refused)],
        Ok((first, batch)) => {
            let entry = |row: usize| {
                entry(&batch, row, &kind).map_err(|reason| Refused { line: first + row as u64 + 1, reason })
            };
            (0..batch.num_rows()).map(entry).collect()
        }
    });
    Ok(Dump { format: Format::Parquet, entries: Box::new(entries), bytes_read, fingerprint })
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

fn entry(batch: &RecordBatch, row: usize, kind: &Kind) -> std::result::Result<Entry, String> {
    let mut values = Map::new();
    let mut vector = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == EMBEDDING && matches!(kind, Kind::Vectors) {
            vector = floats(column, row)?;
        } else {
            values.insert(field.name().clone(), value(column, row));
        }
    }
    match kind {
        Kind::Vectors => Ok(Entry::Encoded(build_again(Columns::default().fields(&values)?)?, vector)),
        Kind::Arxiv => arxiv::row(values),
        Kind::Table(columns) => build(columns.fields(&values)?).map(Entry::Paper),
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

/// A value as JSON has it; what has no such form is null.
fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    macro_rules! number {
        ($($kind:ident => $type:ty),*) => {
            match column.data_type() {
                $(DataType::$kind => return Value::from(column.as_primitive::<$type>().value(row)),)*
                _ => {}
            }
        };
    }
    number!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type, UInt8 => UInt8Type,
        UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type, Float32 => Float32Type, Float64 => Float64Type);
    let list = |items: ArrayRef| (0..items.len()).map(|item| value(&items, item)).collect::<Vec<_>>();
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Date32 => day(i64::from(column.as_primitive::<Date32Type>().value(row)) * 86_400),
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
        DataType::List(_) => list(column.as_list::<i32>().value(row)).into(),
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row)).into(),
        DataType::FixedSizeList(..) => list(column.as_fixed_size_list().value(row)).into(),
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let pairs =
                fields.iter().zip(columns).map(|(field, column)| (field.name().clone(), value(column, row)));
            Value::Object(pairs.collect())
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let key = dictionary.normalized_keys().get(row).copied();
            key.map_or(Value::Null, |key| value(dictionary.values(), key))
        }
        _ => Value::Null,
    }
}

/// The day of a time in seconds since 1970.
fn day(seconds: i64) -> Value {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds);
    time.map_or(Value::Null, |time| written_day(time.date()).into())
}
