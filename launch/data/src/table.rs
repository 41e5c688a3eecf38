//! Columns of a data set in memory, and as Parquet: written deterministically, read with distrust.
//!
//! Not responsible for which columns there are ([`crate::lerobot`], [`crate::steps`]).

use crate::dataset_error::DatasetError;
use crate::unfinished::OpenFile;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int64Array, RecordBatch,
    StructArray,
};
use arrow_schema::{DataType, Field, Fields, SchemaRef};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file claims at most so much content; a damaged one must not ask for all the memory there is.
const UNCOMPRESSED_BYTES_MAX: i64 = 8 << 30;

/// The values of one feature, row after row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// So many numbers a row.
    F32(usize, Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    /// A compressed picture a row; equal neighbours share their bytes.
    Image(Vec<Arc<Vec<u8>>>),
}

impl Column {
    pub fn rows(&self) -> usize {
        match self {
            Self::F32(width, values) => values.len() / (*width).max(1),
            Self::I64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Image(values) => values.len(),
        }
    }

    /// Those of one row.
    pub fn numbers(&self, row: usize) -> Option<&[f32]> {
        match self {
            Self::F32(width, values) => values.get(row * width..(row + 1) * width),
            _ => None,
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::F32(1, _) => DataType::Float32,
            Self::F32(width, _) => DataType::FixedSizeList(element(), *width as i32),
            Self::I64(_) => DataType::Int64,
            Self::Bool(_) => DataType::Boolean,
            Self::Image(_) => DataType::Struct(picture_fields()),
        }
    }

    pub fn to_array(&self) -> ArrayRef {
        match self {
            Self::F32(1, values) => Arc::new(Float32Array::from(values.clone())),
            Self::F32(width, values) => {
                let values = Arc::new(Float32Array::from(values.clone()));
                Arc::new(FixedSizeListArray::new(
                    element(),
                    *width as i32,
                    values,
                    None,
                ))
            }
            Self::I64(values) => Arc::new(Int64Array::from(values.clone())),
            Self::Bool(values) => Arc::new(BooleanArray::from(values.clone())),
            Self::Image(pictures) => picture_array(pictures.iter().map(|bytes| bytes.as_slice())),
        }
    }

    fn of(array: &dyn Array) -> Result<Self, String> {
        if array.null_count() > 0 {
            return Err("has empty cells".to_owned());
        }
        Ok(match array.data_type() {
            DataType::Float32 | DataType::Float64 => Self::F32(1, floats(array)?),
            DataType::FixedSizeList(_, width) if *width > 0 => {
                let list = array.as_fixed_size_list();
                Self::F32(*width as usize, floats(list.values())?)
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let width = if list.is_empty() {
                    0
                } else {
                    list.value_length(0)
                };
                let even = (0..list.len()).all(|row| list.value_length(row) == width);
                if !even || width <= 0 {
                    return Err("has rows of different lengths".to_owned());
                }
                let (from, to) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
                let values = list.values().slice(from as usize, (to - from) as usize);
                Self::F32(width as usize, floats(&values)?)
            }
            DataType::Int64 => Self::I64(array.as_primitive::<Int64Type>().values().to_vec()),
            DataType::Boolean => Self::Bool(array.as_boolean().values().iter().collect()),
            DataType::Struct(_) => {
                let bytes = array.as_struct().column_by_name("bytes");
                let bytes = bytes.and_then(|bytes| bytes.as_binary_opt::<i32>());
                let bytes = bytes.ok_or("is no picture with its bytes in the file")?;
                if bytes.null_count() > 0 {
                    return Err("has pictures outside the file".to_owned());
                }
                let pictures = bytes.iter().flatten();
                Self::Image(pictures.map(|bytes| Arc::new(bytes.to_vec())).collect())
            }
            other => {
                return Err(format!(
                    "has the type {other}, which nothing here is made of"
                ));
            }
        })
    }

    fn extend(&mut self, other: Self) -> Result<(), String> {
        match (self, other) {
            (Self::F32(width, values), Self::F32(same, more)) if *width == same => {
                values.extend(more)
            }
            (Self::I64(values), Self::I64(more)) => values.extend(more),
            (Self::Bool(values), Self::Bool(more)) => values.extend(more),
            (Self::Image(values), Self::Image(more)) => values.extend(more),
            _ => return Err("changes its type".to_owned()),
        }
        Ok(())
    }

    /// A part of the rows, from one up to and without another.
    pub fn slice(&self, from: usize, to: usize) -> Self {
        match self {
            Self::F32(width, values) => {
                Self::F32(*width, values[from * width..to * width].to_vec())
            }
            Self::I64(values) => Self::I64(values[from..to].to_vec()),
            Self::Bool(values) => Self::Bool(values[from..to].to_vec()),
            Self::Image(values) => Self::Image(values[from..to].to_vec()),
        }
    }
}

fn element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Float32, true))
}

fn floats(array: &dyn Array) -> Result<Vec<f32>, String> {
    if array.null_count() > 0 {
        return Err("has empty cells".to_owned());
    }
    match array.data_type() {
        DataType::Float32 => Ok(array.as_primitive::<Float32Type>().values().to_vec()),
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>().values();
            Ok(values.iter().map(|&value| value as f32).collect())
        }
        other => Err(format!("has numbers of the type {other}")),
    }
}

pub fn picture_fields() -> Fields {
    Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ])
}

/// What `datasets.Image` reads: the bytes, and no path, as they are not elsewhere.
pub fn picture_array<'a>(pictures: impl Iterator<Item = &'a [u8]>) -> ArrayRef {
    let (mut bytes, mut paths) = (BinaryBuilder::new(), StringBuilder::new());
    for picture in pictures {
        bytes.append_value(picture);
        paths.append_null();
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(bytes.finish()), Arc::new(paths.finish())];
    Arc::new(StructArray::new(picture_fields(), columns, None))
}

/// Bytes that the batch's values take, whatever else their buffers hold.
pub fn batch_bytes(batch: &RecordBatch) -> u64 {
    let sizes = batch.columns().iter().map(|column| {
        let size = column.to_data().get_slice_memory_size();
        size.unwrap_or(0) as u64
    });
    sizes.sum()
}

/// A Parquet file that is being written: the same batches give the same bytes.
pub struct TableFile {
    writer: ArrowWriter<OpenFile>,
    path: PathBuf,
}

impl TableFile {
    pub fn create(path: PathBuf, schema: SchemaRef) -> Result<Self, DatasetError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            // Pictures are no words that come back, and a dictionary of them only takes memory.
            .set_dictionary_enabled(false)
            .set_created_by(concat!("visuomotor ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = OpenFile::create(path.clone())?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties));
        Ok(Self {
            writer: writer.map_err(|error| written(&path, error))?,
            path,
        })
    }

    /// One row group; an episode can then be read without its neighbours.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), DatasetError> {
        let added = self.writer.write(batch).and_then(|()| self.writer.flush());
        added.map_err(|error| written(&self.path, error))
    }

    pub fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    pub fn close(self) -> Result<(), DatasetError> {
        let file = self.writer.into_inner();
        file.map_err(|error| written(&self.path, error))?.close()
    }
}

/// A table in one batch.
pub fn write_table(path: PathBuf, batch: &RecordBatch) -> Result<(), DatasetError> {
    let mut file = TableFile::create(path, batch.schema())?;
    file.add(batch)?;
    file.close()
}

fn written(path: &Path, error: parquet::errors::ParquetError) -> DatasetError {
    DatasetError::File {
        doing: "write",
        path: path.to_owned(),
        source: std::io::Error::other(error.to_string()),
    }
}

/// The columns of a file that `wanted` names.
///
/// # Errors
/// Names the file, and the column where one is to blame; a wanted column that is missing is simply not in the answer.
pub fn read_columns(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Column>, DatasetError> {
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    for batch in read_batches(path, wanted)? {
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let name = field.name();
            let of_column = |reason: String| {
                DatasetError::content(path, format!("the column `{name}` {reason}"))
            };
            let column = Column::of(array).map_err(of_column)?;
            match columns.get_mut(name) {
                Some(before) => before.extend(column).map_err(of_column)?,
                None => drop(columns.insert(name.clone(), column)),
            }
        }
    }
    Ok(columns)
}

/// The rows of a file, of the columns that `wanted` names.
pub fn read_batches(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<RecordBatch>, DatasetError> {
    let file = File::open(path).map_err(DatasetError::file("open", path))?;
    // The decoders of the format trust what a file says of itself in more than one place. A damaged file is an ordinary
    // event here and nothing of it outlives the attempt, so its panic is an error like any other.
    let read = catch_unwind(AssertUnwindSafe(|| batches(file, wanted)));
    let read = read.unwrap_or_else(|_| Err("is damaged beyond reading".to_owned()));
    read.map_err(|reason| DatasetError::content(path, reason))
}

fn batches(file: File, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<RecordBatch>, String> {
    let unreadable = |error: parquet::errors::ParquetError| error.to_string();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unreadable)?;
    let groups = builder.metadata().row_groups().iter();
    let claims = groups.map(|group| group.total_byte_size().max(0));
    if claims.fold(0_i64, i64::saturating_add) > UNCOMPRESSED_BYTES_MAX {
        return Err("claims to hold more than 8 GiB".to_owned());
    }
    let fields = builder.schema().fields().iter().enumerate();
    let roots = fields.filter(|(_, field)| wanted(field.name()));
    let roots: Vec<usize> = roots.map(|(root, _)| root).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).with_batch_size(4096).build();
    let reader = reader.map_err(unreadable)?;
    reader
        .map(|batch| batch.map_err(|error| error.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::staged::TestDirectory;
    use arrow_schema::Schema;
    use proptest::prelude::*;

    fn columns() -> BTreeMap<String, Column> {
        let picture = |k: u8| Arc::new(vec![k; 40 + k as usize]);
        BTreeMap::from([
            (
                "a".to_owned(),
                Column::F32(3, (0..15).map(|k| k as f32 / 7.0).collect()),
            ),
            ("b".to_owned(), Column::F32(1, vec![0.5; 5])),
            (
                "c".to_owned(),
                Column::I64(vec![i64::MIN, -1, 0, 1, i64::MAX]),
            ),
            (
                "d".to_owned(),
                Column::Bool(vec![true, false, true, true, false]),
            ),
            ("e".to_owned(), Column::Image((0..5).map(picture).collect())),
        ])
    }

    fn batch(columns: &BTreeMap<String, Column>) -> RecordBatch {
        let fields = columns.iter();
        let fields: Vec<_> = fields
            .map(|(name, column)| Field::new(name, column.data_type(), true))
            .collect();
        let arrays = columns.values().map(Column::to_array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[test]
    fn columns_come_back() {
        let directory = TestDirectory::new("table");
        let path = directory.path().join("deep/a.parquet");
        write_table(path.clone(), &batch(&columns())).unwrap();
        assert_eq!(read_columns(&path, &|_| true).unwrap(), columns());
        let some = read_columns(&path, &|name| name == "c" || name == "x").unwrap();
        assert_eq!(some.keys().collect::<Vec<_>>(), ["c"]);
        let half = columns()["a"].slice(1, 3);
        assert_eq!(half.numbers(0), columns()["a"].numbers(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn damaged_files_are_errors_that_name_them(at in 0.0..1.0_f64, flip in 1..=255_u8, cut in any::<bool>()) {
            let directory = TestDirectory::new("damaged");
            let path = directory.path().join("a.parquet");
            write_table(path.clone(), &batch(&columns())).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let at = (at * bytes.len() as f64) as usize;
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            std::fs::write(&path, bytes).unwrap();
            if let Err(error) = read_columns(&path, &|_| true) {
                prop_assert!(error.to_string().contains("a.parquet"), "{}", error);
            }
        }
    }
}
