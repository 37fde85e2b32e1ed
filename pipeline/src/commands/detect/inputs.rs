//! The pictures to look at.
//!
//! In: the arguments, and the list on stdin where one of them is `-`. Out: one [`Input`] a picture, in their order, or what is wrong with
//! them. Invariant: a picture has the name that it was given by; one that was found in a folder has the folder's before its own.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::BufRead;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::bail;
use url::Url;

use crate::commands::pictures::{Pictures, each_argument};
use crate::commands::{Failure, plain};

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    /// As it was given.
    pub(super) name: String,
    pub(super) at: At,
    /// What its copy is called, in the folder for copies.
    pub(super) copy: PathBuf,
}

/// Where a picture lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    File(PathBuf),
    /// On a web server or in an object store.
    Address(Url),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) all: Vec<Input>,
    /// Files of folders and patterns that are no images.
    pub(super) skipped: usize,
    /// What could not be listed, each with the reason.
    pub(super) unreadable: Vec<String>,
}

impl Inputs {
    /// Everything that `arguments` name, in their order. `-` reads lines from `stdin`.
    pub(super) fn list(arguments: &[OsString], stdin: &mut dyn BufRead) -> Result<Self, Failure> {
        let mut inputs = Self::default();
        let broken_off = each_argument(arguments, stdin, &mut |argument| inputs.add(argument))?;
        inputs.unreadable.extend(broken_off);
        Ok(inputs)
    }

    fn add(&mut self, argument: &OsStr) -> Result<(), Failure> {
        match argument.to_str().and_then(|text| Some((text.split_once("://")?.0, text))) {
            Some((scheme, text)) if !Path::new(text).exists() => self.add_address(&scheme.to_ascii_lowercase(), text),
            _ => {
                self.add_path(argument);
                Ok(())
            }
        }
    }

    fn add_address(&mut self, scheme: &str, argument: &str) -> Result<(), Failure> {
        // The address is not repeated: it may hold a password.
        let url = Url::parse(argument)
            .map_err(|error| Failure::Usage(format!("an address that begins with {scheme}:// is none: {error}")))?;
        match scheme {
            "file" => {
                let expected = |()| Failure::Usage(format!("{argument}: expected file:///absolute/path"));
                self.add_path(url.to_file_path().map_err(expected)?.as_os_str());
            }
            "http" | "https" | "s3" | "gs" | "az" => {
                let last = url.path_segments().and_then(|mut segments| segments.next_back()).filter(|last| !last.is_empty());
                let copy = plain_path(Path::new(last.unwrap_or("picture")));
                self.all.push(Input { name: argument.to_owned(), at: At::Address(url), copy });
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "{scheme}:// is nothing that pictures can be read from: give files, folders, patterns, http://…, https://…, \
                     s3://…, gs://…, az://… or file://…"
                )));
            }
        }
        Ok(())
    }

    fn add_path(&mut self, argument: &OsStr) {
        let mut pictures = Pictures::default();
        pictures.add(argument);
        let inputs = pictures.files.into_iter().map(|path| {
            let below = path.strip_prefix(argument).ok().filter(|below| !below.as_os_str().is_empty());
            let copy = below.map_or_else(|| path.file_name().unwrap_or_default().into(), plain_path);
            Input { name: path.display().to_string(), at: At::File(path), copy }
        });
        self.all.extend(inputs);
        self.skipped += pictures.skipped;
        self.unreadable.extend(pictures.unreadable);
    }

    /// Refuses where there is nothing to look at.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.all.is_empty() {
            return Ok(());
        }
        match (self.unreadable.as_slice(), self.skipped) {
            ([], 0) => bail!("no picture to look at: the folder or list is empty"),
            ([], skipped) => bail!("no picture to look at: {skipped} files are no images"),
            (unreadable, _) => bail!("no picture to look at: cannot read {}", plain(&unreadable.join(", "))),
        }
    }

    /// Those among `targets` that are one of the files, by whatever name: what is written there would destroy it.
    pub(super) fn overwritten<'a>(&self, targets: impl IntoIterator<Item = &'a Path>) -> Option<&'a Path> {
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let files = self.all.iter().filter_map(|input| match &input.at {
            At::File(path) => path.metadata().ok(),
            At::Address(_) => None,
        });
        let files: BTreeSet<_> = files.map(|metadata| identity(&metadata)).collect();
        let is_one = |target: &&Path| target.metadata().is_ok_and(|metadata| files.contains(&identity(&metadata)));
        targets.into_iter().find(is_one)
    }
}

impl Input {
    /// What its copy is called where another one's is called the same: with all folders.
    pub(super) fn long_copy(&self) -> PathBuf {
        match &self.at {
            At::File(path) => plain_path(path),
            At::Address(url) => plain_path(Path::new(&format!("{}{}", url.host_str().unwrap_or_default(), url.path()))),
        }
    }
}

/// A path without a root and steps upwards.
fn plain_path(path: &Path) -> PathBuf {
    path.components().filter(|component| matches!(component, Component::Normal(_))).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0 and so on";

    fn list(arguments: &[&str], stdin: &str) -> Result<Inputs, Failure> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        Inputs::list(&arguments, &mut stdin.as_bytes())
    }

    fn names(inputs: &Inputs) -> Vec<&str> {
        inputs.all.iter().map(|input| input.name.as_str()).collect()
    }

    #[test]
    fn pictures_come_in_the_order_of_the_arguments_by_the_names_that_were_given() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sub/deep")).unwrap();
        for name in ["b.jpg", "sub/deep/ü 1.jpg"] {
            std::fs::write(folder.path().join(name), JPEG).unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), "text").unwrap();
        let at = folder.path().display().to_string();
        let given = ["x.jpg", "https://host/p/a.jpg?key=1", &format!("{at}/"), "-", "s3://bucket/k/c.jpg"];
        let inputs = list(&given, &format!("y.jpg\n\nfile://{at}/b.jpg\n")).unwrap();
        let found = format!("{at}/sub/deep/ü 1.jpg");
        let b = format!("{at}/b.jpg");
        assert_eq!(names(&inputs), ["x.jpg", "https://host/p/a.jpg?key=1", &b, &found, "y.jpg", &b, "s3://bucket/k/c.jpg"]);
        let copies: Vec<_> = inputs.all.iter().map(|input| input.copy.to_str().unwrap()).collect();
        assert_eq!(copies, ["x.jpg", "a.jpg", "b.jpg", "sub/deep/ü 1.jpg", "y.jpg", "b.jpg", "c.jpg"]);
        assert_eq!((inputs.skipped, inputs.unreadable.len()), (1, 0));
        assert!(inputs.check().is_ok());
    }

    #[test]
    fn a_name_that_is_no_text_is_a_files_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"\xFF[1].jpg"));
        std::fs::write(&path, JPEG).unwrap();
        let as_list = [path.as_os_str().as_bytes(), b"\n"].concat();
        for (argument, list) in [(path.as_os_str(), &b""[..]), ("-".as_ref(), &as_list), (folder.path().as_os_str(), b"")] {
            let inputs = Inputs::list(&[argument.to_owned()], &mut &*list).unwrap();
            assert_eq!(inputs.all.len(), 1);
            assert_eq!(
                (&inputs.all[0].at, inputs.all[0].copy.as_os_str().as_bytes()),
                (&At::File(path.clone()), &b"\xFF[1].jpg"[..])
            );
        }
    }

    #[test]
    fn what_is_no_address_of_a_picture_is_a_usage_error_that_shows_no_password() {
        for argument in ["ftp://host/a.jpg", "http://user:secret@ho st/", "scene://2", "file://host/a.jpg"] {
            assert!(matches!(list(&[argument], ""), Err(Failure::Usage(text)) if !text.contains("secret")), "{argument}");
        }
    }

    #[test]
    fn nothing_to_look_at_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let look = || list(&[folder.path().to_str().unwrap()], "").unwrap().check().unwrap_err().to_string();
        assert!(look().contains("empty"));
        std::fs::write(folder.path().join("notes.txt"), "text").unwrap();
        assert!(look().contains("1 files are no images"));
        assert!(list(&["/nowhere/*.jpg"], "").unwrap().check().unwrap_err().to_string().contains("matches no file"));
    }

    #[test]
    fn a_file_is_known_again_by_any_other_name() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, other) = (folder.path().join("a.jpg"), folder.path().join("link.jpg"), folder.path().join("other.jpg"));
        std::fs::write(&file, JPEG).unwrap();
        std::fs::write(&other, JPEG).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let inputs = list(&[file.to_str().unwrap()], "").unwrap();
        assert_eq!(inputs.overwritten([other.as_path(), &link]), Some(link.as_path()));
        assert_eq!(inputs.overwritten([other.as_path(), Path::new("/nowhere/a.jpg")]), None);
    }

    #[test]
    fn a_long_name_of_a_copy_has_all_folders_and_leads_nowhere_else() {
        let long = |argument: &str| list(&[argument], "").unwrap().all[0].long_copy();
        assert_eq!(long("../up/./a.jpg"), Path::new("up/a.jpg"));
        assert_eq!(long("/photos/a.jpg"), Path::new("photos/a.jpg"));
        assert_eq!(long("https://host:8080/../x/a.jpg?key=1"), Path::new("host/x/a.jpg"));
        assert_eq!(list(&["https://host/"], "").unwrap().all[0].copy, Path::new("picture"));
    }
}
