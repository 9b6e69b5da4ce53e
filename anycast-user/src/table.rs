//! A table on a terminal.

use std::fmt;

/// Rows under titles, every column as wide as its widest cell. Ends with the end of its last line.
#[derive(Clone, Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    /// Whether a column is of numbers, which stand at its right.
    numbers: [bool; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Of columns with a title each, and whether they are of numbers.
    pub(crate) fn new(columns: [(&str, bool); COLUMNS], rows: impl Iterator<Item = [String; COLUMNS]>) -> Self {
        let titles = columns.map(|(title, _)| title.to_owned());
        Self {
            numbers: columns.map(|(_, numbers)| numbers),
            rows: std::iter::once(titles).chain(rows).collect(),
        }
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, numbers)) in row.iter().zip(self.numbers).enumerate() {
                let width = widest(column);
                let gap = if column == 0 { "" } else { "  " };
                let cell = if numbers {
                    format!("{gap}{cell:>width$}")
                } else {
                    format!("{gap}{cell:<width$}")
                };
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
