//! Tables from Parquet files, through the crate `parquet` without Arrow: its rows are all that is needed, and Arrow would double what is
//! compiled.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::data::table::{Cell, Table};
use crate::error::{Error, Result};
use crate::fault::{TableFault, TablePlace};

impl Table {
    /// Reads a Parquet file, uncompressed or compressed by Snappy. `true` is 1, `false` 0, and a list of numbers is
    /// one of [`Table::sequences`].
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Table`] if it is no Parquet file, is damaged or compressed otherwise, or has no columns.
    pub fn read_parquet(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(Error::io("read", path))?;
        let refuse = |fault| Error::Table { path: Some(path.to_owned()), fault };
        // The crate has panicked over damaged files before.
        let read = catch_unwind(AssertUnwindSafe(|| columns(file)))
            .unwrap_or_else(|_| Err(ParquetError::General("it is damaged".to_owned())));
        let columns = read.map_err(|error| refuse(TableFault::Format { detail: error.to_string() }))?;
        let Some((_, first)) = columns.first() else { return Err(refuse(TableFault::NoColumns)) };
        let places = (1..=first.len() as u64).map(TablePlace::Row).collect();
        Ok(Self::new(Some(path), columns, places))
    }
}

fn columns(file: File) -> Result<Vec<(String, Vec<Cell>)>, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let mut columns: Vec<_> =
        schema.get_fields().iter().map(|field| (field.name().to_owned(), Vec::new())).collect();
    for row in reader.get_row_iter(None)? {
        let row = row?;
        if row.len() != columns.len() {
            return Err(ParquetError::General(format!(
                "a row has {} of {} columns",
                row.len(),
                columns.len()
            )));
        }
        for ((_, column), (_, field)) in columns.iter_mut().zip(row.get_column_iter()) {
            column.push(cell(field));
        }
    }
    Ok(columns)
}

fn cell(field: &Field) -> Cell {
    match field {
        Field::Null => Cell::Missing,
        Field::Str(text) => Cell::Text(text.as_str().into()),
        Field::ListInternal(list) => {
            let numbers: Option<Box<[f64]>> = list.elements().iter().map(number).collect();
            numbers.map_or(Cell::Other("a list of other things than numbers"), Cell::Numbers)
        }
        Field::Group(_) => Cell::Other("a group"),
        Field::MapInternal(_) => Cell::Other("a map"),
        Field::Bytes(_) => Cell::Other("bytes"),
        other => number(other).map_or(Cell::Other("a date, a time or a decimal"), Cell::Number),
    }
}

fn number(field: &Field) -> Option<f64> {
    Some(match *field {
        Field::Bool(truth) => f64::from(u8::from(truth)),
        Field::Byte(number) => number.into(),
        Field::Short(number) => number.into(),
        Field::Int(number) => number.into(),
        Field::Long(number) => number as f64,
        Field::UByte(number) => number.into(),
        Field::UShort(number) => number.into(),
        Field::UInt(number) => number.into(),
        Field::ULong(number) => number as f64,
        Field::Float16(number) => f32::from(number).into(),
        Field::Float(number) => number.into(),
        Field::Double(number) => number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn write(path: &Path, compression: Compression) {
        let schema = "message rows {
            OPTIONAL DOUBLE load;
            REQUIRED BYTE_ARRAY day (UTF8);
            OPTIONAL group words (LIST) { REPEATED group list { REQUIRED INT32 element; } }
        }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
        let file = File::create(path).unwrap();
        let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<DoubleType>().write_batch(&[1.5, 2.5], Some(&[1, 0, 1]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let days = ["Mon", "Tue", "Wed"].map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&days, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<Int32Type>()
            .write_batch(&[7, 8, 9], Some(&[2, 2, 1, 2]), Some(&[0, 1, 0, 0]))
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
    }

    #[test]
    fn columns_are_read_whatever_the_compression() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.parquet");
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
            write(&path, compression);
            let table = Table::read_parquet(&path).unwrap();
            assert_eq!(table.names().collect::<Vec<_>>(), ["load", "day", "words"]);
            assert_eq!(table.texts("day").unwrap(), ["Mon", "Tue", "Wed"]);
            assert_eq!(table.floats_or("load", 0.0).unwrap(), [1.5, 0.0, 2.5]);
            assert_eq!(table.sequences("words").unwrap(), [vec![7, 8], vec![], vec![9]]);
            let error = table.floats("load").unwrap_err().to_string();
            assert!(error.contains("load.parquet': row 2, column 'load': the number is missing"), "{error}");
        }
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.parquet");
        write(&path, Compression::SNAPPY);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 4, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(Table::read_parquet(&path), Err(Error::Table { .. })), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            std::fs::write(&path, &bytes).unwrap();
            // Some changes only make other values: what counts is that none ends the process.
            let _ = Table::read_parquet(&path);
        }
        assert!(matches!(Table::read_parquet(folder.path().join("none")), Err(Error::Io { .. })));
    }
}
