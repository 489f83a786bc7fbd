//! Tables from comma-separated values, as RFC 4180 has them: the first line names the columns, and a quoted cell may hold
//! commas, quotes and lines.
//!
//! `csv-core`, the parser of the crate `csv`, is enough: a text in memory needs no reader, and cells are kept as text.

use std::path::Path;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::data::table::{Cell, Table};
use crate::data::text::{plain_text, read_text};
use crate::error::{Error, Result};
use crate::fault::{TableFault, TablePlace};

impl Table {
    /// Reads a CSV file, whose cells are separated by commas.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NotUtf8`]; [`Error::Table`] if there is no line, two columns have one name, or with the first line that has
    /// another number of cells than there are columns.
    pub fn read_csv(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_delimited(path, b',')
    }

    /// Reads a file like CSV with another character between cells, such as `b';'` or `b'\t'`.
    ///
    /// # Errors
    /// As [`Table::read_csv`].
    pub fn read_delimited(path: impl AsRef<Path>, delimiter: u8) -> Result<Self> {
        parse(&read_text(&path)?, delimiter, Some(path.as_ref()))
    }

    /// A table from CSV in memory.
    ///
    /// # Errors
    /// As [`Table::read_csv`].
    pub fn from_csv(text: &str) -> Result<Self> {
        parse(&plain_text(text), b',', None)
    }
}

/// The records of a text, one after the other.
struct Records<'a> {
    parser: Reader,
    rest: &'a [u8],
    /// Line in which `rest` begins.
    line: u64,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(text: &'a str, delimiter: u8) -> Self {
        let parser = ReaderBuilder::new().delimiter(delimiter).build();
        // No record is longer than the text.
        Self { parser, rest: text.as_bytes(), line: 1, cells: vec![0; text.len()], ends: vec![0; 16] }
    }

    /// The next record's line and cells.
    fn next(&mut self) -> Option<(u64, Vec<String>)> {
        // Empty lines are no records.
        self.skip(self.rest.iter().take_while(|&&byte| byte == b'\n').count());
        let line = self.line;
        let (mut written, mut count) = (0, 0);
        loop {
            let (result, read, cells, ends) =
                self.parser.read_record(self.rest, &mut self.cells[written..], &mut self.ends[count..]);
            self.skip(read);
            (written, count) = (written + cells, count + ends);
            match result {
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return None,
                // It asks once more, with nothing, for the last record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2 + 16, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            }
        }
        let begins = std::iter::once(0).chain(self.ends[..count].iter().copied());
        let cells = begins.zip(&self.ends[..count]);
        // Cells of a text are text.
        Some((line, cells.map(|(a, &b)| String::from_utf8_lossy(&self.cells[a..b]).into_owned()).collect()))
    }

    fn skip(&mut self, bytes: usize) {
        let (read, rest) = self.rest.split_at(bytes);
        self.line += read.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.rest = rest;
    }
}

fn parse(text: &str, delimiter: u8, path: Option<&Path>) -> Result<Table> {
    let refuse = |fault| Error::Table { path: path.map(Path::to_owned), fault };
    let mut records = Records::new(text, delimiter);
    let (_, names) = records.next().ok_or_else(|| refuse(TableFault::NoColumns))?;
    let names: Vec<String> = names.into_iter().map(|name| name.trim().to_owned()).collect();
    if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(refuse(TableFault::TwoColumns { name: name.clone() }));
    }
    let mut columns: Vec<(String, Vec<Cell>)> = names.into_iter().map(|name| (name, Vec::new())).collect();
    let mut places = Vec::new();
    while let Some((line, cells)) = records.next() {
        let place = TablePlace::Line(line);
        if cells.len() != columns.len() {
            return Err(refuse(TableFault::Cells { place, has: cells.len(), needs: columns.len() }));
        }
        for ((_, column), cell) in columns.iter_mut().zip(cells) {
            column.push(Cell::Text(cell.into()));
        }
        places.push(place);
    }
    Ok(Table::new(path, columns, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Table::from_csv(text).unwrap_err().to_string()
    }

    #[test]
    fn quoted_cells_hold_commas_quotes_and_lines() {
        let text = "name,n\n\"a, \"\"b\"\"\nc\",1\n\nd,two\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}{text}")] {
            let table = Table::from_csv(&text).unwrap();
            assert_eq!(table.texts("name").unwrap(), ["a, \"b\"\nc", "d"]);
            // The header, a record of two lines, an empty line.
            let error = table.floats("n").unwrap_err().to_string();
            assert_eq!(error, "table: line 5, column 'n': \"two\" is not a finite number");
        }
    }

    #[test]
    fn what_is_no_table_is_refused_by_line() {
        assert_eq!(message(""), "table: it has no columns");
        assert_eq!(message("a,b\n1,2\n3\n"), "table: line 3 has 1 cells, there are 2 columns");
        assert_eq!(message("a,b\n\n1,2,3\n"), "table: line 3 has 3 cells, there are 2 columns");
        assert_eq!(message("a,b, a\n"), "table: two columns have the name 'a'");
        let empty = Table::from_csv("a,b\n").unwrap();
        assert!(empty.is_empty() && empty.floats("b").unwrap().is_empty());
    }

    #[test]
    fn files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load.csv");
        assert!(matches!(Table::read_csv(&path), Err(Error::Io { .. })));
        std::fs::write(&path, "day;load\n1;2\n2;x\n").unwrap();
        let table = Table::read_delimited(&path, b';').unwrap();
        let error = table.floats("load").unwrap_err().to_string();
        assert!(error.contains("load.csv': line 3, column 'load'"), "{error}");
        std::fs::write(&path, b"a\n\xff\n").unwrap();
        assert!(matches!(Table::read_csv(&path), Err(Error::NotUtf8 { line: 2, .. })));
    }
}
