//! Tables from JSON Lines: an object a line, whose keys are the columns.

use std::path::Path;

use serde_json::{Map, Value};

use crate::data::table::{Cell, Table};
use crate::data::text::{plain_text, read_text};
use crate::error::{Error, Result};
use crate::fault::{TableFault, TablePlace};

impl Table {
    /// Reads a file with a JSON object in each line; empty lines are passed over. A key that a line lacks is missing there, like
    /// null. `true` is 1, `false` 0, and a list of numbers is one of [`Table::sequences`]. Columns are in alphabetical order.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::NotUtf8`]; [`Error::Table`] with the first line that is no object, or if there is none.
    pub fn read_json_lines(path: impl AsRef<Path>) -> Result<Self> {
        parse(&read_text(&path)?, Some(path.as_ref()))
    }

    /// A table from JSON Lines in memory.
    ///
    /// # Errors
    /// As [`Table::read_json_lines`].
    pub fn from_json_lines(text: &str) -> Result<Self> {
        parse(&plain_text(text), None)
    }
}

fn parse(text: &str, path: Option<&Path>) -> Result<Table> {
    let refuse = |fault| Error::Table { path: path.map(Path::to_owned), fault };
    let (mut objects, mut places) = (Vec::new(), Vec::new());
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let place = TablePlace::Line(line);
        let object: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| refuse(TableFault::NoObject { place, detail: error.to_string() }))?;
        objects.push(object);
        places.push(place);
    }
    let names: std::collections::BTreeSet<String> =
        objects.iter().flat_map(|object| object.keys().cloned()).collect();
    if names.is_empty() {
        return Err(refuse(TableFault::NoColumns));
    }
    let columns = names.into_iter().map(|name| {
        let cells = objects.iter_mut().map(|object| object.remove(&name).map_or(Cell::Missing, cell));
        let cells = cells.collect();
        (name, cells)
    });
    Ok(Table::new(path, columns.collect(), places))
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Missing,
        Value::Bool(truth) => Cell::Number(f64::from(u8::from(truth))),
        Value::Number(number) => number.as_f64().map_or(Cell::Other("a number beyond f64"), Cell::Number),
        Value::String(text) => Cell::Text(text.into()),
        Value::Array(values) => {
            let numbers: Option<Box<[f64]>> = values.iter().map(Value::as_f64).collect();
            numbers.map_or(Cell::Other("a list of other things than numbers"), Cell::Numbers)
        }
        Value::Object(_) => Cell::Other("an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_columns_and_lists_are_sequences() {
        let text = "{\"words\": [3, 1], \"class\": \"a\", \"x\": 0.5}\r\n\r\n{\"class\": \"b\", \"words\": [], \"x\": true}";
        let table = Table::from_json_lines(text).unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["class", "words", "x"]);
        assert_eq!(table.sequences("words").unwrap(), [vec![3, 1], vec![]]);
        assert_eq!(table.floats("x").unwrap(), [0.5, 1.0]);
        assert_eq!(table.classes("class").unwrap().0, [0, 1]);
    }

    #[test]
    fn lines_at_fault_are_named() {
        let table = Table::from_json_lines("{\"x\": 1, \"y\": {}}\n\n{\"y\": [1, \"a\"]}\n").unwrap();
        let message = |result: Result<Vec<f32>>| result.unwrap_err().to_string();
        assert_eq!(message(table.floats("x")), "table: line 3, column 'x': the number is missing");
        assert_eq!(table.floats_or("x", 7.0).unwrap(), [1.0, 7.0]);
        assert!(message(table.floats("y")).contains("line 1, column 'y': an object is not a finite number"));
        let error = table.texts("x").unwrap_err().to_string();
        assert_eq!(error, "table: line 1, column 'x': 1 is not a text");
        let error = Table::from_json_lines("{}\n[1]\n").unwrap_err().to_string();
        assert!(error.starts_with("table: line 2 is no JSON object"), "{error}");
        assert_eq!(Table::from_json_lines("\n").unwrap_err().to_string(), "table: it has no columns");
    }
}
