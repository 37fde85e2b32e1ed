//! What may be fetched: the allow-list, and the reading of URIs against it.
//!
//! In: `[fetch]` of the configuration; URIs, which are hostile. Out: a [`Target`], or why there is none. Invariant: nothing is
//! compared as text: a URI is parsed and normalised, and what is fetched is what was compared, never the URI as it was written.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use object_store::path::Path;
use url::{Host, Url};

use super::Fetch;

/// What may be fetched: parsed once from the configuration, or [named](Allowed::named) by a person.
#[derive(Clone, Debug)]
pub struct Allowed {
    entries: Vec<Entry>,
    private: Vec<IpNet>,
    /// Every web server is allowed.
    is_open: bool,
}

/// One entry: everything below a folder of a place.
#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    folders: Vec<String>,
}

/// Where pictures lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// A bucket or container of an object store.
    Bucket {
        /// `s3`, `gs` or `az`.
        scheme: &'static str,
        name: String,
    },
    /// This machine's files.
    Files,
    /// A web server.
    Server { https: bool, host: Host, port: u16 },
}

/// A URI that may be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// For messages: without the query, which may hold a secret.
    pub shown: String,
    pub at: At,
}

#[derive(Clone, Debug)]
pub(crate) enum At {
    Web(Url),
    Object {
        bucket: Place,
        key: Path,
    },
    /// A path below an allow-listed folder.
    File {
        folder: PathBuf,
        path: PathBuf,
    },
}

impl Allowed {
    /// Parses `fetch.allow` and `fetch.private`; every mistake, each with its key below `fetch`.
    pub fn parse(settings: &Fetch) -> Result<Self, Vec<(&'static str, String)>> {
        let mut mistakes = Vec::new();
        let mut keep = |key, text| mistakes.push((key, text));
        let entries = settings.allow.iter().filter_map(|text| entry(text).map_err(|why| keep("allow", why)).ok()).collect();
        let private = settings.private.iter().filter_map(|text| network(text).map_err(|why| keep("private", why)).ok()).collect();
        if mistakes.is_empty() { Ok(Self { entries, private, is_open: false }) } else { Err(mistakes) }
    }

    /// What the person at the keyboard asks for: what is in the stores and on the servers of these URIs, wherever a server redirects to,
    /// in whatever network it is.
    pub fn named<'a>(uris: impl IntoIterator<Item = &'a Url>) -> Result<Self, String> {
        let mut entries: Vec<Entry> = Vec::new();
        for uri in uris {
            let place = place(uri).map_err(|why| format!("{}: {why}", shown(uri)))?;
            if !entries.iter().any(|entry| entry.place == place) {
                entries.push(Entry { place, folders: Vec::new() });
            }
        }
        let private = vec![IpNet::from(Ipv4Net::default()), IpNet::from(Ipv6Net::default())];
        Ok(Self { entries, private, is_open: true })
    }

    /// Networks that are not public and may be connected to.
    pub(crate) fn private(&self) -> &[IpNet] {
        &self.private
    }

    /// Whether nothing may be fetched.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The places that entries are of.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.entries.iter().map(|entry| &entry.place)
    }

    /// The object stores that may be read, as `s3`, `gs` and `az`.
    pub fn schemes(&self) -> impl Iterator<Item = &'static str> {
        self.places().filter_map(|place| match place {
            Place::Bucket { scheme, .. } => Some(*scheme),
            _ => None,
        })
    }

    /// The folders of this machine that may be read.
    pub(crate) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.entries.iter().filter(|entry| entry.place == Place::Files).map(Entry::folder)
    }

    /// What to fetch for a URI, or why it is refused.
    pub(crate) fn target(&self, uri: &str) -> Result<Target, String> {
        if self.is_empty() {
            return Err("nothing may be fetched: fetch.allow is empty".to_owned());
        }
        self.parsed(Url::parse(uri).map_err(|error| format!("the image's URI is none: {error}"))?)
    }

    /// Where a redirect leads, or why it is not followed.
    pub(crate) fn redirect(&self, from: &Url, location: &str) -> Result<Url, String> {
        let refused = |why: String| format!("{} redirects, and {why}", shown(from));
        let mut to = from.join(location).map_err(|error| refused(format!("its Location is no URI: {error}")))?;
        to.set_fragment(None);
        if from.scheme() == "https" && to.scheme() == "http" {
            return Err(refused(format!("{} is not encrypted any more", shown(&to))));
        }
        match self.parsed(to).map_err(refused)? {
            Target { at: At::Web(url), .. } => Ok(url),
            Target { shown, .. } => Err(refused(format!("{shown} is not on the web"))),
        }
    }

    fn parsed(&self, mut url: Url) -> Result<Target, String> {
        let shown = shown(&url);
        let refused = |why: String| format!("{shown}: {why}");
        let place = place(&url).map_err(refused)?;
        if self.is_open && matches!(place, Place::Server { .. }) {
            url.set_fragment(None);
            return Ok(Target { shown, at: At::Web(url) });
        }
        if url.fragment().is_some() {
            return Err(refused("has a fragment (a # that belongs to the name is written %23)".to_owned()));
        }
        if url.query().is_some() && !matches!(place, Place::Server { .. }) {
            return Err(refused("has a query (a ? that belongs to the name is written %3F)".to_owned()));
        }
        let segments = segments(&url).map_err(refused)?;
        let names_nothing = segments.last().is_some_and(String::is_empty);
        if names_nothing && !matches!(place, Place::Server { .. }) {
            return Err(refused("names a folder".to_owned()));
        }
        let entry = self.entries.iter().find(|entry| entry.place == place && entry.is_above(&segments));
        let entry = entry.ok_or_else(|| refused("is not below anything in fetch.allow".to_owned()))?;
        let at = match place {
            Place::Server { .. } => At::Web(url),
            Place::Files => At::File { folder: entry.folder(), path: segments[entry.folders.len()..].iter().collect() },
            Place::Bucket { .. } => {
                let key = Path::parse(segments.join("/")).map_err(|error| refused(error.to_string()))?;
                At::Object { bucket: place, key }
            }
        };
        Ok(Target { shown, at })
    }
}

impl Entry {
    fn is_above(&self, segments: &[String]) -> bool {
        segments.len() > self.folders.len() && segments.starts_with(&self.folders)
    }

    fn folder(&self) -> PathBuf {
        std::iter::once("/").chain(self.folders.iter().map(String::as_str)).collect()
    }
}

fn entry(text: &str) -> Result<Entry, String> {
    let quoted = if text.contains('@') { "an entry".to_owned() } else { format!("{text:?}") };
    let url = Url::parse(text).map_err(|error| format!("{quoted} is not a URI ({error}), as in \"https://host/prefix/\""))?;
    let wrong = |why: String| format!("{:?} {why}", shown(&url));
    let place = place(&url).map_err(wrong)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment: give a prefix alone".to_owned()));
    }
    let mut folders = segments(&url).map_err(wrong)?;
    if folders.pop_if(|last| last.is_empty()).is_none() {
        return Err(wrong("has to end in a slash: everything below it may be fetched".to_owned()));
    }
    if place == Place::Files && folders.is_empty() {
        return Err(wrong("is the whole file system: name a folder".to_owned()));
    }
    Ok(Entry { place, folders })
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let network: Option<IpNet> = text.parse().ok().or_else(address);
    match network {
        None => Err(format!("{text:?} is not a network such as \"10.20.0.0/16\"")),
        Some(network) if network.trunc() != network => Err(format!("{text:?} is not a network: {} is", network.trunc())),
        Some(network) => Ok(network),
    }
}

/// The URL for messages: without user, password, query and fragment, and not so long that it hides what is wrong.
pub(crate) fn shown(url: &Url) -> String {
    const MOST: usize = 250;
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let text = url.as_str();
    // ASCII: everything else is percent-encoded; opaque schemes aside.
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain("…".chars()).collect() }
}

fn place(url: &Url) -> Result<Place, String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it".to_owned());
    }
    let no_host = || "names no host or bucket".to_owned();
    match url.scheme() {
        "file" if url.has_host() => Err("names a host: files are this machine's own, as in file:///folder/".to_owned()),
        "file" => Ok(Place::Files),
        scheme @ ("http" | "https") => {
            let host = url.host().ok_or_else(no_host)?.to_owned();
            Ok(Place::Server { https: scheme == "https", host, port: url.port_or_known_default().unwrap_or_default() })
        }
        scheme @ ("s3" | "gs" | "az") => {
            let name = url.host_str().filter(|name| !name.is_empty()).ok_or_else(no_host)?;
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            if !is_name || url.port().is_some() {
                return Err("names no bucket".to_owned());
            }
            let scheme = ["s3", "gs", "az"].into_iter().find(|known| *known == scheme).unwrap_or_default();
            Ok(Place::Bucket { scheme, name: name.to_owned() })
        }
        other => Err(format!("{other}:// cannot be fetched: s3, gs, az, file, http and https can")),
    }
}

/// The decoded segments of the path; the last is empty where it ends in a slash. Parsing has resolved dot segments, encoded ones
/// too. What is left that anybody could take for another path is refused.
fn segments(url: &Url) -> Result<Vec<String>, String> {
    let encoded: Vec<_> = url.path().strip_prefix('/').unwrap_or_default().split('/').collect();
    let last = encoded.len() - 1;
    let decoded = encoded.iter().enumerate().map(|(i, segment)| {
        if segment.is_empty() && i < last {
            return Err("has an empty segment (//) in its path".to_owned());
        }
        let once = decoded(segment).ok_or("has a path that is not UTF-8 text")?;
        // There are servers that decode twice.
        let twice = if matches!(url.scheme(), "http" | "https") { decoded(&once) } else { None };
        if is_tricky(&once) || twice.is_some_and(|twice| is_tricky(&twice)) {
            return Err("has an encoded slash, backslash, dot segment or control character in its path".to_owned());
        }
        Ok(once)
    });
    decoded.collect()
}

fn is_tricky(segment: &str) -> bool {
    segment == "." || segment == ".." || segment.contains(['/', '\\']) || segment.contains(char::is_control)
}

/// Percent-decoded, or nothing where that is not UTF-8.
fn decoded(segment: &str) -> Option<String> {
    let mut rest = segment.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
