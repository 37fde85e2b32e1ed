//! Models that the user added under a name of their own.
//!
//! In: a model folder, and a file that was looked at. Out: a copy in the folder, and beside it a description, `NAME.model.toml`, which
//! is the only way to the copy. Invariant: a name leads to a whole file with the bytes that were looked at, or to what it led to
//! before: the copy is named by its bytes, and the description appears in one step.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::registry::{Licence, Pin};
use super::{ModelsError, sum};

/// What every description's name ends in.
const SUFFIX: &str = ".model.toml";

/// A model that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// What `detector.model` calls it; its description's name says so, not its content.
    #[serde(skip)]
    pub name: String,
    /// What its graph is.
    pub family: String,
    /// The one size of pictures that it takes; `None` where it takes any.
    pub input: Option<String>,
    /// As the user said.
    #[serde(flatten)]
    pub licence: Licence,
    /// The copy.
    #[serde(flatten)]
    pub pin: Pin,
}

/// Why `name` cannot be one's own model's.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    match name {
        "auto" | "haar" | "scripted" => Err("means something else to detector.model"),
        _ if !begins || !name.chars().all(fine) || name.len() > 64 => {
            Err("is no name: begin with a letter or digit, go on with those and - _ . in lower case, 64 at most")
        }
        _ if [".onnx", ".xml", ".toml"].iter().any(|ending| name.ends_with(ending)) => Err("looks like a file's name"),
        _ => Ok(()),
    }
}

/// The model of this name in `folder`, if one was added there.
pub fn find(folder: &Path, name: &str) -> Result<Option<Added>, ModelsError> {
    let path = folder.join(format!("{name}{SUFFIX}"));
    match fs::read_to_string(&path) {
        Ok(text) => describe(&path, name, &text).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ModelsError::Read { path, source }),
    }
}

/// The names of all that were added there, in order.
pub fn names(folder: &Path) -> Result<Vec<String>, ModelsError> {
    let failed = |source| ModelsError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(failed)?.file_name();
        names.extend(file.to_string_lossy().strip_suffix(SUFFIX).filter(|name| check_name(name).is_ok()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn describe(path: &Path, name: &str, text: &str) -> Result<Added, ModelsError> {
    let damaged = |cause: String| ModelsError::Description { path: path.to_owned(), cause };
    let added: Added = toml::from_str(text).map_err(|error| damaged(error.message().to_owned()))?;
    // Beside the description, and nowhere else.
    if Path::new(&added.pin.file).file_name() != Some(added.pin.file.as_ref()) {
        return Err(damaged(format!("file {:?} is no plain file name", added.pin.file)));
    }
    Ok(Added { name: name.to_owned(), ..added })
}

/// Copies `from` into `folder` under the pin's file name, if its bytes are the pinned ones.
pub fn copy(from: &Path, folder: &Path, pin: &Pin) -> Result<PathBuf, ModelsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelsError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let mut copy = tempfile::Builder::new().prefix(".adding-").tempfile_in(folder).map_err(failed(folder))?;
    let mut original = File::open(from).map_err(|source| ModelsError::Read { path: from.to_owned(), source })?;
    io::copy(&mut original, &mut copy).map_err(failed(copy.path()))?;
    let found = sum(copy.path())?;
    if found != pin.sha256 {
        let mend = "it is another file, or was changed while it was read".to_owned();
        return Err(ModelsError::Wrong { path: from.to_owned(), found, expected: pin.sha256.clone(), mend });
    }
    let place = folder.join(&pin.file);
    keep(copy, &place).map_err(failed(&place))?;
    Ok(place)
}

/// Adds or replaces the description; the model's file is there already. Another file that it led to before is removed.
pub fn put(folder: &Path, added: &Added) -> Result<(), ModelsError> {
    let place = folder.join(format!("{}{SUFFIX}", added.name));
    let before = find(folder, &added.name).ok().flatten().map(|before| before.pin.file);
    let write = || {
        let mut description = tempfile::Builder::new().prefix(".adding-").tempfile_in(folder)?;
        let text = toml::to_string(added).map_err(io::Error::other)?;
        description.write_all(text.as_bytes())?;
        keep(description, &place)
    };
    write().map_err(|source| ModelsError::Write { path: place.clone(), source })?;
    match before.filter(|before| *before != added.pin.file) {
        Some(before) => {
            let path = folder.join(before);
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ModelsError::Write { path, source }),
                _ => Ok(()),
            }
        }
        None => Ok(()),
    }
}

/// Makes the file durable and readable by everybody, and gives it its name.
fn keep(file: tempfile::NamedTempFile, place: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    Ok(())
}
