//! Where ONNX Runtime's library and the models lie, and whether they are the right ones.
//!
//! In: the environment (`FACESTREAM_CACHE`, `FACESTREAM_MODELS`, `ORT_DYLIB_PATH`, the user's cache folder) and what the
//! configuration calls the model. Out: paths, with the sha256 that goes into every row. Invariant: a file that set-up
//! fetches is handed out only if its bytes are the pinned ones (`deploy/artifacts.sha256`, which set-up reads too).

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

const ARTIFACTS: &str = include_str!("../../deploy/artifacts.sha256");
const YUNET: &str = "models/yunet_n_dynamic.onnx";
const CENTERFACE: &str = "models/centerface.onnx";
/// Where Debian's opencv-data puts the cascade for faces from the front.
const CASCADE: &str = "/usr/share/opencv4/haarcascades/haarcascade_frontalface_default.xml";

/// Why there is no library or model to work with. Each says what mends it.
#[derive(Debug, Error)]
pub enum ModelsError {
    /// A file that set-up fetches is not there.
    #[error("{what} is missing: there is no {}: {mend}", path.display())]
    Missing {
        /// What the file is, for people.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        mend: String,
    },
    /// A file that set-up fetches has other bytes than the pinned ones.
    #[error("{} has sha256 {found}, expected {expected}: {mend}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The sum of its bytes, in hexadecimal.
        found: String,
        /// The pinned sum, in hexadecimal.
        expected: String,
        /// What to do.
        mend: String,
    },
    /// A file is there and cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configured model is neither a name nor a file.
    #[error("detector.model {0:?} is not a file, nor one of \"auto\", \"yunet\", \"centerface\" and \"haar\"")]
    Unknown(String),
    /// Set-up has no library for this kind of machine.
    #[error("no ONNX Runtime library is known for {ARCH}: install one and name it in ORT_DYLIB_PATH")]
    Machine,
    /// There is no home folder to find the cache folder in.
    #[error("neither FACESTREAM_CACHE nor XDG_CACHE_HOME nor HOME is set: set FACESTREAM_CACHE to the folder that set-up filled")]
    NoCache,
}

/// A model file and the sha256 of its bytes, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// The ONNX file.
    pub path: PathBuf,
    /// What `model_sha256` says in every row.
    pub sha256: String,
}

/// The folders that library and models are looked for in.
#[derive(Debug, Clone)]
pub struct Folders {
    cache: PathBuf,
    /// `FACESTREAM_MODELS`: another folder, for models alone.
    models: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`: the caller's own library, taken as it is.
    library: Option<PathBuf>,
}

impl Folders {
    /// The folders of this process's environment.
    pub fn from_env() -> Result<Self, ModelsError> {
        Self::of(|name| std::env::var_os(name))
    }

    /// The folders that the variables name; an empty variable counts as unset.
    pub fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ModelsError> {
        let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = || path("XDG_CACHE_HOME").or_else(|| Some(path("HOME")?.join(".cache"))).map(|dir| dir.join("facestream"));
        let cache = path("FACESTREAM_CACHE").or_else(user).ok_or(ModelsError::NoCache)?;
        Ok(Self { cache, models: path("FACESTREAM_MODELS"), library: path("ORT_DYLIB_PATH") })
    }

    /// ONNX Runtime's shared library, checked (about 20 ms); one that `ORT_DYLIB_PATH` names need only be there.
    pub fn runtime_library(&self) -> Result<PathBuf, ModelsError> {
        if let Some(library) = &self.library {
            File::open(library).map_err(|source| ModelsError::Read { path: library.clone(), source })?;
            return Ok(library.clone());
        }
        let name = artifacts().map(|pin| pin.name).find(|name| name.starts_with("lib/")).ok_or(ModelsError::Machine)?;
        Ok(self.pinned("ONNX Runtime's library", name)?.path)
    }

    /// The model of this name: "yunet", "centerface", "auto" (YuNet if its file is in the model folder, else CenterFace) or a path.
    pub fn find(&self, model: &str) -> Result<ModelFile, ModelsError> {
        match model {
            "auto" if self.place(YUNET).exists() => self.find("yunet"),
            "auto" | "centerface" => self.pinned("the CenterFace model", CENTERFACE),
            "yunet" => self.pinned("the YuNet model", YUNET),
            path if Path::new(path).is_file() => {
                let path = PathBuf::from(path);
                Ok(ModelFile { sha256: sum(&path)?, path })
            }
            other => Err(ModelsError::Unknown(other.to_owned())),
        }
    }

    /// Where a file of `deploy/artifacts.sha256` lies: in the cache folder, or, if it is a model, in the folder for those.
    fn place(&self, name: &str) -> PathBuf {
        match (&self.models, name.strip_prefix("models/")) {
            (Some(models), Some(file)) => models.join(file),
            _ => self.cache.join(name),
        }
    }

    fn pinned(&self, what: &'static str, name: &str) -> Result<ModelFile, ModelsError> {
        let path = self.place(name);
        let found = match sum(&path) {
            Err(ModelsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(ModelsError::Missing { what, mend: self.mend(name), path });
            }
            sum => sum?,
        };
        match artifacts().find(|pin| pin.name == name) {
            Some(pin) if pin.sha256 == found => Ok(ModelFile { path, sha256: found }),
            Some(pin) => Err(ModelsError::Wrong { path, found, expected: pin.sha256.to_owned(), mend: self.mend(name) }),
            None => Err(ModelsError::Machine),
        }
    }

    /// Set-up fills the cache folder only: a folder that the user named is the user's to fill.
    fn mend(&self, name: &str) -> String {
        let setup = "run `make setup` in facestream's source folder";
        match &self.models {
            Some(models) if name.starts_with("models/") => {
                format!("put the right file into {}, or unset FACESTREAM_MODELS and {setup}", models.display())
            }
            _ if name == YUNET => {
                format!("{setup}; where its address cannot be reached, use detector.model \"auto\" or \"centerface\"")
            }
            _ => setup.to_owned(),
        }
    }
}

/// The cascade that `detector.model = "haar"` stands for: the file that `haar.cascade` names, or Debian's where it is empty.
pub fn cascade(named: &str) -> Result<ModelFile, ModelsError> {
    let path = PathBuf::from(if named.is_empty() { CASCADE } else { named });
    match sum(&path) {
        Ok(sha256) => Ok(ModelFile { path, sha256 }),
        Err(ModelsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            let mend = "install Debian's package opencv-data, or name a cascade in haar.cascade".to_owned();
            Err(ModelsError::Missing { what: "the Haar cascade", mend, path })
        }
        Err(error) => Err(error),
    }
}

/// A line of `deploy/artifacts.sha256`.
struct Pin {
    sha256: &'static str,
    /// Path inside the cache folder.
    name: &'static str,
}

/// The pinned files of this machine.
fn artifacts() -> impl Iterator<Item = Pin> {
    ARTIFACTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut words = line.split_whitespace();
        let pin = Pin { sha256: words.next()?, name: words.next()? };
        words.next().is_none_or(|machine| machine == ARCH).then_some(pin)
    })
}

/// The sha256 of a file's bytes, in hexadecimal.
fn sum(path: &Path) -> Result<String, ModelsError> {
    let read = |source| ModelsError::Read { path: path.to_owned(), source };
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).map_err(read)?, &mut hash).map_err(read)?;
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// Folders of an environment made of these variables alone.
    fn folders(variables: &[(&str, &Path)]) -> Folders {
        Folders::of(|name| Some(variables.iter().find(|(key, _)| *key == name)?.1.into())).unwrap()
    }

    fn message(error: impl std::error::Error) -> String {
        error.to_string()
    }

    #[test]
    fn the_cache_folder_is_the_first_of_its_three_names() {
        let (own, xdg, home) = (Path::new("/own"), Path::new("/xdg"), Path::new("/h"));
        let all = folders(&[("FACESTREAM_CACHE", own), ("XDG_CACHE_HOME", xdg), ("HOME", home)]);
        assert_eq!(all.place(CENTERFACE), Path::new("/own/models/centerface.onnx"));
        assert_eq!(
            folders(&[("XDG_CACHE_HOME", xdg), ("HOME", home)]).place(CENTERFACE),
            Path::new("/xdg/facestream/models/centerface.onnx")
        );
        let empty = folders(&[("FACESTREAM_CACHE", Path::new("")), ("HOME", home)]);
        assert_eq!(empty.place(CENTERFACE), Path::new("/h/.cache/facestream/models/centerface.onnx"));
        assert!(matches!(Folders::of(|_| None), Err(ModelsError::NoCache)));
    }

    #[test]
    fn a_missing_model_names_the_file_and_the_command() {
        let cache = TempDir::new().unwrap();
        let folders = folders(&[("FACESTREAM_CACHE", cache.path())]);
        let said = message(folders.find("auto").unwrap_err());
        assert!(said.contains(&cache.path().join("models/centerface.onnx").display().to_string()), "{said}");
        assert!(said.contains("make setup"), "{said}");
        let said = message(folders.find("yunet").unwrap_err());
        assert!(said.contains("yunet_n_dynamic.onnx") && said.contains("\"centerface\""), "{said}");
    }

    #[test]
    fn a_wrong_model_names_the_sum_found_and_the_sum_expected() {
        let models = TempDir::new().unwrap();
        fs::write(models.path().join("yunet_n_dynamic.onnx"), "abc").unwrap();
        let folders = folders(&[("HOME", Path::new("/nonexistent")), ("FACESTREAM_MODELS", models.path())]);
        // The example of FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        // "auto" must not fall back to CenterFace in silence where YuNet is there and broken.
        for name in ["auto", "yunet"] {
            let said = message(folders.find(name).unwrap_err());
            assert!(said.contains(abc), "{said}");
            assert!(said.contains("104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12"), "{said}");
            assert!(said.contains(&models.path().display().to_string()), "{said}");
        }
    }

    #[test]
    fn a_path_is_taken_as_it_is_with_its_sum() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("mine.onnx");
        fs::write(&path, "abc").unwrap();
        let folders = folders(&[("HOME", folder.path())]);
        let found = folders.find(path.to_str().unwrap()).unwrap();
        assert_eq!(found.path, path);
        assert!(found.sha256.starts_with("ba7816bf"));
        let said = message(folders.find("yunett").unwrap_err());
        assert!(said.contains("\"yunett\"") && said.contains("\"yunet\""), "{said}");
    }

    #[test]
    fn a_missing_cascade_names_the_file_the_package_and_the_key() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("mine.xml");
        let named = path.to_str().unwrap();
        let said = message(cascade(named).unwrap_err());
        assert!(said.contains(named) && said.contains("opencv-data") && said.contains("haar.cascade"), "{said}");
        fs::write(&path, "abc").unwrap();
        assert!(cascade(named).unwrap().sha256.starts_with("ba7816bf"));
    }

    #[test]
    fn the_library_is_the_callers_own_or_the_pinned_one() {
        let folder = TempDir::new().unwrap();
        let own = folder.path().join("libonnxruntime.so");
        let named = folders(&[("HOME", folder.path()), ("ORT_DYLIB_PATH", &own)]);
        assert!(message(named.runtime_library().unwrap_err()).contains("libonnxruntime.so"));
        fs::write(&own, "").unwrap();
        assert_eq!(named.runtime_library().unwrap(), own);
        let said = message(folders(&[("FACESTREAM_CACHE", folder.path())]).runtime_library().unwrap_err());
        assert!(said.contains("lib/libonnxruntime.so.1.") && said.contains("make setup"), "{said}");
    }

    #[test]
    fn every_pin_is_a_sum_and_a_place() {
        let pins: Vec<Pin> = artifacts().collect();
        assert!(pins.iter().all(|pin| pin.sha256.len() == 64 && pin.sha256.bytes().all(|byte| byte.is_ascii_hexdigit())));
        for name in [YUNET, CENTERFACE] {
            assert_eq!(pins.iter().filter(|pin| pin.name == name).count(), 1, "{name}");
        }
    }
}
