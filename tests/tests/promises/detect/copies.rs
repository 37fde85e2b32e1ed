//! Annotated copies, decoded by another library than the one that wrote them.

use std::path::Path;

use image::RgbImage;

use super::{GREY, folder, picture, scripted};

fn decoded(path: &Path) -> RgbImage {
    image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_rgb8()
}

#[test]
fn a_copy_has_green_lines_on_its_boxes_and_is_the_picture_elsewhere() {
    let folder = folder();
    let path = folder.path();
    picture(&path.join("photos/a.png"), 120, 90);
    let before = std::fs::read(path.join("photos/a.png")).expect("reading");
    let said = scripted(path, &["--out", "marked", "photos"]);
    assert_eq!(said.code, Some(0), "{}", said.output);
    let copy = decoded(&path.join("marked/a.png"));
    assert_eq!(copy.dimensions(), (120, 90));
    // The box is 10, 20 to 40, 60; its lines are three pixels wide and lie around its edges. The score is written below its top.
    for (x, y) in [(9, 55), (10, 55), (11, 55), (40, 55), (25, 59), (25, 60), (25, 61)] {
        assert_eq!(copy[(x, y)].0, [0, 255, 0], "{x}, {y}");
    }
    for (x, y) in [(7, 55), (13, 55), (25, 55), (25, 80), (50, 70)] {
        assert_eq!(copy[(x, y)].0, GREY, "{x}, {y}");
    }
    assert_eq!(std::fs::read(path.join("photos/a.png")).expect("reading"), before);

    let said = scripted(path, &["--out", "bold", "--line", "9", "--text", "0", "--colour", "#ff8000", "photos/a.png"]);
    assert_eq!(said.code, Some(0), "{}", said.output);
    let copy = decoded(&path.join("bold/a.png"));
    assert_eq!((copy[(7, 40)].0, copy[(13, 40)].0, copy[(25, 40)].0), ([255, 128, 0], [255, 128, 0], GREY));
}

#[test]
fn hidden_faces_are_gone_and_the_rest_is_there() {
    let folder = folder();
    let path = folder.path();
    // A chequerboard: what is averaged turns grey.
    let board = RgbImage::from_fn(240, 180, |x, y| image::Rgb(if (x / 2 + y / 2) % 2 == 0 { [255; 3] } else { [0; 3] }));
    board.save(path.join("a.png")).expect("writing");
    for what in ["blur", "pixelate"] {
        let said = scripted(path, &["--out", what, "--annotate", what, "a.png"]);
        assert_eq!(said.code, Some(0), "{}", said.output);
        let copy = decoded(&path.join(what).join("a.png"));
        for (x, y) in [(12, 22), (25, 40), (38, 58), (95, 20)] {
            assert!(copy[(x, y)].0.iter().all(|channel| channel.abs_diff(128) < 40), "{what}: {:?} at {x}, {y}", copy[(x, y)]);
        }
        assert_eq!((copy[(200, 150)], copy[(25, 150)]), (board[(200, 150)], board[(25, 150)]), "{what}");
    }
}

#[test]
fn copies_of_pictures_of_the_same_name_stand_apart_and_no_input_is_written_over() {
    let folder = folder();
    let path = folder.path();
    let sizes = [("x/a.png", 100), ("y/a.png", 110), ("y/deep/b.png", 120), ("c.bmp", 130)];
    for (name, side) in &sizes {
        picture(&path.join(name), *side, *side);
    }
    let said = scripted(path, &["--out", "out", "x/a.png", "y", "c.bmp"]);
    assert_eq!(said.code, Some(0), "{}", said.output);
    for (name, side) in [("x/a.png", 100), ("y/a.png", 110), ("deep/b.png", 120), ("c.bmp.jpg", 130)] {
        assert_eq!(decoded_or_jpeg(&path.join("out").join(name)), side, "{name}");
    }
    let before = std::fs::read(path.join("x/a.png")).expect("reading");
    for out in ["x", "./x/../x"] {
        let said = scripted(path, &["--out", out, "x/a.png"]);
        assert_eq!(said.code, Some(2), "{}", said.output);
        assert!(said.output.contains("is one of the inputs"), "{}", said.output);
    }
    assert_eq!(std::fs::read(path.join("x/a.png")).expect("reading"), before);
    // A copy that cannot be written is said, and the faces are printed all the same.
    std::fs::create_dir_all(path.join("taken/a.png")).expect("a folder in its place");
    let said = scripted(path, &["--out", "taken", "x/a.png"]);
    assert_eq!(said.code, Some(1), "{}", said.output);
    assert!(said.output.contains("no copy: cannot write taken/a.png") && said.output.contains("0.875"), "{}", said.output);
    // Where there can be no folder at all, no picture is looked at.
    std::fs::write(path.join("file"), "in the way").expect("writing");
    let said = scripted(path, &["--out", "file", "x/a.png"]);
    assert_eq!(said.code, Some(2), "{}", said.output);
    assert!(said.output.contains("--out file: cannot make that folder") && !said.output.contains("0.875"), "{}", said.output);
}

/// A picture's width; that of a JPEG, which the tests' library does not know, is in its SOF0 segment (ITU T.81, B.2.2).
fn decoded_or_jpeg(path: &Path) -> u32 {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        return decoded(path).width();
    }
    let mut at = 2;
    while bytes[at + 1] != 0xC0 {
        at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    u32::from(u16::from_be_bytes([bytes[at + 7], bytes[at + 8]]))
}
