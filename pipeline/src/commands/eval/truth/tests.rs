//! Each kind of truth, small and whole, and what is said of those that are wrong.

use std::fs;

use tempfile::TempDir;

use super::mat::written::{cells, file, numbers, text as chars};
use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn face(x: f64, y: f64, w: f64, h: f64, ignored: bool) -> Face {
    Face { rect: Rect { x, y, w, h }, ignored }
}

fn names(truth: &Truth) -> Vec<&str> {
    truth.pictures.iter().map(|picture| picture.name.as_str()).collect()
}

#[track_caller]
fn says(result: anyhow::Result<Truth>, what: &str) {
    let error = result.expect_err(what);
    assert!(format!("{error:#}").contains(what), "{error:#}");
    assert_eq!(crate::commands::exit_code(&error), 2, "{error:#}");
}

#[test]
fn json_lines() {
    let folder = folder();
    let path = folder.path().join("faces.jsonl");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        lines(&path, Path::new("photos"))
    };
    let truth = read("{\"file\": \"a.jpg\", \"faces\": [[1, 2, 3.5, 4]], \"ignore\": [[5, 6, 7, 8]], \"width\": 9}\n\n{\"image\": \"b/c.jpg\", \"faces\": []}\n").unwrap();
    assert_eq!(names(&truth), ["a.jpg", "b/c.jpg"]);
    assert!(matches!(&truth.pictures[1].at, At::File(path) if path == Path::new("photos/b/c.jpg")));
    let [all] = &truth.subsets[..] else { panic!("{truth:?}") };
    assert_eq!(all.faces, [vec![face(1.0, 2.0, 3.5, 4.0, false), face(5.0, 6.0, 7.0, 8.0, true)], vec![]]);
    for (text, what) in [
        ("", "lists no pictures"),
        ("{}", "line 1: missing field `file`"),
        ("{\"file\": \"a\", \"faces\": []}\nnonsense", "line 2: "),
        ("{\"file\": \"a\", \"faces\": [[1, 2, 3]]}", "line 1: "),
        ("{\"file\": \"a\", \"faces\": [[1, 2, -3, 4]]}", "line 1: [1, 2, -3, 4] is no box"),
        ("{\"file\": \"a\", \"faces\": [[1, 2, 1e999, 4]]}", "line 1: "),
        ("{\"file\": \"a\", \"faces\": []}\n{\"file\": \"a\", \"faces\": []}", "line 2: a is there a second time"),
    ] {
        says(read(text), what);
    }
    says(lines(Path::new("/nowhere.jsonl"), Path::new("")), "cannot read /nowhere.jsonl");
}

#[test]
fn coco_json() {
    let folder = folder();
    let path = folder.path().join("faces.json");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        coco(&path, Path::new("photos"))
    };
    let images = r#""images": [{"id": 9, "file_name": "b.jpg", "width": 1}, {"id": 4, "file_name": "a.jpg"}]"#;
    let several = r#""categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "Face"}]"#;
    let truth = read(&format!(
        "{{{images}, {several}, \"annotations\": [
            {{\"image_id\": 9, \"bbox\": [1, 2, 3, 4], \"category_id\": 2, \"iscrowd\": 1}},
            {{\"image_id\": 9, \"bbox\": [5, 6, 7, 8], \"category_id\": 1}},
            {{\"image_id\": 4, \"bbox\": [5, 6, 7, 8], \"category_id\": 2, \"segmentation\": []}}]}}"
    ))
    .unwrap();
    // By id, dogs left out.
    assert_eq!(names(&truth), ["a.jpg", "b.jpg"]);
    assert_eq!(truth.subsets[0].faces, [vec![face(5.0, 6.0, 7.0, 8.0, false)], vec![face(1.0, 2.0, 3.0, 4.0, true)]]);
    for (text, what) in [
        ("[]".to_owned(), "as COCO JSON"),
        ("{\"images\": [], \"annotations\": []}".to_owned(), "lists no pictures"),
        (
            format!("{{{images}, \"annotations\": [{{\"image_id\": 1, \"bbox\": [1, 2, 3, 4]}}]}}"),
            "annotations[0]: there is no image with the id 1",
        ),
        (
            format!("{{{images}, \"annotations\": [{{\"image_id\": 4, \"bbox\": [1, 2, 3, -4]}}]}}"),
            "annotations[0]: [1, 2, 3, -4] is no box",
        ),
        (format!("{{{images}, \"annotations\": [], {}}}", several.replace("Face", "cat")), "none is named face"),
        (
            r#"{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}"#.to_owned(),
            "two have the id 1",
        ),
        (
            r#"{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "annotations": []}"#.to_owned(),
            "a is there a second time",
        ),
    ] {
        says(read(&text), what);
    }
}

const LIST: &str =
    "0--Parade/a.jpg\n2\n10 20 30 40 0 0 0 0 0 0 \n50 60 7 8 2 0 0 1 2 0 \n1--Riot/b.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n";

/// A folder as WIDER FACE is unpacked, with this list.
fn unpacked(list: &str) -> TempDir {
    let folder = folder();
    fs::create_dir_all(folder.path().join("WIDER_val/images")).unwrap();
    fs::create_dir_all(folder.path().join("wider_face_split")).unwrap();
    fs::write(folder.path().join("wider_face_split/wider_face_val_bbx_gt.txt"), list).unwrap();
    folder
}

#[test]
fn wider_face_without_eval_tools_has_all_faces_and_says_so() {
    let folder = unpacked(LIST);
    let truth = wider(folder.path()).unwrap();
    assert_eq!(names(&truth), ["0--Parade/a.jpg", "1--Riot/b.jpg"]);
    assert!(matches!(&truth.pictures[0].at, At::File(path) if path.ends_with("WIDER_val/images/0--Parade/a.jpg")));
    assert_eq!(truth.subsets[0].faces, [vec![face(10.0, 20.0, 30.0, 40.0, false), face(50.0, 60.0, 7.0, 8.0, true)], vec![]]);
    assert!(truth.subsets.len() == 1 && truth.notes[0].contains("eval_tools/ground_truth"), "{truth:?}");
}

#[test]
fn wider_face_that_is_not_whole_is_refused_by_line() {
    says(wider(folder().path()), "there is no");
    for (list, what) in [
        ("", "lists no pictures"),
        ("a.jpg\n", "line 1: \"\" should be the number of faces in a.jpg"),
        ("a.jpg\nb.jpg\n", "line 2: \"b.jpg\" should be the number"),
        ("a.jpg\n2\n1 2 3 4\n", "a face has left, top, width and height"),
        ("a.jpg\n1\n1 2 3\n", "line 3: a face has"),
        ("a.jpg\n1\n1 2 3 -4\n", "line 3: [1, 2, 3, -4] is no box"),
        ("a.jpg\n0\n0 0 0 0\na.jpg\n0\n0 0 0 0\n", "line 4: a.jpg is there a second time"),
        ("a.jpg\n99999999999\n", "a face has left"),
    ] {
        says(wider(unpacked(list).path()), what);
    }
}

/// The lists of `eval_tools` for the two pictures, the second of which has a face in them; what a subset chooses is given.
fn ground_truth(folder: &TempDir, chosen: [&[f64]; 2]) {
    let named = |name: &str, each: [Vec<u8>; 2]| cells(name, &each.map(|one| cells("", &[one])));
    let events = cells("event_list", &[chars("0--Parade"), chars("1--Riot")]);
    let files = named("file_list", [chars("a"), chars("b")]);
    let boxes =
        named("face_bbx_list", [numbers(2, &[10.0, 50.0, 20.0, 60.0, 30.0, 7.0, 40.0, 8.0]), numbers(1, &[1.0, 2.0, 3.0, 4.0])]);
    let path = folder.path().join("eval_tools/ground_truth");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("wider_face_val.mat"), file(&[events, files, boxes], true)).unwrap();
    for (subset, packed) in [("easy", true), ("medium", false), ("hard", true)] {
        let gt = named("gt_list", chosen.map(|chosen| numbers(chosen.len(), chosen)));
        fs::write(path.join(format!("wider_{subset}_val.mat")), file(&[gt], packed)).unwrap();
    }
}

#[test]
fn eval_tools_choose_the_faces_of_the_subsets() {
    let folder = unpacked(LIST);
    ground_truth(&folder, [&[2.0], &[]]);
    let truth = wider(folder.path()).unwrap();
    assert_eq!(truth.subsets.iter().map(|subset| subset.name).collect::<Vec<_>>(), ["all", "easy", "medium", "hard"]);
    for subset in &truth.subsets[1..] {
        let first = vec![face(10.0, 20.0, 30.0, 40.0, true), face(50.0, 60.0, 7.0, 8.0, false)];
        assert_eq!(subset.faces, [first, vec![face(1.0, 2.0, 3.0, 4.0, true)]], "{}", subset.name);
    }
}

#[test]
fn eval_tools_that_do_not_fit_are_refused() {
    for (chosen, what) in
        [(3.0, "face 3 of 2 is chosen"), (0.0, "face 0 of 2 is chosen"), (1.5, "face 1.5 of 2"), (f64::NAN, "face NaN of 2")]
    {
        let folder = unpacked(LIST);
        ground_truth(&folder, [&[chosen], &[]]);
        says(wider(folder.path()), what);
    }
    let folder = unpacked("0--Parade/a.jpg\n0\n0 0 0 0\n");
    ground_truth(&folder, [&[], &[]]);
    says(wider(folder.path()), "1--Riot/b.jpg is not in");
    fs::write(folder.path().join("eval_tools/ground_truth/wider_face_val.mat"), "nonsense").unwrap();
    says(wider(folder.path()), "it is no MATLAB file");
}

#[test]
fn composed_pictures_have_the_faces_that_are_listed() {
    let truth = Truth::composed(Size { w: 1920, h: 1080 });
    assert_eq!((truth.pictures.len(), truth.subsets[0].faces.len()), (24, 24));
    assert!(truth.subsets[0].faces.iter().map(Vec::len).sum::<usize>() > 150);
    assert!(truth.pictures[0].at.read().unwrap().unwrap().starts_with(&[0xff, 0xd8]));
}
