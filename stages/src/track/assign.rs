//! Who goes with whom: the pairs whose fits have the largest sum.
//!
//! In: how well each row fits each column. Out: pairs. Invariant: each row and column is in one pair at most, and no pair of those
//! that do not fit is there; the sum is the largest that such pairs can have, to a millionth a pair.

use pathfinding::prelude::{Matrix, kuhn_munkres};

/// Fits are compared as whole numbers: exact, whatever the order in which they are added.
const UNIT: f32 = 1e6;

/// Pairs of (row, column), by row. `fit` is from 0 to 1; `None` and 0 fit not at all.
pub(super) fn assign(rows: usize, columns: usize, fit: impl Fn(usize, usize) -> Option<f32>) -> Vec<(usize, usize)> {
    if rows == 0 || columns == 0 {
        return Vec::new();
    }
    // The algorithm gives every row a column: what does not fit weighs nothing, and is taken out again.
    let weight = |row, column| fit(row, column).map_or(0, |fit| (fit * UNIT) as i64);
    let weights = Matrix::from_fn(rows.min(columns), rows.max(columns), |(few, many)| {
        if rows <= columns { weight(few, many) } else { weight(many, few) }
    });
    let (_, chosen) = kuhn_munkres(&weights);
    let fitting = chosen.into_iter().enumerate().filter(|pair| weights[*pair] > 0);
    let mut pairs: Vec<_> = fitting.map(|(few, many)| if rows <= columns { (few, many) } else { (many, few) }).collect();
    pairs.sort_unstable();
    pairs
}
