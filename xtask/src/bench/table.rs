//! Tables in plain text: columns as wide as needed, names left-aligned, numbers right-aligned.

/// A heading and lines with the same number of cells.
pub struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub fn new(head: &[&str]) -> Self {
        Self { lines: vec![head.iter().map(|word| (*word).to_owned()).collect()] }
    }

    /// Adds a line.
    pub fn row(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// Prints it. A column with only a heading is left out.
    pub fn print(&self) {
        print!("{}", self.text());
    }

    fn text(&self) -> String {
        let columns = self.lines.first().map_or(0, Vec::len);
        let cell = |line: &[String], column: usize| line.get(column).cloned().unwrap_or_default();
        let used =
            |column: &usize| *column == 0 || self.lines[1..].iter().any(|l| !cell(l, *column).is_empty());
        let used: Vec<usize> = (0..columns).filter(used).collect();
        let width =
            |column: usize| self.lines.iter().map(|l| cell(l, column).chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = used.iter().map(|&column| width(column)).collect();
        let mut text = String::new();
        for line in &self.lines {
            let mut out = String::new();
            for (&column, &width) in used.iter().zip(&widths) {
                let cell = cell(line, column);
                if column == 0 {
                    out.push_str(&format!("  {cell:<width$}"));
                } else {
                    out.push_str(&format!("  {cell:>width$}"));
                }
            }
            text.push_str(out.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Three or four significant digits; empty for an unknown value.
pub fn number(value: impl Into<Option<f64>>) -> String {
    let Some(value) = value.into().filter(|value| value.is_finite()) else { return String::new() };
    match value.abs() {
        large if large >= 99.95 => grouped(value.round()),
        middle if middle >= 9.995 => format!("{value:.1}"),
        small if small >= 0.0995 || small == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// A whole number with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A fraction as per cent.
pub fn percent(value: impl Into<Option<f64>>) -> String {
    match value.into().filter(|value| value.is_finite()) {
        Some(value) => format!("{:.1} %", 100.0 * value),
        None => String::new(),
    }
}

/// Bytes as MiB.
pub fn mebibytes(bytes: impl Into<Option<u64>>) -> String {
    bytes.into().map_or(String::new(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_and_empty_ones_are_left_out() {
        let mut table = Table::new(&["case", "ms", "unknown", "×"]);
        table.row(vec!["a".into(), "12.5".into(), String::new(), "1".into()]);
        table.row(vec!["longer".into(), "3".into(), String::new(), "22".into()]);
        assert_eq!(table.text(), "  case      ms   ×\n  a       12.5   1\n  longer     3  22\n");
    }

    #[test]
    fn numbers_keep_three_digits() {
        let cases = [
            (1_234_567.0, "1,234,567"),
            (99.97, "100"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.0123, "0.0123"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(
            (number(f64::NAN), number(None), number(0.0)),
            (String::new(), String::new(), "0.00".into())
        );
        assert_eq!((percent(0.123), mebibytes(3 << 19)), ("12.3 %".into(), "1.5".into()));
    }
}
