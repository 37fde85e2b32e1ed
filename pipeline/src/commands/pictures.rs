//! Pictures from files: which ones.
//!
//! In: files, folders, glob patterns, and lists of them on stdin. Out: paths in a stable order, and what could not be listed.
//! Invariant: a file that was named is taken whatever it holds; of folders and patterns only what begins like an image.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use facestream_schemas::envelope::sniff;

use super::Failure;

/// As many bytes as the longest magic number needs.
const MAGIC_BYTES: u64 = 16;

/// Gives `each` every argument, and in the place of a `-` the lines of `stdin`. Why the list broke off, if it did.
pub(super) fn each_argument(
    arguments: &[OsString],
    stdin: &mut dyn BufRead,
    each: &mut dyn FnMut(&OsStr) -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    let mut broken_off = None;
    for argument in arguments {
        if argument != "-" {
            each(argument)?;
            continue;
        }
        for line in stdin.split(b'\n') {
            let line = match line {
                Ok(line) if line.contains(&0) => Err("expected names, one a line, and there are zero bytes in it".to_owned()),
                Ok(line) => Ok(line),
                Err(error) => Err(error.to_string()),
            };
            match line {
                Ok(line) => {
                    let line = line.strip_suffix(b"\r").unwrap_or(&line);
                    if !line.is_empty() {
                        each(OsStr::from_bytes(line))?;
                    }
                }
                Err(why) => {
                    broken_off = Some(format!("the list on stdin: {why}"));
                    break;
                }
            }
        }
    }
    Ok(broken_off)
}

/// The files that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pictures {
    pub(super) files: Vec<PathBuf>,
    /// Files of folders and patterns that are no images.
    pub(super) skipped: usize,
    /// What could not be listed or opened, each with the reason.
    pub(super) unreadable: Vec<String>,
}

impl Pictures {
    /// What `input` names, which is a file, a folder (recursively, by name) or a pattern.
    pub(super) fn add(&mut self, input: &OsStr) {
        let path = Path::new(input);
        match input.to_str().filter(|text| text.contains(['*', '?', '['])) {
            _ if path.is_dir() => self.add_folder(path),
            Some(pattern) if !path.exists() => self.add_pattern(pattern),
            _ => self.files.push(path.to_owned()), // a missing one is reported when it is read
        }
    }

    fn add_folder(&mut self, folder: &Path) {
        for entry in walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() => self.add_if_image(entry.into_path()),
                Ok(_) => {}
                Err(error) => self.unreadable.push(error.to_string()),
            }
        }
    }

    fn add_pattern(&mut self, pattern: &str) {
        let matches = match glob::glob(pattern) {
            Ok(matches) => matches,
            Err(error) => return self.unreadable.push(format!("{pattern}: {error}")),
        };
        let mut any = false;
        for path in matches {
            any = true;
            match path {
                Ok(path) if path.is_dir() => self.add_folder(&path),
                // A pipe would be waited for.
                Ok(path) if path.exists() && !path.is_file() => {
                    self.unreadable.push(format!("{}: is not a regular file", path.display()));
                }
                Ok(path) => self.add_if_image(path),
                Err(error) => self.unreadable.push(error.to_string()),
            }
        }
        if !any {
            self.unreadable.push(format!("{pattern}: matches no file"));
        }
    }

    fn add_if_image(&mut self, path: PathBuf) {
        let mut magic = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAGIC_BYTES).read_to_end(&mut magic)) {
            Ok(_) if sniff(&magic).is_some() => self.files.push(path),
            Ok(_) => self.skipped += 1,
            Err(error) => self.unreadable.push(format!("{}: {error}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0 and so on";
    const PNG: &[u8] = b"\x89PNG\r\n\x1A\n and so on";

    /// b.jpg, a.txt (a PNG by its bytes), notes.jpg (text), sub/c.png, sub/deep/d.jpg
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        std::fs::create_dir_all(folder.path().join("sub/deep")).unwrap();
        write("b.jpg", JPEG);
        write("a.txt", PNG);
        write("notes.jpg", b"no picture at all");
        write("sub/c.png", PNG);
        write("sub/deep/d.jpg", JPEG);
        folder
    }

    fn list(folder: &Path, inputs: &[&str]) -> (Vec<String>, usize, Vec<String>) {
        let mut pictures = Pictures::default();
        for input in inputs {
            pictures.add(folder.join(input).as_os_str());
        }
        let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).display().to_string();
        (pictures.files.iter().map(relative).collect(), pictures.skipped, pictures.unreadable)
    }

    #[test]
    fn a_folder_gives_its_images_by_magic_bytes_recursively_and_in_order() {
        let folder = folder();
        let (files, skipped, unreadable) = list(folder.path(), &["."]);
        assert_eq!(files, ["a.txt", "b.jpg", "sub/c.png", "sub/deep/d.jpg"]);
        assert_eq!((skipped, unreadable), (1, Vec::new()));
    }

    #[test]
    fn a_pattern_gives_the_images_it_matches() {
        let folder = folder();
        assert_eq!(list(folder.path(), &["*.jpg"]).0, ["b.jpg"]);
        assert_eq!(list(folder.path(), &["**/*.jpg"]).0, ["b.jpg", "sub/deep/d.jpg"]);
        assert_eq!(list(folder.path(), &["s*"]).0, ["sub/c.png", "sub/deep/d.jpg"]);
        let (files, _, unreadable) = list(folder.path(), &["*.gif"]);
        assert!(files.is_empty() && unreadable[0].contains("matches no file"), "{unreadable:?}");
    }

    #[test]
    fn what_is_named_is_taken_as_it_is_in_the_order_given() {
        let folder = folder();
        let (files, skipped, _) = list(folder.path(), &["notes.jpg", "missing.jpg", "b.jpg"]);
        assert_eq!(files, ["notes.jpg", "missing.jpg", "b.jpg"]);
        assert_eq!(skipped, 0);
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_that_file() {
        let folder = folder();
        std::fs::write(folder.path().join("cam[1].jpg"), JPEG).unwrap();
        assert_eq!(list(folder.path(), &["cam[1].jpg"]).0, ["cam[1].jpg"]);
    }

    #[test]
    fn a_dash_stands_for_the_lines_of_a_list_in_its_place() {
        let arguments = ["a", "-", "b"].map(OsString::from);
        let listed = |list: &[u8]| {
            let mut found = Vec::new();
            let mut keep = |argument: &OsStr| {
                found.push(argument.as_bytes().to_owned());
                Ok(())
            };
            let broken_off = each_argument(&arguments, &mut &*list, &mut keep).unwrap();
            (found, broken_off)
        };
        let expected = [&b"a"[..], b"c d", "üe".as_bytes(), b"no \xFF text", b"b"].map(<[u8]>::to_vec).to_vec();
        assert_eq!(
            listed("c d\r\n\nüe\n".as_bytes().iter().chain(b"no \xFF text").copied().collect::<Vec<_>>().as_slice()),
            (expected, None)
        );
        let (found, broken_off) = listed(b"c\nx\0y\nd\n");
        assert_eq!(found, [b"a", b"c", b"b"]);
        assert!(broken_off.is_some_and(|why| why.starts_with("the list on stdin: expected names")));
    }
}
