//! Tricks with URIs, each with what becomes of it.

use super::*;
use crate::config::{Config, Sources};

const LIST: [&str; 8] = [
    "https://cams.example/stills/",
    "http://cams.example:8080/",
    "http://127.0.0.1:9000/a/",
    "http://[2001:db8::5]/v6/",
    "s3://frames/2026/",
    "az://container/",
    "file:///srv/frames/",
    "https://bücher.example/ä ö/",
];

fn parsed(allow: &[&str], private: &[&str]) -> Result<Allowed, Vec<(&'static str, String)>> {
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    Allowed::parse(&Fetch { allow: owned(allow), private: owned(private), ..Config::default().fetch })
}

fn allowed() -> Allowed {
    parsed(&LIST, &[]).unwrap()
}

/// What would be fetched, as text.
fn fetched(uri: &str) -> Result<String, String> {
    allowed().target(uri).map(|target| match target.at {
        At::Web(url) => url.into(),
        At::Object { bucket: Place::Bucket { scheme, name }, key } => format!("{scheme} {name} {key}"),
        At::Object { .. } => unreachable!("objects lie in buckets"),
        At::File { folder, path } => format!("{} + {}", folder.display(), path.display()),
    })
}

#[test]
fn what_lies_below_an_entry_is_fetched_as_it_was_normalised() {
    for (uri, expected) in [
        ("https://cams.example/stills/a.jpg", "https://cams.example/stills/a.jpg"),
        ("https://cams.example:443/stills/a.jpg?sig=x%2Fy", "https://cams.example/stills/a.jpg?sig=x%2Fy"),
        ("HTTPS://CAMS.example/stills/b/../a.jpg", "https://cams.example/stills/a.jpg"),
        ("https://cams.example/other/../stills/a.jpg", "https://cams.example/stills/a.jpg"),
        (r"https:\\cams.example\stills\a.jpg", "https://cams.example/stills/a.jpg"),
        ("https://cams.example/stills/", "https://cams.example/stills/"),
        ("https://cams.example/%73tills/a%20b.jpg", "https://cams.example/%73tills/a%20b.jpg"),
        ("http://cams.example:8080/", "http://cams.example:8080/"),
        ("http://2130706433:9000/a/x", "http://127.0.0.1:9000/a/x"),
        ("http://[2001:DB8:0:0::5]:80/v6/x", "http://[2001:db8::5]/v6/x"),
        ("s3://frames/2026/11/a%20b%2B.jpg", "s3 frames 2026/11/a b+.jpg"),
        ("s3://frames/2025/../2026/a.jpg", "s3 frames 2026/a.jpg"),
        ("s3://frames/2026/100%25.jpg", "s3 frames 2026/100%.jpg"),
        ("s3://frames/2026/%252e%252e", "s3 frames 2026/%2e%2e"),
        ("az://container/a.jpg", "az container a.jpg"),
        ("file:///srv/frames/cam/1.jpg", "/srv/frames + cam/1.jpg"),
        ("file://localhost/srv/frames/1.jpg", "/srv/frames + 1.jpg"),
        ("https://xn--bcher-kva.example/%C3%A4%20%C3%B6/x.jpg", "https://xn--bcher-kva.example/%C3%A4%20%C3%B6/x.jpg"),
    ] {
        assert_eq!(fetched(uri).as_deref(), Ok(expected), "{uri}");
    }
}

#[test]
fn everything_else_is_refused_and_says_why() {
    for (uri, why) in [
        ("https://other.example/stills/a.jpg", "not below anything in fetch.allow"),
        ("http://cams.example/stills/a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example:444/stills/a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example./stills/a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example.evil.example/stills/a.jpg", "not below anything in fetch.allow"),
        ("https://evil.example/https://cams.example/stills/a.jpg", "empty segment"),
        ("https://cams.example/stills", "not below anything in fetch.allow"),
        ("https://cams.example/stillsecrets/a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example/Stills/a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example/stills/../a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example/stills/%2e%2e/a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example/stills/.%2E/a.jpg", "not below anything in fetch.allow"),
        (r"https://cams.example/stills/..\..\a.jpg", "not below anything in fetch.allow"),
        ("https://cams.example/stills/..%2fa.jpg", "encoded slash"),
        ("https://cams.example/stills/..%5ca.jpg", "encoded slash"),
        ("https://cams.example/stills/%252e%252e/a.jpg", "encoded slash, backslash, dot segment"),
        ("https://cams.example/stills/..%252f..%252fa.jpg", "encoded slash"),
        ("https://cams.example/stills/a%00.jpg", "control character"),
        ("https://cams.example/stills/a%0d%0ab.jpg", "control character"),
        ("https://cams.example/stills/%ff.jpg", "not UTF-8"),
        ("https://cams.example/stills//a.jpg", "empty segment"),
        ("https://cams.example//stills/a.jpg", "empty segment"),
        ("https://user@cams.example/stills/a.jpg", "a user or a password"),
        ("https://cams.example:pw@evil.example/stills/a.jpg", "a user or a password"),
        ("https://cams.example@evil.example/stills/a.jpg", "a user or a password"),
        ("https://cams.example/stills/a.jpg#x", "fragment"),
        ("http://127.0.0.1/", "not below anything in fetch.allow"),
        ("http://127.0.0.1/a/x", "not below anything in fetch.allow"),
        ("http://2130706433/", "http://127.0.0.1/: is not below anything in fetch.allow"),
        ("http://0x7f.1/", "http://127.0.0.1/: is not below anything in fetch.allow"),
        ("http://017700000001/", "http://127.0.0.1/: is not below anything in fetch.allow"),
        ("http://127.1:9000/b", "http://127.0.0.1:9000/b: is not below anything in fetch.allow"),
        ("http://[::ffff:127.0.0.1]:9000/a/x", "not below anything in fetch.allow"),
        ("http://[::1]/", "not below anything in fetch.allow"),
        ("http://[fe80::1%25eth0]/", "the image's URI is none"),
        ("http://localhost/", "not below anything in fetch.allow"),
        ("http://localhost:9000/a/x", "not below anything in fetch.allow"),
        ("http://169.254.169.254/latest/meta-data/", "not below anything in fetch.allow"),
        ("http://cams.example:99999/", "the image's URI is none"),
        ("http:///a", "not below anything in fetch.allow"),
        ("s3://frames/2025/a.jpg", "not below anything in fetch.allow"),
        ("s3://Frames/2026/a.jpg", "not below anything in fetch.allow"),
        ("s3://frames/2026/../2025/a.jpg", "not below anything in fetch.allow"),
        ("s3://frames/2026/..%2f2025/a.jpg", "encoded slash"),
        (r"s3://frames/2026/..\2025\a.jpg", "backslash"),
        ("s3://frames/2026/", "names a folder"),
        ("s3://frames/2026//a.jpg", "empty segment"),
        ("s3://frames/2026/a.jpg?versionId=3", "query"),
        ("s3://frames/2026/a#1.jpg", "%23"),
        ("s3://frames:80/2026/a.jpg", "names no bucket"),
        ("s3://fr%61mes/2026/a.jpg", "names no bucket"),
        ("s3:///2026/a.jpg", "names no host or bucket"),
        ("s3://key:secret@frames/2026/a.jpg", "a user or a password"),
        ("gs://frames/2026/a.jpg", "not below anything in fetch.allow"),
        ("file:///srv/frames/../../etc/passwd", "file:///etc/passwd: is not below anything in fetch.allow"),
        ("file:///srv/frames/%2e%2e/%2e%2e/etc/passwd", "file:///etc/passwd: is not below anything in fetch.allow"),
        ("file:///srv/frames/..%2f..%2fetc/passwd", "encoded slash"),
        ("file:///etc/passwd", "not below anything in fetch.allow"),
        ("file:/etc/passwd", "not below anything in fetch.allow"),
        ("file://host/srv/frames/a.jpg", "names a host"),
        ("file:///srv/frames/", "names a folder"),
        ("file:///srv/frames/cam/", "names a folder"),
        ("ftp://cams.example/stills/a.jpg", "ftp:// cannot be fetched"),
        ("gopher://cams.example/", "cannot be fetched"),
        ("data:image/jpeg;base64,/9j/", "data:// cannot be fetched"),
        ("javascript:alert(1)", "cannot be fetched"),
        ("/srv/frames/a.jpg", "the image's URI is none: relative URL"),
        ("a.jpg", "the image's URI is none: relative URL"),
        ("", "the image's URI is none"),
    ] {
        let refused = fetched(uri).expect_err(uri);
        assert!(refused.contains(why), "{uri}: {refused}");
    }
}

#[test]
fn nothing_is_fetched_until_something_is_allowed() {
    let refused = parsed(&[], &[]).unwrap().target("https://cams.example/stills/a.jpg").unwrap_err();
    assert!(refused.contains("fetch.allow"), "{refused}");
}

#[test]
fn no_query_and_no_password_is_shown() {
    for uri in [
        "https://cams.example/none/a.jpg?sig=hunter2",
        "https://user:hunter2@cams.example/stills/a.jpg",
        "https://cams.example/stills/a.jpg#hunter2",
        "s3://hunter2@frames/2026/a.jpg",
        "ftp://user:hunter2@host/a",
        "http://user:hunter2@ho st/",
    ] {
        let refused = fetched(uri).unwrap_err();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let signed = allowed().target("https://cams.example/stills/a.jpg?sig=hunter2").unwrap();
    assert_eq!(signed.shown, "https://cams.example/stills/a.jpg");
    let long = allowed().target(&format!("https://cams.example/none/{}", "ü".repeat(900))).unwrap_err();
    assert!(long.ends_with("is not below anything in fetch.allow") && long.len() < 350, "{long}");
}

#[test]
fn redirects_stay_on_the_list_and_encrypted() {
    let list = parsed(&["https://cams.example/stills/", "https://cdn.example/c/", "http://plain.example/", "file:///srv/"], &[]);
    let list = list.unwrap();
    let from = Url::parse("https://cams.example/stills/b/a.jpg?sig=hunter2").unwrap();
    for (location, to) in [
        ("../c.jpg", "https://cams.example/stills/c.jpg"),
        ("/stills/x?y=1#top", "https://cams.example/stills/x?y=1"),
        ("//cdn.example/c/x", "https://cdn.example/c/x"),
    ] {
        assert_eq!(list.redirect(&from, location).as_ref().map(Url::as_str), Ok(to));
    }
    for (location, why) in [
        ("/secret", "not below anything"),
        ("//evil.example/stills/", "not below anything"),
        ("http://plain.example/x", "not encrypted"),
        ("http://169.254.169.254/", "not encrypted"),
        ("file:///srv/x", "not on the web"),
        ("https://u:p@cdn.example/c/x", "a user or a password"),
        ("https://[", "Location"),
    ] {
        let refused = list.redirect(&from, location).unwrap_err();
        assert!(refused.contains(why) && !refused.contains("hunter2"), "{location}: {refused}");
    }
    let plain = Url::parse("http://plain.example/a").unwrap();
    assert!(list.redirect(&plain, "https://cdn.example/c/a").is_ok());
    assert!(list.redirect(&plain, "http://169.254.169.254/").unwrap_err().contains("not below anything"));
}

#[test]
fn every_mistake_in_the_lists_is_told_with_its_key() {
    let allow = [
        "https://cams.example/stills",
        "cams.example/",
        "ftp://cams.example/",
        "https://user:hunter2@cams.example/",
        "https://cams.example/?x",
        "https://cams.example/a//b/",
        "file:///",
        "file://host/srv/",
        "s3:///a/",
        "*://cams.example/",
    ];
    let private = ["10.0.0.1/8", "intranet", "10.0.0.0/33"];
    let mistakes = parsed(&allow, &private).unwrap_err();
    let expected = [
        ("allow", "end in a slash"),
        ("allow", "not a URI"),
        ("allow", "ftp:// cannot be fetched"),
        ("allow", "a user or a password"),
        ("allow", "a query"),
        ("allow", "empty segment"),
        ("allow", "whole file system"),
        ("allow", "names a host"),
        ("allow", "names no host or bucket"),
        ("allow", "not a URI"),
        ("private", "10.0.0.0/8 is"),
        ("private", "not a network"),
        ("private", "not a network"),
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
    for ((key, text), (expected, why)) in mistakes.iter().zip(expected) {
        assert!(*key == expected && text.contains(why) && !text.contains("hunter2"), "{key}: {text}");
    }
    assert!(parsed(&LIST, &["10.0.0.0/8", "fd00::/8", "192.168.1.7"]).is_ok());
}

#[test]
fn mistakes_reach_whoever_configures_under_the_keys_that_they_are_in() {
    let mistakes = |set: &[&str]| {
        let set = set.iter().map(ToString::to_string).collect();
        crate::config::load(&Sources { set, ..Sources::default() }).err().map(|mistakes| mistakes.to_string())
    };
    for (set, expected) in [
        (&["fetch.allow=https://host/a"][..], "fetch.allow (--set): \"https://host/a\" has to end in a slash"),
        (&["fetch.private=10.0.0.1/8"], "fetch.private (--set): \"10.0.0.1/8\" is not a network"),
        (&["fetch.options.regoin=x"], "fetch.options.regoin (--set): is no option of any store at s3://"),
        (&["fetch.allow=gs://b/", "fetch.options.endpoint_url=x"], "fetch.options.endpoint_url"),
        (&["fetch.allow=[\"s3://b/\", \"a\", \"b\"]"], "\"b\" is not a URI"),
    ] {
        let told = mistakes(set).expect("a mistake");
        assert!(told.contains(expected), "{set:?}: {told}");
    }
    assert_eq!(
        mistakes(&["fetch.allow=[\"s3://b/p/\", \"az://c/\"]", "fetch.options.region=x", "fetch.options.account_name=y"]),
        None
    );
}

proptest::proptest! {
    #[test]
    fn whatever_the_path_it_stays_below_the_entry(path in r"([a-z./\\%25efEF]|%2e|%2f|%5c|\.\./){0,30}") {
        if let Ok(Target { at: At::File { folder, path }, .. }) = allowed().target(&format!("file:///srv/frames/{path}")) {
            proptest::prop_assert_eq!(folder, PathBuf::from("/srv/frames"));
            proptest::prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))), "{:?}", path);
        }
        if let Ok(Target { at: At::Object { key, .. }, .. }) = allowed().target(&format!("s3://frames/2026/{path}")) {
            proptest::prop_assert!(key.as_ref().starts_with("2026/"));
            proptest::prop_assert!(key.as_ref().split('/').all(|part| part != ".." && part != "." && !part.contains('\\')));
        }
    }
}

#[test]
fn what_a_person_names_may_be_fetched_wherever_a_server_redirects_to() {
    let named = |uris: &[&str]| {
        let uris: Vec<Url> = uris.iter().map(|uri| uri.parse().unwrap()).collect();
        Allowed::named(&uris)
    };
    let allowed = named(&["http://127.0.0.1:8000/a%2Fb.jpg#part", "s3://bucket/a/b.jpg", "https://host/x.jpg"]).unwrap();
    let url = |uri: &str| match allowed.target(uri).unwrap().at {
        At::Web(url) => url.to_string(),
        at => panic!("{at:?}"),
    };
    assert_eq!(url("http://127.0.0.1:8000/a%2Fb.jpg#part"), "http://127.0.0.1:8000/a%2Fb.jpg");
    assert_eq!(url("https://host/x.jpg?sig=1"), "https://host/x.jpg?sig=1");
    assert!(matches!(allowed.target("s3://bucket/a/b.jpg").unwrap().at, At::Object { key, .. } if key.as_ref() == "a/b.jpg"));
    let from = "https://host/x.jpg".parse().unwrap();
    assert_eq!(allowed.redirect(&from, "https://elsewhere/y.jpg").unwrap().as_str(), "https://elsewhere/y.jpg");
    for refused in ["http://host/x.jpg", "s3://bucket/a/b.jpg", "file:///etc/passwd", "ftp://host/x.jpg"] {
        assert!(allowed.redirect(&from, refused).is_err(), "{refused}");
    }
    // Nothing of a store or of this machine but what was named.
    assert!(allowed.target("s3://another/a.jpg").is_err() && allowed.target("file:///etc/passwd").is_err());
    assert!(named(&["http://user:secret@host/a.jpg"]).is_err_and(|why| !why.contains("secret")));
}
