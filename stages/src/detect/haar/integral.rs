//! Sums over all pixels above and to the left, for some rows of a picture at a time.
//!
//! In: rows of grey pixels, from the top down. Out: lines of sums, of sums of squares and, where wanted, of sums over tilted corners;
//! line `y`, place `x` sums the pixels of the rows above `y` and columns left of `x`. Invariant: differences of sums are right
//! modulo 2^32, however long the picture is: what they are taken for is smaller.
//!
//! A tilted sum at `x`, `y` covers the pixels of column `c` and row `r < y` with `|c - x + 1| < y - r`, as the documentation of
//! `OpenCV`'s `integral` has it.

/// A band of lines that is moved down a picture.
#[derive(Debug)]
pub(super) struct Band {
    /// Lines in the buffers.
    lines: usize,
    /// Places from one line to the next: one more than the widest picture's pixels.
    stride: usize,
    width: usize,
    /// The line in front of the buffers.
    first: usize,
    /// How many lines are filled, from the first on.
    filled: usize,
    /// A plane of sums, and behind it one of tilted sums, if they are wanted.
    sums: Vec<i32>,
    squares: Vec<i32>,
    has_tilted: bool,
    /// The row of pixels before the next.
    last_row: Vec<u8>,
}

impl Band {
    /// For windows of so many rows, and with room for some more.
    pub(super) fn new(rows: usize, has_tilted: bool) -> Self {
        Self {
            lines: rows + 1,
            stride: 0,
            width: 0,
            first: 0,
            filled: 0,
            sums: Vec::new(),
            squares: Vec::new(),
            has_tilted,
            last_row: Vec::new(),
        }
    }

    /// Pictures are so wide from now on, or narrower.
    pub(super) fn widen(&mut self, width: usize) {
        self.stride = width + 1;
        self.squares.resize(self.plane(), 0);
        self.sums.resize(self.plane() * if self.has_tilted { 2 } else { 1 }, 0);
        let (sums, squares) = (self.sums.len(), self.squares.len());
        self.sums.shrink_to(sums);
        self.squares.shrink_to(squares);
    }

    /// Places from one line to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Places from the sums to the tilted sums.
    pub(super) fn plane(&self) -> usize {
        self.lines * self.stride
    }

    /// A new picture begins.
    pub(super) fn begin(&mut self, width: usize) {
        self.width = width;
        self.first = 0;
        self.filled = 1;
        self.last_row.clear();
        self.last_row.resize(width, 0);
        self.squares[..=width].fill(0);
        for plane in self.sums.chunks_mut(self.lines * self.stride) {
            plane[..=width].fill(0);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.filled < self.lines
    }

    /// Makes room: lines above this one are no longer needed. The last two stay, since the next one is made of them.
    pub(super) fn forget_above(&mut self, line: usize) {
        let gone = line.saturating_sub(self.first).min(self.filled.saturating_sub(2));
        if gone == 0 {
            return;
        }
        let kept = gone * self.stride..self.filled * self.stride;
        for plane in self.sums.chunks_mut(self.lines * self.stride).chain([self.squares.as_mut_slice()]) {
            plane.copy_within(kept.clone(), 0);
        }
        self.first += gone;
        self.filled -= gone;
    }

    /// Takes up the next row of pixels. There has to be room.
    pub(super) fn push(&mut self, pixels: &[u8]) {
        let (line, stride, width) = (self.filled, self.stride, self.width);
        let plane = self.plane();
        let (above, here) = self.squares[(line - 1) * stride..].split_at_mut(stride);
        add_up(pixels, &above[..=width], &mut here[..=width], |pixel| pixel * pixel);
        let (sums, tilted) = self.sums.split_at_mut(plane);
        let (above, here) = sums[(line - 1) * stride..].split_at_mut(stride);
        add_up(pixels, &above[..=width], &mut here[..=width], |pixel| pixel);
        if self.has_tilted {
            let (above, here) = tilted.split_at_mut(line * stride);
            let last = &above[(line - 1) * stride..][..=width];
            let before_last = line.checked_sub(2).map(|line| &above[line * stride..][..=width]);
            tilt(pixels, &self.last_row, last, before_last, &mut here[..=width]);
            self.last_row.copy_from_slice(pixels);
        }
        self.filled += 1;
    }

    /// The sums, from a line's first place on; for a tilted sum there are [`Band::plane`] places more to go.
    pub(super) fn sums(&self, line: usize) -> &[i32] {
        &self.sums[(line - self.first) * self.stride..]
    }

    /// The sums of squares, from a line's first place on.
    pub(super) fn squares(&self, line: usize) -> &[i32] {
        &self.squares[(line - self.first) * self.stride..]
    }
}

fn add_up(pixels: &[u8], above: &[i32], here: &mut [i32], of: impl Fn(i32) -> i32) {
    let mut row = 0_i32;
    here[0] = 0;
    for ((here, above), pixel) in here[1..].iter_mut().zip(&above[1..]).zip(pixels) {
        row = row.wrapping_add(of(i32::from(*pixel)));
        *here = above.wrapping_add(row);
    }
}

/// The two corners to the left and right of a tilted corner overlap in the one two lines above it; what they leave out are the two
/// pixels above its tip. Beside the picture, where one of them would lie, it is the same as the one two lines above.
fn tilt(pixels: &[u8], last_row: &[u8], last: &[i32], before_last: Option<&[i32]>, here: &mut [i32]) {
    let width = pixels.len();
    for x in 0..=width {
        let tip = if x == 0 { 0 } else { i32::from(pixels[x - 1]) + i32::from(last_row[x - 1]) };
        let overlap = before_last.map_or(0, |line| line[x]);
        let left = if x == 0 { overlap } else { last[x - 1] };
        let right = if x == width { overlap } else { last[x + 1] };
        here[x] = left.wrapping_add(right).wrapping_sub(overlap).wrapping_add(tip);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Held against sums pixel by pixel, wherever the band has moved to.
        #[test]
        fn every_line_is_the_sum_of_its_pixels(
            (width, pixels) in (1_usize..12).prop_flat_map(|width| (Just(width), prop::collection::vec(any::<u8>(), width..width * 30))),
            spare in 0_usize..9,
            forget in 0_usize..4,
        ) {
            let rows: Vec<&[u8]> = pixels.chunks_exact(width).collect();
            let mut band = Band::new(3 + spare, true);
            band.widen(width + 2);
            // What an earlier picture left behind must not matter.
            band.begin(width + 2);
            band.push(&vec![77; width + 2]);
            band.begin(width);
            for (y, row) in rows.iter().enumerate() {
                band.forget_above((y + 1).saturating_sub(3 + spare.min(forget)));
                prop_assert!(band.has_room());
                band.push(row);
                let line = y + 1;
                for x in 0..=width {
                    let sum = |covers: &dyn Fn(usize, usize) -> bool, of: &dyn Fn(i32) -> i32| -> i32 {
                        let places = (0..line).flat_map(|r| (0..width).map(move |c| (c, r)));
                        places.filter(|(c, r)| covers(*c, *r)).map(|(c, r)| of(i32::from(rows[r][c]))).sum()
                    };
                    // A line sums from where the picture begins, so that differences are compared with line 0's.
                    prop_assert_eq!(band.sums(line)[x], sum(&|c, _| c < x, &|pixel| pixel));
                    prop_assert_eq!(band.squares(line)[x], sum(&|c, _| c < x, &|pixel| pixel * pixel));
                    let tilted = sum(&|c, r| (c + 1).abs_diff(x) < line - r, &|pixel| pixel);
                    prop_assert_eq!(band.sums(line)[band.plane() + x], tilted);
                }
            }
        }
    }

    #[test]
    fn sums_beyond_32_bits_still_differ_by_what_lies_between() {
        let mut band = Band::new(4, false);
        band.widen(50_000);
        band.begin(50_000);
        let row = vec![255; 50_000];
        for line in 0..2_000 {
            band.forget_above(line);
            band.push(&row);
        }
        // 255 squared times 50,000 times 2,000 is far above 2^32.
        let squares = band.squares(2_000)[50_000].wrapping_sub(band.squares(1_999)[50_000]);
        assert_eq!(squares as u32, 255 * 255 * 50_000_u32);
        assert_eq!(band.sums(2_000)[50_000].wrapping_sub(band.sums(1_998)[50_000]), 255 * 50_000 * 2);
    }
}
