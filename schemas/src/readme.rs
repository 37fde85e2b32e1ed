//! The page on formats (README.md) and the tables for other engines (sql/), held against the code.
//!
//! In: the Markdown tables by their first heading cell, the SQL, and what the code makes. Out: failures that name the line.
//! Invariant: a table of the page has exactly what the code has, in the same order.

mod inputs;
mod messages;
mod sql;
mod tables;

const README: &str = include_str!("../README.md");

/// The rows of the first Markdown table after the line `heading` whose header begins with `columns`, without backticks.
fn rows(heading: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let after = README.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading} is in README.md")).1;
    let mut lines = after.lines().skip_while(|line| !cells(line).iter().map(String::as_str).eq(columns.iter().copied()));
    lines.next().unwrap_or_else(|| panic!("a table of {columns:?} follows {heading}"));
    let separator = lines.next().unwrap_or_default();
    assert!(separator.starts_with("|---"), "{columns:?} is followed by {separator:?}");
    let rows: Vec<_> = lines.take_while(|line| line.starts_with('|')).map(cells).collect();
    for row in &rows {
        assert_eq!(row.len(), columns.len(), "{row:?} has as many cells as {columns:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "every cell of {row:?} says something");
    }
    rows
}

/// The cells of a line of a table.
fn cells(line: &str) -> Vec<String> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')).unwrap_or_default();
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// A cell that is one word in backticks.
fn code(cell: &str) -> &str {
    let word = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
    word.filter(|word| !word.contains('`')).unwrap_or_else(|| panic!("{cell:?} is one word in backticks"))
}

/// The first cell of each row.
fn first(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().map(|row| code(&row[0])).collect()
}
