//! Hides regions of a picture for good.
//!
//! In: RGB pixels and regions. Out: the same pixels, each region replaced by at most 6 x 6 averages, with smooth transitions or as squares.
//! Invariant: what is written into a region is a function of its cells' averages alone, and outside of it nothing is written.
//! Regions are hidden in place, one after the other: where two overlap, the second sees what the first has left, so that many
//! regions over one face tell no more of it than one.

use facestream_schemas::Size;

use super::{MARGIN, Region};

/// A region grows by at least so many pixels on each side.
const LEAST_MARGIN_PX: f32 = 4.0;
/// Cells across a region with its margin.
const MOST_CELLS: usize = 6;
/// A cell is at least so many pixels wide and high: a face of a few pixels is one or two cells.
const LEAST_CELL_PX: f32 = 4.0;
/// Regions that together are so many times as large as the picture are not worth telling apart.
const MOST_PICTURES: usize = 8;

/// How cells meet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cells {
    /// From the middle of one to the middle of the next.
    Smooth,
    /// At an edge.
    Hard,
}

/// Hides the regions.
pub(super) fn hide(rgb: &mut [u8], size: Size, regions: &[Region], cells: Cells) {
    let places: Vec<_> = regions.iter().filter_map(|region| Place::of(region, size)).collect();
    let area: usize = places.iter().map(|place| place.x.len() * place.y.len()).fold(0, usize::saturating_add);
    if area > MOST_PICTURES * size.w as usize * size.h as usize {
        if let Some(all) = Place::of(&Region::ALL, size) {
            all.hide(rgb, size, cells);
        }
        return;
    }
    for place in places {
        place.hide(rgb, size, cells);
    }
}

/// A region's part of the picture, with its margin.
struct Place {
    x: Extent,
    y: Extent,
}

/// Pixels along one side, and the cells that they are divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) cells: usize,
}

impl Extent {
    /// `None` where nothing of it lies within `side` pixels.
    pub(super) fn of(low: f32, high: f32, side: u32) -> Option<Self> {
        let pixels = side as f32;
        let (low, high) = (low.min(high) * pixels, low.max(high) * pixels);
        let margin = (MARGIN * (high - low)).max(LEAST_MARGIN_PX);
        let (low, high) = (low - margin, high + margin);
        // Of the whole region, also where it reaches over the border: what is left of it is not shown any finer.
        let cell = ((high - low) / MOST_CELLS as f32).max(LEAST_CELL_PX);
        // A conversion saturates.
        let (from, to) = (low.floor().clamp(0.0, pixels) as usize, high.ceil().clamp(0.0, pixels) as usize);
        let cells = (((to - from.min(to)) as f32 / cell) as usize).clamp(1, MOST_CELLS);
        (from < to).then_some(Self { from, to, cells })
    }

    pub(super) fn len(self) -> usize {
        self.to - self.from
    }

    /// The pixels of a cell.
    fn cell(self, cell: usize) -> std::ops::Range<usize> {
        let edge = |cell: usize| self.from + self.len() * cell / self.cells;
        edge(cell)..edge(cell + 1)
    }

    /// For each pixel the two cells that it lies between, and how far it is on the way to the second, of 256.
    fn between(self, cells: Cells) -> Vec<(usize, usize, u32)> {
        let last = self.cells - 1;
        let smooth = |pixel: usize| {
            let at = ((pixel as f32 + 0.5) * self.cells as f32 / self.len() as f32 - 0.5).clamp(0.0, last as f32);
            let first = (at as usize).min(last);
            (first, (first + 1).min(last), ((at - first as f32) * 256.0) as u32)
        };
        match cells {
            Cells::Smooth => (0..self.len()).map(smooth).collect(),
            Cells::Hard => (0..self.cells).flat_map(|cell| self.cell(cell).map(move |_| (cell, cell, 0))).collect(),
        }
    }
}

impl Place {
    fn of(region: &Region, size: Size) -> Option<Self> {
        Some(Self { x: Extent::of(region.left, region.right, size.w)?, y: Extent::of(region.top, region.bottom, size.h)? })
    }

    fn hide(&self, rgb: &mut [u8], size: Size, cells: Cells) {
        let averages = self.averages(rgb, size);
        let columns = self.x.between(cells);
        let mut row = [[0; 3]; MOST_CELLS];
        for (y, (above, below, down)) in (self.y.from..self.y.to).zip(self.y.between(cells)) {
            let (above, below) = (&averages[above * self.x.cells..], &averages[below * self.x.cells..]);
            row.iter_mut().zip(above.iter().zip(below)).for_each(|(cell, (above, below))| *cell = mix(*above, *below, down));
            let start = (y * size.w as usize + self.x.from) * 3;
            let pixels = rgb[start..start + columns.len() * 3].as_chunks_mut::<3>().0;
            for (pixel, (left, right, over)) in pixels.iter_mut().zip(&columns) {
                *pixel = mix(row[*left], row[*right], *over);
            }
        }
    }

    /// The average colour of each cell, row by row.
    fn averages(&self, rgb: &[u8], size: Size) -> Vec<[u8; 3]> {
        let mut averages = Vec::with_capacity(self.x.cells * self.y.cells);
        for (rows, columns) in (0..self.y.cells).flat_map(|y| (0..self.x.cells).map(move |x| (y, x))) {
            let (rows, columns) = (self.y.cell(rows), self.x.cell(columns));
            let mut sums = [0_u64; 3];
            for y in rows.clone() {
                let start = (y * size.w as usize + columns.start) * 3;
                for pixel in rgb[start..start + columns.len() * 3].chunks_exact(3) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
                }
            }
            let count = (rows.len() * columns.len()).max(1) as u64;
            averages.push(sums.map(|sum| (sum / count) as u8));
        }
        averages
    }
}

/// So much of the second colour, of 256.
fn mix(first: [u8; 3], second: [u8; 3], share: u32) -> [u8; 3] {
    std::array::from_fn(|channel| ((u32::from(first[channel]) * (256 - share) + u32::from(second[channel]) * share) >> 8) as u8)
}
