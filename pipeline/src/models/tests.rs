//! Which file a name leads to, and what is said where it leads to none.

use std::fs;

use tempfile::TempDir;

use super::added::{Added, check_name, copy, put};
use super::registry::Pin;
use super::*;

/// The example of FIPS 180-2, appendix B.1.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// Folders of an environment made of these variables alone.
fn folders(variables: &[(&str, &Path)]) -> Folders {
    Folders::of(|name| Some(variables.iter().find(|(key, _)| *key == name)?.1.into())).unwrap()
}

fn in_models(folder: &TempDir) -> Folders {
    folders(&[("HOME", Path::new("/nonexistent")), ("FACESTREAM_MODELS", folder.path())])
}

fn said(error: &ModelsError) -> String {
    error.to_string()
}

#[test]
fn the_cache_folder_is_the_first_of_its_three_names() {
    let (own, xdg, home) = (Path::new("/own"), Path::new("/xdg"), Path::new("/h"));
    let all = folders(&[("FACESTREAM_CACHE", own), ("XDG_CACHE_HOME", xdg), ("HOME", home)]);
    assert_eq!(all.folder(), Path::new("/own/models"));
    assert_eq!(folders(&[("XDG_CACHE_HOME", xdg), ("HOME", home)]).folder(), Path::new("/xdg/facestream/models"));
    let empty = folders(&[("FACESTREAM_CACHE", Path::new("")), ("HOME", home)]);
    assert_eq!(empty.folder(), Path::new("/h/.cache/facestream/models"));
    assert_eq!(folders(&[("FACESTREAM_MODELS", own), ("HOME", home)]).folder(), own);
    assert!(matches!(Folders::of(|_| None), Err(ModelsError::NoCache)));
}

#[test]
fn a_missing_model_names_the_file_and_the_command() {
    let cache = TempDir::new().unwrap();
    let folders = folders(&[("FACESTREAM_CACHE", cache.path())]);
    let text = said(&folders.find("auto").unwrap_err());
    assert!(text.contains(&cache.path().join("models/centerface.onnx").display().to_string()), "{text}");
    assert!(text.contains("make setup"), "{text}");
    let text = said(&folders.find("yunet").unwrap_err());
    assert!(text.contains("yunet_n_dynamic.onnx") && text.contains("facestream models pull yunet"), "{text}");
    assert!(text.contains("\"centerface\""), "{text}");
    let text = said(&folders.find("scrfd-10g-kps").unwrap_err());
    assert!(text.contains("non-commercial") && text.contains("facestream models add scrfd-10g-kps"), "{text}");
}

#[test]
fn a_wrong_model_names_the_sum_found_and_the_sum_expected() {
    let models = TempDir::new().unwrap();
    fs::write(models.path().join("yunet_n_dynamic.onnx"), "abc").unwrap();
    let folders = in_models(&models);
    // "auto" must not fall back to CenterFace in silence where YuNet is there and broken.
    for name in ["auto", "yunet"] {
        let text = said(&folders.find(name).unwrap_err());
        assert!(text.contains(ABC), "{text}");
        assert!(text.contains("104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12"), "{text}");
        assert!(text.contains(&models.path().display().to_string()), "{text}");
    }
}

#[test]
fn a_path_is_taken_as_it_is_with_its_sum() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mine.onnx");
    fs::write(&path, "abc").unwrap();
    let found = in_models(&folder).find(path.to_str().unwrap()).unwrap();
    assert_eq!(found, ModelFile { path, sha256: ABC.to_owned() });
}

#[test]
fn an_unknown_name_gets_the_nearest_one_and_the_command_that_lists_them() {
    let folder = TempDir::new().unwrap();
    let folders = in_models(&folder);
    let text = said(&folders.find("yunett").unwrap_err());
    assert!(text.contains("\"yunett\", did you mean \"yunet\"?") && text.contains("facestream models ls"), "{text}");
    put(folder.path(), &added("shopfloor", "none.onnx")).unwrap();
    let text = said(&folders.find("shopflor").unwrap_err());
    assert!(text.contains("did you mean \"shopfloor\"?"), "{text}");
    for (nonsense, nobody) in [("../nowhere/door", "door\"?"), ("", "did you mean"), ("qqq", "did you mean")] {
        let text = said(&folders.find(nonsense).unwrap_err());
        assert!(text.contains("\"auto\", \"yunet\"") && !text.contains(nobody), "{text}");
    }
}

#[test]
fn a_missing_cascade_names_the_file_the_package_and_the_key() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mine.xml");
    let named = path.to_str().unwrap();
    let text = said(&cascade(named).unwrap_err());
    assert!(text.contains(named) && text.contains("opencv-data") && text.contains("haar.cascade"), "{text}");
    fs::write(&path, "abc").unwrap();
    assert_eq!(cascade(named).unwrap().sha256, ABC);
}

#[test]
fn the_library_is_the_callers_own_or_the_pinned_one() {
    let folder = TempDir::new().unwrap();
    let own = folder.path().join("libonnxruntime.so");
    let named = folders(&[("HOME", folder.path()), ("ORT_DYLIB_PATH", &own)]);
    assert!(said(&named.runtime_library().unwrap_err()).contains("libonnxruntime.so"));
    fs::write(&own, "").unwrap();
    assert_eq!(named.runtime_library().unwrap(), own);
    let text = said(&folders(&[("FACESTREAM_CACHE", folder.path())]).runtime_library().unwrap_err());
    assert!(text.contains("lib/libonnxruntime.so.1.") && text.contains("make setup"), "{text}");
}

#[test]
fn every_librarys_pin_is_a_sum_and_a_place() {
    let lines: Vec<Vec<_>> =
        ARTIFACTS.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().collect()).collect();
    for line in &lines {
        let [sha256, place, _machine] = line.as_slice() else { panic!("{line:?}") };
        assert!(
            sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) && place.starts_with("lib/"),
            "{line:?}"
        );
    }
    assert_eq!(lines.len(), 2);
}

fn added(name: &str, file: &str) -> Added {
    let licence = Licence { text: "MIT".to_owned(), non_commercial: false };
    let pin = Pin { file: file.to_owned(), sha256: ABC.to_owned(), bytes: 3 };
    Added { name: name.to_owned(), family: "yunet".to_owned(), input: Some("640x640".to_owned()), licence, pin }
}

#[test]
fn an_added_model_is_found_by_its_name_with_its_licence() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let models = folder.path().join("not/yet/there");
    let original = elsewhere.path().join("abc.onnx");
    fs::write(&original, "abc").unwrap();
    let mine = added("mine", "mine-ba7816bf8f01.onnx");
    copy(&original, &models, &mine.pin).unwrap();
    put(&models, &mine).unwrap();
    let folders = folders(&[("HOME", folder.path()), ("FACESTREAM_MODELS", &models)]);
    assert_eq!(folders.find("mine").unwrap(), ModelFile { path: models.join("mine-ba7816bf8f01.onnx"), sha256: ABC.to_owned() });
    assert_eq!((added::names(&models).unwrap(), folders.added("mine").unwrap()), (vec!["mine".to_owned()], Some(mine.clone())));
    assert_eq!(folders.licence("mine"), Some(mine.licence.clone()));
    // Nothing else is left there, and others may read it.
    let mut left: Vec<_> = fs::read_dir(&models).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["mine-ba7816bf8f01.onnx", "mine.model.toml"]);

    // Replaced by another file, the old one goes; bytes that changed since are noticed.
    fs::copy(models.join("mine-ba7816bf8f01.onnx"), models.join("mine-2.onnx")).unwrap();
    put(&models, &added("mine", "mine-2.onnx")).unwrap();
    assert!(!models.join("mine-ba7816bf8f01.onnx").exists());
    fs::write(models.join("mine-2.onnx"), "abd").unwrap();
    let text = said(&folders.find("mine").unwrap_err());
    assert!(text.contains(ABC) && text.contains("facestream models add mine FILE --force"), "{text}");
}

#[test]
fn a_copy_of_other_bytes_is_no_copy() {
    let (folder, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let original = elsewhere.path().join("abd.onnx");
    fs::write(&original, "abd").unwrap();
    let text = said(&copy(&original, folder.path(), &added("mine", "mine.onnx").pin).unwrap_err());
    assert!(text.contains(ABC) && text.contains("abd.onnx"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_description_that_makes_no_sense_is_said_and_leads_nowhere() {
    let folder = TempDir::new().unwrap();
    let folders = in_models(&folder);
    let whole = toml::to_string(&added("mine", "FILE")).unwrap();
    for (text, says) in [
        ("", "missing field"),
        ("= 1", "damaged"),
        (&*whole.replace("FILE", "../../etc/passwd"), "is no plain file name"),
        (&*whole.replace("FILE", "/etc/passwd"), "is no plain file name"),
        (&*whole.replace("FILE", ".."), "is no plain file name"),
    ] {
        fs::write(folder.path().join("mine.model.toml"), text).unwrap();
        let found = said(&folders.find("mine").unwrap_err());
        assert!(found.contains(says) && found.contains("mine.model.toml"), "{found}");
    }
}

#[test]
fn names_are_names() {
    for good in ["mine", "scrfd-10g", "a", "2024.1_b"] {
        assert_eq!(check_name(good), Ok(()), "{good}");
    }
    let long = "a".repeat(65);
    for bad in ["auto", "haar", "scripted", "", "Mine", "-x", ".x", "a/b", "a b", "ä", "x.onnx", "x.model.toml", "x.xml", &long]
    {
        assert!(check_name(bad).is_err(), "{bad}");
    }
}
