//! Tables: named columns of cells, as a file holds them, and their numbers, ids and texts.
//!
//! Files say nothing, or too little, about what their cells mean, so cells are kept as they are, and a column is converted when it
//! is asked for. Then an error can still name the line and the column.

pub mod csv;
pub mod json_lines;
#[cfg(feature = "parquet")]
pub mod parquet;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fault::{TableFault, TablePlace};

/// A table read from CSV, JSON Lines, or Parquet with the feature of that name.
///
/// ```
/// # use seqloom_train::Table;
/// let table = Table::from_csv("day,load,wind\nMon,1.5,3\nTue,2.5,4\n").unwrap();
/// assert_eq!(table.floats("load").unwrap(), [1.5, 2.5]);
/// assert_eq!(table.matrix(&["wind", "load"]).unwrap(), [3.0, 1.5, 4.0, 2.5]);
/// assert_eq!(table.texts("day").unwrap(), ["Mon", "Tue"]);
/// let error = Table::from_csv("load\n1.5\nhigh\n").unwrap().floats("load").unwrap_err();
/// assert_eq!(error.to_string(), "table: line 3, column 'load': \"high\" is not a finite number");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    path: Option<PathBuf>,
    columns: Vec<Column>,
    /// Where each row stands in the file.
    places: Vec<TablePlace>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    cells: Vec<Cell>,
}

/// What a file holds in one place.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Missing,
    Number(f64),
    Text(Box<str>),
    Numbers(Box<[f64]>),
    /// What no column is made of, by its name.
    Other(&'static str),
}

/// Texts that stand for a missing number, as the usual writers of CSV put them, in lower case.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "none"];

impl Cell {
    /// Whether it holds no number because there is none.
    fn lacks_number(&self) -> bool {
        match self {
            Self::Missing => true,
            Self::Number(number) => number.is_nan(),
            Self::Text(text) => MISSING.contains(&text.trim().to_ascii_lowercase().as_str()),
            _ => false,
        }
    }

    fn float(&self) -> Option<f32> {
        let number = match self {
            Self::Number(number) => *number as f32,
            Self::Text(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn id(&self) -> Option<u32> {
        match self {
            Self::Number(number) => whole(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// What an error shows of it.
    fn shown(&self) -> String {
        match self {
            Self::Missing => "nothing".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
            Self::Numbers(_) => "a list".to_owned(),
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

fn whole(number: f64) -> Option<u32> {
    (number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0).then_some(number as u32)
}

impl Table {
    /// A table of these columns; all have as many cells as there are places.
    fn new(path: Option<&Path>, columns: Vec<(String, Vec<Cell>)>, places: Vec<TablePlace>) -> Self {
        let columns = columns.into_iter().map(|(name, cells)| Column { name, cells }).collect();
        Self { path: path.map(Path::to_owned), columns, places }
    }

    /// Names of the columns, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A column of finite numbers.
    ///
    /// # Errors
    /// [`Error::Table`] if there is no such column, or with the first line that has no finite number in it.
    pub fn floats(&self, column: &str) -> Result<Vec<f32>> {
        self.converted(column, "a finite number", Cell::float)
    }

    /// A column of finite numbers, with `value` for missing ones: empty cells, NaN, NA, null.
    ///
    /// # Errors
    /// As [`Table::floats`], for cells that hold something else.
    pub fn floats_or(&self, column: &str, value: f32) -> Result<Vec<f32>> {
        self.converted(column, "a finite number", |cell| {
            cell.float().or_else(|| cell.lacks_number().then_some(value))
        })
    }

    /// Several columns of finite numbers as a matrix [N, C], row by row: a multivariate series.
    ///
    /// # Errors
    /// As [`Table::floats`].
    pub fn matrix(&self, columns: &[&str]) -> Result<Vec<f32>> {
        let columns = columns.iter().map(|name| self.floats(name)).collect::<Result<Vec<_>>>()?;
        Ok((0..self.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
    }

    /// A column of ids: whole numbers from 0.
    ///
    /// # Errors
    /// As [`Table::floats`].
    pub fn ids(&self, column: &str) -> Result<Vec<u32>> {
        self.converted(column, "an id", Cell::id)
    }

    /// A column of lists of ids, of JSON Lines or Parquet.
    ///
    /// # Errors
    /// As [`Table::floats`].
    pub fn sequences(&self, column: &str) -> Result<Vec<Vec<u32>>> {
        self.converted(column, "a list of ids", |cell| match cell {
            Cell::Numbers(numbers) => numbers.iter().map(|&number| whole(number)).collect(),
            _ => None,
        })
    }

    /// A column of texts; those of CSV may be empty.
    ///
    /// # Errors
    /// As [`Table::floats`].
    pub fn texts(&self, column: &str) -> Result<Vec<String>> {
        self.converted(column, "a text", |cell| match cell {
            Cell::Text(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// A column of labels as ids, and the labels by id, in alphabetical order.
    ///
    /// # Errors
    /// As [`Table::texts`].
    pub fn classes(&self, column: &str) -> Result<(Vec<u32>, Vec<String>)> {
        let texts = self.texts(column)?;
        let labels: Vec<String> = texts.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        // Each text is among the labels.
        let id = |text| labels.binary_search(text).unwrap_or_default() as u32;
        Ok((texts.iter().map(id).collect(), labels))
    }

    fn converted<T>(
        &self,
        column: &str,
        needs: &'static str,
        convert: impl Fn(&Cell) -> Option<T>,
    ) -> Result<Vec<T>> {
        let Some(found) = self.columns.iter().find(|has| has.name == column) else {
            let has = self.names().map(str::to_owned).collect();
            return Err(self.fault(TableFault::NoColumn { name: column.to_owned(), has }));
        };
        let cells = found.cells.iter().zip(&self.places);
        let cells = cells.map(|(cell, &place)| {
            convert(cell).ok_or_else(|| {
                let column = column.to_owned();
                self.fault(match cell.lacks_number() {
                    true => TableFault::Missing { place, column },
                    false => TableFault::Cell { place, column, cell: cell.shown(), needs },
                })
            })
        });
        cells.collect()
    }

    fn fault(&self, fault: TableFault) -> Error {
        Error::Table { path: self.path.clone(), fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn columns_are_numbers_ids_or_texts_as_asked() {
        let table = Table::from_csv("a,b,c\n1, 2.5 ,x\n-3e2,7,y\n0,0,x\n").unwrap();
        assert_eq!((table.len(), table.names().collect::<Vec<_>>()), (3, vec!["a", "b", "c"]));
        assert_eq!(table.floats("a").unwrap(), [1.0, -300.0, 0.0]);
        assert_eq!(table.texts("a").unwrap(), ["1", "-3e2", "0"]);
        assert_eq!(table.classes("c").unwrap(), (vec![0, 1, 0], vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(table.matrix(&["b", "a"]).unwrap(), [2.5, 1.0, 7.0, -300.0, 0.0, 0.0]);
        assert!(message(table.ids("a")).contains("line 3, column 'a': \"-3e2\" is not an id"));
        assert!(message(table.ids("b")).contains("line 2, column 'b': \" 2.5 \" is not an id"));
        assert!(message(table.sequences("a")).contains("is not a list of ids"));
        assert_eq!(message(table.floats("d")), "table: there is no column 'd', only [\"a\", \"b\", \"c\"]");
    }

    #[test]
    fn missing_and_senseless_numbers_are_told_by_line_and_column() {
        let table = Table::from_csv("t,x\n1,0.5\n2,\n3,NaN\n4,inf\n").unwrap();
        assert_eq!(message(table.floats("x")), "table: line 3, column 'x': the number is missing");
        let filled = message(table.floats_or("x", 9.0));
        assert_eq!(filled, "table: line 5, column 'x': \"inf\" is not a finite number");
        let table = Table::from_csv("x\n1\n NA \nnull\n4\n").unwrap();
        assert_eq!(table.floats_or("x", 9.0).unwrap(), [1.0, 9.0, 9.0, 4.0]);
        assert!(message(table.ids("x")).contains("line 3, column 'x': the number is missing"));
        assert_eq!(table.texts("x").unwrap()[1], " NA ");
        let huge = Table::from_csv("x\n1e60\n").unwrap();
        assert!(message(huge.floats("x")).contains("\"1e60\" is not a finite number"));
        assert!(message(Table::from_csv("x\n4294967296\n").unwrap().ids("x")).contains("is not an id"));
    }
}
