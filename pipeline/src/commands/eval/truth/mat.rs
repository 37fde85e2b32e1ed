//! MATLAB's files of version 5 to 7, as far as WIDER FACE's lists need them: cells, text and real numbers.
//!
//! In: a file's bytes. Out: its variables by name. Invariant: whatever the bytes are, no more is allocated than they can fill, unpacked
//! to no more than [`MOST_BYTES`]. The format is described in "MAT-File Format" by `MathWorks`, chapter 1.

use std::collections::HashMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;

/// WIDER FACE's variables are a few MiB.
const MOST_BYTES: u64 = 64 << 20;
/// Lists of lists of matrices are three deep.
const DEEPEST: u32 = 8;
const HEADER: usize = 128;

const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;
const CELL: u8 = 1;
const CHAR: u8 = 4;
/// Classes of numbers: double, single, and integers of 8 to 64 bits.
const NUMBERS: std::ops::RangeInclusive<u8> = 6..=15;

/// A variable's value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::commands::eval) enum Value {
    Cells(Vec<Value>),
    Text(String),
    /// Column by column.
    Numbers {
        rows: usize,
        values: Vec<f64>,
    },
    /// A structure, an object, sparse or complex numbers.
    Other,
}

impl Value {
    pub(super) fn cells(&self) -> Result<&[Self], MatError> {
        match self {
            Self::Cells(cells) => Ok(cells),
            _ => Err(MatError("there is something else where a cell array should be".to_owned())),
        }
    }

    pub(super) fn text(&self) -> Result<&str, MatError> {
        match self {
            Self::Text(text) => Ok(text),
            // How some writers wrap a text.
            Self::Cells(cells) if cells.len() == 1 => cells[0].text(),
            _ => Err(MatError("there is something else where a text should be".to_owned())),
        }
    }

    pub(super) fn numbers(&self) -> Result<&[f64], MatError> {
        match self {
            Self::Numbers { values, .. } => Ok(values),
            _ => Err(MatError("there is something else where numbers should be".to_owned())),
        }
    }

    /// The rows of a matrix with so many columns, none of an empty one.
    pub(super) fn rows<const N: usize>(&self) -> Result<Vec<[f64; N]>, MatError> {
        let values = self.numbers()?;
        let Self::Numbers { rows, .. } = self else { return Ok(Vec::new()) };
        if values.is_empty() {
            return Ok(Vec::new());
        }
        if values.len() != rows * N {
            return Err(MatError(format!("a matrix of {rows} rows has {} values, which is not {N} in each", values.len())));
        }
        Ok((0..*rows).map(|row| std::array::from_fn(|column| values[column * rows + row])).collect())
    }
}

/// The file cannot be read.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(in crate::commands::eval) struct MatError(String);

impl From<MatError> for String {
    fn from(error: MatError) -> Self {
        error.0
    }
}

fn cut<T>() -> Result<T, MatError> {
    Err(MatError("the file is cut short or damaged".to_owned()))
}

/// The variables of a file.
pub(in crate::commands::eval) fn variables(bytes: &[u8]) -> Result<HashMap<String, Value>, MatError> {
    if bytes.starts_with(b"MATLAB 7.3") || bytes.starts_with(b"\x89HDF") {
        return Err(MatError("it is a MATLAB file of version 7.3, which is HDF5: save it with -v7".to_owned()));
    }
    let Some((header, mut rest)) = bytes.split_at_checked(HEADER) else {
        return Err(MatError("it is no MATLAB file".to_owned()));
    };
    if header[124..] != [0x00, 0x01, b'I', b'M'] {
        return Err(MatError("it is no MATLAB file of version 5 or later from a little-endian machine".to_owned()));
    }
    let mut variables = HashMap::new();
    let mut left = MOST_BYTES;
    while !rest.is_empty() {
        let (kind, content) = element(&mut rest)?;
        let unpacked;
        let (kind, content) = if kind == COMPRESSED {
            unpacked = unpack(content, &mut left)?;
            element(&mut &unpacked[..])?
        } else {
            (kind, content)
        };
        if kind == MATRIX {
            let (name, value) = matrix(content, 0)?;
            variables.insert(name, value);
        }
    }
    Ok(variables)
}

fn unpack(content: &[u8], left: &mut u64) -> Result<Vec<u8>, MatError> {
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(content).take(*left).read_to_end(&mut unpacked);
    read.map_err(|error| MatError(format!("its compressed data is damaged: {error}")))?;
    *left -= unpacked.len() as u64;
    if *left == 0 {
        return Err(MatError(format!("it unpacks to more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(unpacked)
}

/// Cuts the next element off: its type and its content.
fn element<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8]), MatError> {
    let Some((tag, after)) = rest.split_at_checked(8) else { return cut() };
    let word = |at: usize| u32::from_le_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
    let (first, second) = (word(0), word(4));
    // Up to four bytes fit into the tag.
    let small = (first >> 16) as usize;
    if small > 0 {
        *rest = after;
        return if small <= 4 { Ok((first & 0xffff, &tag[4..4 + small])) } else { cut() };
    }
    let Some((content, after)) = after.split_at_checked(second as usize) else { return cut() };
    // Compressed elements alone are not padded to 8 bytes; at the end of a file nothing need be.
    let padding = if first == COMPRESSED { 0 } else { second.wrapping_neg() as usize % 8 };
    *rest = after.get(padding..).unwrap_or_default();
    Ok((first, content))
}

/// A matrix's name and value.
fn matrix(mut content: &[u8], depth: u32) -> Result<(String, Value), MatError> {
    if content.is_empty() {
        return Ok((String::new(), Value::Numbers { rows: 0, values: Vec::new() }));
    }
    if depth > DEEPEST {
        return Err(MatError("its cells are nested too deep".to_owned()));
    }
    let (_, flags) = element(&mut content)?;
    let [class, flags, ..] = *flags else { return cut() };
    let (_, dimensions) = element(&mut content)?;
    let (dimensions, _) = dimensions.as_chunks::<4>();
    let dimensions: Vec<usize> = dimensions.iter().map(|bytes| u32::from_le_bytes(*bytes) as usize).collect();
    let count = dimensions.iter().try_fold(1_usize, |product, side| product.checked_mul(*side)).unwrap_or(usize::MAX);
    let (_, name) = element(&mut content)?;
    let is_complex = flags & 0x08 != 0;
    let value = match class {
        CELL => {
            let mut cells = Vec::new();
            // Each takes at least a tag, or ends this.
            while cells.len() < count {
                let (_, cell) = element(&mut content)?;
                cells.push(matrix(cell, depth + 1)?.1);
            }
            Value::Cells(cells)
        }
        CHAR => {
            let codes = numbers(&mut content, count)?.into_iter();
            Value::Text(codes.map(|code| char::from_u32(code as u32).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
        }
        class if NUMBERS.contains(&class) && !is_complex => {
            Value::Numbers { rows: dimensions.first().copied().unwrap_or(0), values: numbers(&mut content, count)? }
        }
        _ => Value::Other,
    };
    Ok((String::from_utf8_lossy(name).into_owned(), value))
}

/// An element's numbers, stored in whatever type is the smallest; exactly `count`.
fn numbers(content: &mut &[u8], count: usize) -> Result<Vec<f64>, MatError> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
    }
    let (kind, bytes) = element(content)?;
    let values = match kind {
        1 => each(bytes, |b| i8::from_le_bytes(b).into()),
        // UTF-8, of which only ASCII is one number a byte, is not told apart: file names are ASCII.
        2 | 16 => each(bytes, |b| u8::from_le_bytes(b).into()),
        3 => each(bytes, |b| i16::from_le_bytes(b).into()),
        4 | 17 => each(bytes, |b| u16::from_le_bytes(b).into()),
        5 => each(bytes, |b| i32::from_le_bytes(b).into()),
        6 => each(bytes, |b| u32::from_le_bytes(b).into()),
        7 => each(bytes, |b| f32::from_le_bytes(b).into()),
        9 => each(bytes, f64::from_le_bytes),
        12 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        13 => each(bytes, |b| u64::from_le_bytes(b) as f64),
        other => return Err(MatError(format!("it has numbers of the unknown type {other}"))),
    };
    if values.len() == count {
        Ok(values)
    } else {
        Err(MatError(format!("{} numbers are where {count} should be", values.len())))
    }
}

/// Files as MATLAB writes them, for tests: after the description of the format, and read by nothing but that.
#[cfg(test)]
pub(super) mod written {
    use std::io::Write as _;

    fn element(kind: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn matrix(class: u8, rows: usize, columns: usize, name: &str, content: &[u8]) -> Vec<u8> {
        let flags = element(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
        let dimensions = element(5, &[(rows as u32).to_le_bytes(), (columns as u32).to_le_bytes()].concat());
        // Short names are written small: in the tag.
        let name = if (1..=4).contains(&name.len()) {
            let mut small = vec![1, 0, name.len() as u8, 0];
            small.extend_from_slice(name.as_bytes());
            small.resize(8, 0);
            small
        } else {
            element(1, name.as_bytes())
        };
        element(14, &[&flags[..], &dimensions, &name, content].concat())
    }

    /// A column of cells.
    pub(in super::super) fn cells(name: &str, cells: &[Vec<u8>]) -> Vec<u8> {
        matrix(1, cells.len(), 1, name, &cells.concat())
    }

    pub(in super::super) fn text(text: &str) -> Vec<u8> {
        let codes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        matrix(4, 1, text.len(), "", &element(4, &codes))
    }

    /// Column by column; as bytes where they are small whole numbers, as MATLAB does.
    pub(in super::super) fn numbers(rows: usize, values: &[f64]) -> Vec<u8> {
        let small = values.iter().all(|value| value.fract() == 0.0 && (0.0..256.0).contains(value));
        let content = if small {
            element(2, &values.iter().map(|value| *value as u8).collect::<Vec<_>>())
        } else {
            element(9, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
        };
        matrix(6, rows, values.len() / rows.max(1), "", &content)
    }

    pub(in super::super) fn file(variables: &[Vec<u8>], packed: bool) -> Vec<u8> {
        let mut bytes = b"MATLAB 5.0 MAT-file, for a test".to_vec();
        bytes.resize(124, b' ');
        bytes.extend_from_slice(&[0x00, 0x01, b'I', b'M']);
        for variable in variables {
            if packed {
                let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                zlib.write_all(variable).unwrap();
                let content = zlib.finish().unwrap();
                bytes.extend_from_slice(&15_u32.to_le_bytes());
                bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
                bytes.extend_from_slice(&content);
            } else {
                bytes.extend_from_slice(variable);
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::written::{cells, file, numbers, text};
    use super::*;

    fn sample(packed: bool) -> Vec<u8> {
        file(
            &[
                cells("name", &[text("0--Parade"), numbers(2, &[1.0, 2.0, 3.5, 4.0]), cells("", &[])]),
                cells("a_longer_name", &[]),
            ],
            packed,
        )
    }

    #[test]
    fn cells_text_and_numbers_are_read() {
        for packed in [false, true] {
            let variables = variables(&sample(packed)).unwrap();
            let [name, matrix, none] = variables["name"].cells().unwrap() else { panic!("{variables:?}") };
            assert_eq!(name.text(), Ok("0--Parade"));
            assert_eq!(matrix.rows::<2>(), Ok(vec![[1.0, 3.5], [2.0, 4.0]]));
            assert!(matrix.rows::<4>().is_err() && matrix.text().is_err() && none.cells() == Ok(&[]));
            assert!(variables.contains_key("a_longer_name"));
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        for (bytes, says) in [
            (&b"MATLAB 7.3 MAT-file"[..], "-v7"),
            (b"", "no MATLAB file"),
            (&[0; 200], "no MATLAB file"),
            (&sample(true)[..190], "cut short"),
            (&sample(false)[..300], "cut short"),
        ] {
            let error = variables(bytes).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let mut bomb = vec![0; 128 << 20];
        bomb[0] = 14;
        let error = variables(&file(&[bomb], true)).unwrap_err().to_string();
        assert!(error.contains("more than 64 MiB"), "{error}");
        let mut deep = cells("", &[]);
        for _ in 0..20 {
            deep = cells("deep", &[deep]);
        }
        assert!(variables(&file(&[deep], false)).unwrap_err().to_string().contains("too deep"));
    }

    proptest! {
        #[test]
        fn damaged_files_neither_panic_nor_take_memory(at in 0_usize..600, value: u8, length in 0_usize..600, packed: bool) {
            let mut bytes = sample(packed);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = variables(&bytes);
            bytes.truncate(length);
            let _ = variables(&bytes);
        }
    }
}
