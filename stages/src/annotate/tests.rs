//! Hidden regions tell nothing but their cells' averages; nothing else is touched; drawing stays within the picture.

use proptest::prelude::*;

use super::blur::Extent;
use super::easel::tile_size;
use super::*;

mod pictures;

const SIZE: Size = Size { w: 120, h: 80 };

/// Noise that differs from seed to seed.
fn noise(size: Size, seed: u64) -> Tile {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let rgb = (0..size.w * size.h * 3).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    });
    Tile { rgb: rgb.collect(), size }
}

fn region(x: f32, y: f32, w: f32, h: f32) -> Region {
    Region::of(&Bbox { x, y, w, h }, SIZE)
}

/// Where a box may change pixels at most, worked out from the promise: 30 % of each side and at least 4 pixels, whole pixels.
fn may_change(bbox: &Bbox, x: u32, y: u32) -> bool {
    let within = |at: u32, from: f32, length: f32| {
        let margin = (0.3 * length.abs()).max(4.0);
        let (low, high) = (from.min(from + length) - margin, from.max(from + length) + margin);
        at as f32 + 1.01 > low && (at as f32) < high + 0.01
    };
    within(x, bbox.x, bbox.w) && within(y, bbox.y, bbox.h)
}

fn pixel(tile: &Tile, x: u32, y: u32) -> &[u8] {
    let at = (y * tile.size.w + x) as usize * 3;
    &tile.rgb[at..at + 3]
}

fn some_box() -> impl Strategy<Value = Bbox> {
    let side = |most: f32| prop_oneof![-most..most, Just(0.0), Just(1e9), Just(-1e9)];
    (side(200.0), side(200.0), side(150.0), side(150.0)).prop_map(|(x, y, w, h)| Bbox { x, y, w, h })
}

proptest! {
    /// Swaps pixels within cells: the averages stay, everything else about the cell is another.
    #[test]
    fn what_a_region_shows_depends_on_its_cells_averages_alone(bbox in some_box(), seed in 0_u64..1000, squares: bool) {
        let region = Region::of(&bbox, SIZE);
        let picture = noise(SIZE, seed);
        let mut other = picture.clone();
        let (Some(x), Some(y)) = (Extent::of(region.left, region.right, SIZE.w), Extent::of(region.top, region.bottom, SIZE.h))
        else {
            return Ok(());
        };
        for (row, column) in (0..y.cells).flat_map(|row| (0..x.cells).map(move |column| (row, column))) {
            let edge = |extent: Extent, cell: usize| extent.from + (extent.to - extent.from) * cell / extent.cells;
            let rows = edge(y, row)..edge(y, row + 1);
            let columns = edge(x, column)..edge(x, column + 1);
            let places: Vec<_> = rows.flat_map(|row| columns.clone().map(move |column| (row * SIZE.w as usize + column) * 3)).collect();
            for (from, to) in places.iter().zip(places.iter().rev()) {
                other.rgb[*to..*to + 3].copy_from_slice(&picture.rgb[*from..*from + 3]);
            }
        }
        let (mut first, mut second) = (picture.clone(), other);
        let hide = if squares { Tile::pixelate } else { Tile::hide };
        hide(&mut first, &[region]);
        hide(&mut second, &[region]);
        for (a, b) in (0..SIZE.h).flat_map(|y| (0..SIZE.w).map(move |x| (x, y))).map(|(x, y)| (pixel(&first, x, y), pixel(&second, x, y))) {
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn outside_of_the_enlarged_boxes_nothing_is_touched(boxes in prop::collection::vec(some_box(), 0..4), seed in 0_u64..1000, squares: bool) {
        let picture = noise(SIZE, seed);
        let mut hidden = picture.clone();
        let hide = if squares { Tile::pixelate } else { Tile::hide };
        hide(&mut hidden, &boxes.iter().map(|bbox| Region::of(bbox, SIZE)).collect::<Vec<_>>());
        for (x, y) in (0..SIZE.h).flat_map(|y| (0..SIZE.w).map(move |x| (x, y))) {
            if !boxes.iter().any(|bbox| may_change(bbox, x, y)) {
                prop_assert_eq!(pixel(&picture, x, y), pixel(&hidden, x, y), "{} {}", x, y);
            }
        }
    }

    /// All of a face that is in the picture is hidden, wherever it lies: a face of one colour in noise of others is gone.
    #[test]
    fn every_pixel_of_a_face_is_replaced(x in -40_i32..120, y in -40_i32..80, w in 12_i32..60, h in 12_i32..60) {
        let inside = |at: u32, from: i32, length: i32| (from..from + length).contains(&(at as i32));
        let mut picture = Tile { rgb: [0; 3].repeat((SIZE.w * SIZE.h) as usize), size: SIZE };
        // A chessboard of single pixels: no smooth picture has it.
        for (column, row) in (0..SIZE.h).flat_map(|row| (0..SIZE.w).map(move |column| (column, row))) {
            if inside(column, x, w) && inside(row, y, h) && (column + row) % 2 == 0 {
                let at = ((row * SIZE.w + column) * 3) as usize;
                picture.rgb[at..at + 3].fill(255);
            }
        }
        picture.hide(&[region(x as f32, y as f32, w as f32, h as f32)]);
        for (column, row) in (0..SIZE.h).flat_map(|row| (0..SIZE.w).map(move |column| (column, row))) {
            prop_assert!(pixel(&picture, column, row)[0] < 160, "the chessboard is still seen at {} {}", column, row);
        }
    }

    #[test]
    fn drawing_and_hiding_take_any_numbers(edges in prop::array::uniform4(prop::num::f32::ANY), score in prop::num::f32::ANY, [w, h] in prop::array::uniform2(1_u32..40), [line_px, text_px] in prop::array::uniform2(prop_oneof![0_u32..40, Just(u32::MAX)])) {
        let [left, top, right, bottom] = edges;
        let region = Region { left, top, right, bottom };
        let mut picture = noise(Size { w, h }, 1);
        picture.hide(&[region, Region::of(&Bbox { x: left, y: top, w: right, h: bottom }, Size { w, h })]);
        picture.pixelate(&[region]);
        picture.draw(&[Mark { region, score: Some(score) }], &Style { line_px, text_px, colour: [1, 2, 3] });
        prop_assert_eq!(picture.rgb.len(), (w * h * 3) as usize);
    }
}

#[test]
fn a_region_is_at_most_six_cells_wide_and_a_cell_never_finer_than_that_of_the_whole_region() {
    let of = |low: f32, high: f32| Extent::of(low / 1024.0, high / 1024.0, 1024);
    // 60 pixels and 18 on each side: 96 pixels, six cells of 16.
    assert_eq!(of(128.0, 188.0), Some(Extent { from: 110, to: 206, cells: 6 }));
    // Only 34 pixels of it are in the picture: two cells of 17.
    assert_eq!(of(-44.0, 16.0), Some(Extent { from: 0, to: 34, cells: 2 }));
    // A face of 6 pixels with 4 on each side: three cells of more than 4 pixels.
    assert_eq!(of(512.0, 518.0), Some(Extent { from: 508, to: 522, cells: 3 }));
    // Nothing at all has its margin, too.
    assert_eq!(of(512.0, 512.0), Some(Extent { from: 508, to: 516, cells: 2 }));
    assert_eq!(of(2048.0, 3000.0), None);
    assert_eq!(of(f32::NEG_INFINITY, f32::INFINITY), Some(Extent { from: 0, to: 1024, cells: 1 }));
}

#[test]
fn what_is_no_box_hides_everything() {
    let mut picture = noise(SIZE, 7);
    picture.hide(&[Region::of(&Bbox { x: f32::NAN, y: 0.0, w: 1.0, h: 1.0 }, SIZE)]);
    let columns = (1..SIZE.w).map(|x| pixel(&picture, x, 40)[0].abs_diff(pixel(&picture, x - 1, 40)[0]));
    assert!(columns.max() < Some(20), "no noise is left in the middle row");
}

#[test]
fn a_flood_of_regions_hides_everything_in_one_go() {
    let mut picture = noise(SIZE, 7);
    let flood: Vec<_> = (0..100_000).map(|n| region((n % 7) as f32, 0.0, 60.0, 60.0)).collect();
    picture.hide(&flood);
    let mut expected = noise(SIZE, 7);
    expected.hide(&[Region::ALL]);
    assert_eq!(picture, expected);
}

#[test]
fn a_tile_keeps_the_aspect_ratio_and_is_never_enlarged() {
    let size = |w, h| Size { w, h };
    for (image, tile) in [
        (size(1920, 1080), size(480, 270)),
        (size(1080, 1920), size(270, 480)),
        (size(480, 480), size(480, 480)),
        (size(20, 10), size(20, 10)),
        (size(10_000, 1), size(480, 1)),
    ] {
        assert_eq!(tile_size(image), tile, "{image:?}");
        let pixels = [200, 100, 50].repeat((image.w * image.h) as usize);
        let made = Easel::default().shrink(&Image { pixels: &pixels, size: image, original: image });
        assert_eq!(made.size, tile);
        assert!(made.rgb.as_chunks::<3>().0.iter().all(|pixel| *pixel == [200, 100, 50]), "{image:?}");
    }
}

#[test]
fn a_tile_becomes_a_jpeg_of_its_size() {
    let mut easel = Easel::default();
    for size in [Size { w: 33, h: 17 }, Size { w: 480, h: 270 }] {
        let jpeg = easel.encode(&Tile { rgb: [90, 90, 90].repeat((size.w * size.h) as usize), size }).unwrap();
        let header = turbojpeg::read_header(&jpeg).unwrap();
        assert_eq!((header.width, header.height), (size.w as usize, size.h as usize));
    }
}

#[test]
fn a_score_is_written_in_percent_above_its_box() {
    let mut picture = Tile { rgb: vec![0; (SIZE.w * SIZE.h * 3) as usize], size: SIZE };
    picture.draw(&[Mark { region: region(40.0, 40.0, 40.0, 30.0), score: Some(0.174) }], &Style::SMALL);
    let green = |x: u32, y: u32| pixel(&picture, x, y) == [64, 220, 130];
    // A line of two pixels on the edge at 40 covers 39 and 40.
    assert!(green(39, 39) && green(80, 70) && green(39, 70) && green(60, 40) && !green(60, 41) && !green(38, 50), "the box");
    // "17%": the ground begins at 39, 25; a dot is two pixels, the digits begin one dot in, their tops one dot down.
    let seen: Vec<String> =
        (0..5).map(|row| (0..11).map(|column| if green(41 + column * 2, 27 + row * 2) { '#' } else { '.' }).collect()).collect();
    assert_eq!(seen, [".#..###.#.#", "##....#...#", ".#...#...#.", ".#...#..#..", "###..#..#.#"]);
}
