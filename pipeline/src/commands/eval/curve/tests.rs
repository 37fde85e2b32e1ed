//! Both kinds of picture are whole files that show the curve where it is.

use super::*;

fn curve() -> Vec<Point> {
    let precision = |n: u32| 1.0 - f64::from(n) / 400.0;
    (1..=100).map(|n| Point { score: 1.0, recall: f64::from(n) / 100.0, precision: precision(n) }).collect()
}

#[test]
fn only_names_of_the_two_kinds_are_taken() {
    assert!(file("/tmp/../b.svg").is_ok() && file("b.png").is_ok());
    assert!(file("/nowhere/b.svg").is_err_and(|why| why == "there is no folder /nowhere"));
    assert!(file("b.jpg").is_err() && file("svg").is_err() && file("").is_err());
}

#[test]
fn a_png_has_the_curve_in_its_colour_where_it_belongs() {
    let points = curve();
    let png = png::png(&shapes("title", vec![("all 0.875".to_owned(), &points)]), SIZE).unwrap();
    let image = image::load_from_memory(&png).unwrap().into_rgb8();
    assert_eq!(image.dimensions(), (1440, 1200));
    // Recall 0.5 with precision 0.875, in twice the pixels: x = 2 (70 + 310), y = 2 (530 - 420).
    assert_eq!(image.get_pixel(760, 220).0, COLOURS[0]);
    assert_eq!(image.get_pixel(730, 400).0, [255; 3]);
    let dark = image.pixels().filter(|pixel| pixel.0 == BLACK).count();
    assert!((1_000..20_000).contains(&dark), "letters: {dark}");
}

#[test]
fn an_svg_names_the_curves_and_escapes_what_is_no_xml() {
    let points = curve();
    let svg = svg::svg(&shapes("a <&> \u{0}b", vec![("all 0.875".to_owned(), &points), ("none".to_owned(), &[])]), SIZE);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains(">a &lt;&amp;&gt; \u{fffd}b<") && svg.contains(">all 0.875<"), "{svg}");
    assert!(svg.contains("380.0,110.0"), "the point at recall 0.5: {svg}");
}

#[test]
fn a_long_curve_is_thinned_to_what_can_be_seen() {
    let points: Vec<_> = (0..200_000).map(|n| Point { score: 1.0, recall: f64::from(n) / 2e5, precision: 1.0 }).collect();
    let thin = thinned(&points);
    assert!(thin.len() < 1_500, "{}", thin.len());
    assert_eq!(thin.last(), Some(&place(points[199_999].recall, 1.0)));
}
