//! An independent reader of Parquet: SQL on files, through DuckDB's Python package.
//!
//! In: SQL as the README shows it, run in a folder. Out: rows as JSON objects (times as ISO 8601 text). And any script in the same
//! Python, which has clients and validators that are not ours ([`python()`]).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use crate::cache;

const QUERY: &str = "
import decimal, duckdb, json, sys
duckdb.execute(\"SET TimeZone = 'UTC'\")
result = duckdb.execute(sys.stdin.read())
names = [column[0] for column in result.description]
def show(value):
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value.isoformat() if hasattr(value, 'isoformat') else str(value)
json.dump([dict(zip(names, row)) for row in result.fetchall()], sys.stdout, default=show)
";

/// A folder that SQL is run in, so that relative paths such as `frames/**/*.parquet` work.
pub struct Duck {
    folder: PathBuf,
}

impl Duck {
    /// SQL in this folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Duck {
        Duck { folder: folder.to_owned() }
    }

    /// The rows of a query, in its order.
    #[must_use]
    pub fn rows(&self, sql: &str) -> Vec<Map<String, Value>> {
        let output = python(QUERY, &[], sql, &self.folder);
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("rows of {sql}: {error}: {output}"))
    }

    /// The one value of a query that gives one row with one column.
    #[must_use]
    pub fn value(&self, sql: &str) -> Value {
        let mut rows = self.rows(sql);
        assert!(rows.len() == 1 && rows[0].len() == 1, "one value of {sql}, not {rows:?}");
        rows.remove(0).into_iter().next().map(|(_, value)| value).expect("one column")
    }
}

/// Runs a script with the tests' Python packages, in `folder`, with `input` on its standard input; returns what it printed. Panics,
/// with what it complained of, if it fails.
#[must_use]
pub fn python(script: &str, arguments: &[&str], input: &str, folder: &Path) -> String {
    let mut command = Command::new(cache::python());
    command.args(["-c", script]).args(arguments).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starting Python");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("writing to Python");
    let output = child.wait_with_output().expect("Python's end");
    assert!(output.status.success(), "{:.2000}\n{}", input, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
