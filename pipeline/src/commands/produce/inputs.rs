//! What is to be produced: pictures, video files, cameras, virtual ones too.
//!
//! In: the arguments, and the list on stdin where one of them is `-`. Out: one [`Input`] for all pictures together and one for
//! each video and camera, or what is wrong with them. Invariant: no password in an address is ever shown or sent.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, Read as _};
use std::path::{Path, PathBuf};

use facestream_schemas::envelope::sniff;
use url::Url;

use crate::commands::Failure;
use crate::commands::pictures::{Pictures, each_argument};

const WITHOUT_VIDEO: &str = "this build knows no video files and no cameras but HTTP MJPEG: build one that does with \
`make build VIDEO=1`, that is Debian's libopencv-dev, clang, libclang-dev and pkg-config, and cargo build --release --workspace --features video";

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Files with a picture each.
    Pictures(Pictures),
    /// A video file, from its beginning to its end.
    Video(PathBuf),
    /// What OpenCV opens by this name, `/dev/video0` or `rtsp://…`: it has no end.
    Camera(String),
    /// A camera that sends JPEGs over HTTP.
    Mjpeg(Url),
    /// A virtual camera, by its number.
    Scene(u32),
}

impl Input {
    /// Everything that `arguments` name: pictures first, then the others in their order. `-` reads lines from `stdin`.
    pub(super) fn list(arguments: &[OsString], stdin: &mut dyn BufRead) -> Result<Vec<Self>, Failure> {
        let (mut pictures, mut inputs) = (Pictures::default(), Vec::new());
        let broken_off = each_argument(arguments, stdin, &mut |argument| add(argument, &mut pictures, &mut inputs))?;
        pictures.unreadable.extend(broken_off);
        if pictures != Pictures::default() {
            inputs.insert(0, Self::Pictures(pictures));
        }
        Ok(inputs)
    }

    /// What to call it, without what is secret in an address.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Pictures(pictures) => format!("{} pictures", pictures.files.len()),
            Self::Video(path) => path.display().to_string(),
            Self::Camera(address) => Url::parse(address).map_or_else(|_| address.clone(), |url| shown(&url)),
            Self::Mjpeg(url) => shown(url),
            Self::Scene(number) => format!("scene-{number}"),
        }
    }
}

fn add(argument: &OsStr, pictures: &mut Pictures, inputs: &mut Vec<Input>) -> Result<(), Failure> {
    let path = Path::new(argument);
    let Some(argument) = argument.to_str() else {
        pictures.add(argument);
        return Ok(());
    };
    if let Some(cameras) = super::scene::cameras(argument).filter(|_| !path.exists()) {
        inputs.extend(cameras.map_err(Failure::Usage)?.map(Input::Scene));
        return Ok(());
    }
    let input = match argument.split_once("://") {
        Some((scheme, _)) if !path.exists() => addressed(&scheme.to_ascii_lowercase(), argument)?,
        _ if argument.strip_prefix("/dev/video").is_some_and(|number| number.parse::<u8>().is_ok()) => {
            Input::Camera(argument.to_owned())
        }
        _ if path.is_file() && is_video(path) => Input::Video(path.to_owned()),
        _ => {
            pictures.add(argument.as_ref());
            return Ok(());
        }
    };
    if !cfg!(feature = "video") && matches!(input, Input::Video(_) | Input::Camera(_)) {
        return Err(Failure::Usage(format!("{}: {WITHOUT_VIDEO}", input.name())));
    }
    inputs.push(input);
    Ok(())
}

fn addressed(scheme: &str, argument: &str) -> Result<Input, Failure> {
    let parsed = Url::parse(argument);
    match (scheme, parsed) {
        ("http" | "https", Ok(url)) if url.has_host() => Ok(Input::Mjpeg(url)),
        ("rtsp" | "rtsps", Ok(url)) if url.has_host() => Ok(Input::Camera(argument.to_owned())),
        ("http" | "https" | "rtsp" | "rtsps", Ok(_)) => Err(Failure::Usage(format!("{scheme}://: the address names no host"))),
        // The address is not repeated: it may hold a password.
        ("http" | "https" | "rtsp" | "rtsps", Err(error)) => {
            Err(Failure::Usage(format!("an address that begins with {scheme}:// is none: {error}")))
        }
        _ => Err(Failure::Usage(format!(
            "{scheme}:// is nothing that frames can be read from: give files, folders, patterns, scene:N, /dev/videoN, rtsp://…, http://… or https://…"
        ))),
    }
}

/// An address without user, password and parameters, which may hold a key.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), url.host().map(|host| host.to_string()).unwrap_or_default(), port(url) + url.path())
}

fn port(url: &Url) -> String {
    url.port().map(|port| format!(":{port}")).unwrap_or_default()
}

/// Whether a file is a video, by its first bytes, or by its name where those say nothing.
fn is_video(path: &Path) -> bool {
    let mut start = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(400).read_to_end(&mut start)); // said where it is read for good
    if sniff(&start).is_some() {
        return false;
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    begins_like_video(&start) || extension.is_some_and(|found| ["mp4", "m4v", "mkv", "avi", "mov", "webm"].contains(&&*found))
}

fn begins_like_video(start: &[u8]) -> bool {
    match start {
        // ISO media (MP4, MOV), of which AVIF and HEIF are pictures.
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => {
            ![b"avif", b"avis", b"heic", b"heix", b"heif", b"mif1", b"msf1"].iter().any(|picture| brand.starts_with(*picture))
        }
        // QuickTime without a type; Matroska and WebM; AVI.
        [_, _, _, _, b'm', b'o', b'o', b'v' | b'f', ..]
        | [0x1A, 0x45, 0xDF, 0xA3, ..]
        | [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', b' ', ..] => true,
        // MPEG transport streams have a sync byte every 188 bytes.
        [0x47, rest @ ..] => rest.get(187) == Some(&0x47),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = b"\xFF\xD8\xFF\xE0 and so on";

    fn list(arguments: &[&str], stdin: &str) -> Result<Vec<Input>, Failure> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        Input::list(&arguments, &mut stdin.as_bytes())
    }

    #[test]
    fn pictures_are_one_input_and_each_camera_is_its_own() {
        let inputs =
            list(&["x.jpg", "http://cam/a.mjpg", "-", "https://cam:8443/b?key=1", "z.png"], "y.png\n\nhttp://c\n").unwrap();
        let Input::Pictures(pictures) = &inputs[0] else { panic!("{inputs:?}") };
        assert_eq!(pictures.files, ["x.jpg", "y.png", "z.png"].map(PathBuf::from));
        let names: Vec<_> = inputs[1..].iter().map(Input::name).collect();
        assert_eq!(names, ["http://cam/a.mjpg", "http://c/", "https://cam:8443/b"]);
        assert!(inputs[1..].iter().all(|input| matches!(input, Input::Mjpeg(_))));
    }

    #[test]
    fn virtual_cameras_are_an_input_each() {
        assert_eq!(list(&["scene:2"], "").unwrap(), [Input::Scene(0), Input::Scene(1)]);
        assert!(matches!(list(&["scene:none"], ""), Err(Failure::Usage(_))));
    }

    #[test]
    fn what_is_no_input_is_a_usage_error_that_shows_no_password() {
        for (argument, mentions) in [
            ("ftp://host/photos", "ftp://"),
            ("s3://bucket/photos", "s3://"),
            ("http://user:secret@", "no"),
            ("http://user:secret@ho st/", "http://"),
            ("https:///", "https://"),
        ] {
            let error = list(&[argument], "").unwrap_err().to_string();
            assert!(error.contains(mentions) && !error.contains("secret"), "{argument}: {error}");
        }
        assert_eq!(Input::Mjpeg(Url::parse("http://user:secret@cam/live?token=secret").unwrap()).name(), "http://cam/live");
    }

    #[test]
    fn a_video_is_told_by_its_first_bytes_or_else_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let is_video = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            super::is_video(&path)
        };
        let mut ts = vec![0; 400];
        (ts[0], ts[188]) = (0x47, 0x47);
        for (name, bytes) in [
            ("clip", b"\0\0\0\x18ftypisom".as_slice()),
            ("clip.bin", b"\0\0\0\x14ftypqt  "),
            ("film", b"\x1A\x45\xDF\xA3 and so on"),
            ("old", b"RIFF\0\0\0\0AVI LIST"),
            ("recording.ts", &ts),
            ("damaged.mkv", b""),
            ("UPPER.MP4", b"what is this"),
        ] {
            assert!(is_video(name, bytes), "{name}");
        }
        for (name, bytes) in [
            ("picture.mp4", JPEG),
            ("picture", b"\0\0\0\x18ftypavif".as_slice()),
            ("source.ts", b"GET = 1; // TypeScript begins like a transport stream here"),
            ("notes.txt", b"no video"),
            ("photo.webp", b"RIFF\0\0\0\0WEBPVP8 "),
        ] {
            assert!(!is_video(name, bytes), "{name}");
        }
    }

    #[cfg(not(feature = "video"))]
    #[test]
    fn without_opencv_a_video_or_camera_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.mp4");
        std::fs::write(&clip, b"\0\0\0\x18ftypisom").unwrap();
        for argument in [clip.to_str().unwrap(), "/dev/video0", "rtsp://user:secret@cam/stream"] {
            let error = list(&[argument], "").unwrap_err().to_string();
            assert!(error.contains("--features video") && error.contains("libopencv-dev"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
