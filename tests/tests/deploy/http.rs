//! The HTTP interface, held against its description by validators that others wrote.
//!
//! In: `pipeline/assets/openapi.json` and the answers of a running process. Every route is asked for, with and without the token.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use facestream::scene::Scene;
use facestream_schemas::Size;
use facestream_tests::http::{Answer, ask, events};
use facestream_tests::{Facestream, Kafka, Record, deploy_command, scratch, workspace};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_mins(4);
const TOKEN: &str = "a-token-of-some-length";
const BEARER: (&str, &str) = ("authorization", "Bearer a-token-of-some-length");

/// What the validator has to say of these answers: nothing, if all is as described.
fn problems(folder: &Path, description: &Path, answers: &[Value]) -> String {
    let file = folder.join("answers.json");
    std::fs::write(&file, Value::from(answers.to_vec()).to_string()).expect("writing");
    let script = workspace().join("tests/tests/deploy/answers.py");
    let ran = Command::new(deploy_command("python")).arg(script).arg(description).arg(&file).output().expect("Python");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.success(), said.trim().is_empty(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

fn described(route: &str, method: &str, answer: &Answer) -> Value {
    let headers: serde_json::Map<String, Value> =
        answer.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().into())).collect();
    json!({ "route": route, "method": method, "status": answer.status, "headers": headers, "body": answer.text() })
}

/// A process that has seen faces, and messages that fail.
fn running(folder: &Path) -> Facestream {
    let kafka = Kafka::shared();
    let topic = kafka.topic("described", 2);
    let scene = Scene::new(1, Size { w: 640, h: 360 });
    let record = |n: i32, payload: Vec<u8>| Record {
        partition: n % 2,
        key: Some(format!("<camera {}>", n % 2).into_bytes()),
        payload: Some(payload),
        ..Record::default()
    };
    let mut records: Vec<_> = (0..20).map(|n| record(n, scene.picture(n as u64 * 20).jpeg)).collect();
    records.extend([record(0, Vec::new()), record(1, b"no picture".to_vec())]);
    kafka.produce(&topic, &records);
    let mut config = Facestream::config(kafka, &topic, "described", &format!("file://{}", folder.join("store").display()));
    let http = toml::Table::from_iter([("token".to_owned(), TOKEN.into())]);
    config.insert("http".to_owned(), http.into());
    let mut running = Facestream::run(&config, &[]);
    running.wait_ready();
    running.wait_until("all messages to be done", LONG, |own| {
        let state = ask("GET", &format!("{}/live/state", own.http()), &[BEARER], None)?.text();
        let state: Value = serde_json::from_str(&state).map_err(|error| format!("{error}: {state}"))?;
        let failed = state["failures"].as_array().map_or(0, Vec::len);
        if state["totals"]["frames"]["ok"] == 20 && failed == 2 { Ok(()) } else { Err(state.to_string()) }
    });
    running
}

fn answers(own: &Facestream) -> Vec<Value> {
    let (token, wrong) = (format!("token={TOKEN}"), "token=not-the-token-at-all".to_owned());
    let empty = String::new();
    let nobody: &[(&str, &str)] = &[];
    let somebody: &[(&str, &str)] = &[BEARER];
    let asked = [
        ("GET", "/", "/", nobody, None),
        ("GET", "/", "/", somebody, None),
        ("GET", "/{file}", "/live.js", nobody, None),
        ("GET", "/{file}", "/live.js", somebody, None),
        ("GET", "/{file}", "/live.css", somebody, None),
        ("GET", "/{file}", "/favicon.svg", nobody, None),
        ("GET", "/livez", "/livez", nobody, None),
        ("GET", "/readyz", "/readyz", nobody, None),
        ("GET", "/metrics", "/metrics", nobody, None),
        ("GET", "/metrics", "/metrics", somebody, None),
        ("GET", "/status", "/status", nobody, None),
        ("GET", "/status", "/status", somebody, None),
        ("GET", "/openapi.json", "/openapi.json", nobody, None),
        ("GET", "/openapi.json", "/openapi.json", somebody, None),
        ("GET", "/live/state", "/live/state", nobody, None),
        ("GET", "/live/state", "/live/state", somebody, None),
        ("GET", "/live/events", "/live/events", nobody, None),
        ("GET", "/live/frames/{id}", "/live/frames/1", nobody, None),
        ("GET", "/live/frames/{id}", "/live/frames/1", somebody, None),
        ("GET", "/live/frames/{id}", "/live/frames/0", somebody, None),
        ("GET", "/login", "/login", nobody, None),
        ("GET", "/login", "/login", somebody, None),
        ("POST", "/login", "/login", nobody, Some(&empty)),
        ("POST", "/login", "/login", nobody, Some(&wrong)),
        ("POST", "/login", "/login", nobody, Some(&token)),
        ("POST", "/logout", "/logout", nobody, Some(&empty)),
        ("POST", "/logout", "/logout", somebody, Some(&empty)),
    ];
    let answer = |(method, route, path, headers, form): Asked<'_>| {
        let answer = ask(method, &format!("{}{path}", own.http()), headers, form.map(String::as_str)).expect("an answer");
        described(route, method, &answer)
    };
    let mut answers: Vec<_> = asked.into_iter().map(answer).collect();
    let told = events(&format!("{}/live/events", own.http()), somebody, 3).expect("three events");
    assert_eq!(told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["history", "state", "state"]);
    let body = told.iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n")).collect::<Vec<_>>().concat();
    let headers = json!({"content-type": "text/event-stream"});
    answers.push(json!({"route": "/live/events", "method": "GET", "status": 200, "headers": headers, "body": body}));
    answers
}

/// Method, route, path, headers and form of a request.
type Asked<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], Option<&'a String>);

/// Makes answers wrong.
type Spoil = fn(&mut Vec<Value>);

/// The answer to `route` with this status, for changing it.
fn find<'a>(answers: &'a mut [Value], route: &str, status: u16) -> &'a mut Value {
    answers.iter_mut().find(|answer| answer["route"] == route && answer["status"] == status).expect("the answer")
}

#[test]
fn every_answer_is_as_the_description_says_and_one_that_is_not_is_found() {
    let folder = scratch();
    let running = running(folder.path());
    let good = answers(&running);
    let description = workspace().join("pipeline/assets/openapi.json");
    assert_eq!(problems(folder.path(), &description, &good).trim(), "");
    let served = find(&mut good.clone(), "/openapi.json", 200)["body"].clone();
    assert_eq!(served, std::fs::read_to_string(&description).expect("the description"), "what is served is what was validated");

    // What the check must find: an undocumented field, a missing one, a wrong type, in JSON and in events; a status, a type of
    // content, a header that are not described; a route that was not tried.
    let edit = |answer: &mut Value, from: &str, to: &str| {
        let body = answer["body"].as_str().expect("text");
        assert!(body.contains(from), "{from} in {body}");
        answer["body"] = body.replacen(from, to, 1).into();
    };
    let edits = [
        ("/status", "\"ready\":", "\"surprise\":1,\"ready\":", "surprise"),
        ("/status", "\"collected_end\":", "\"journal_end\":", "collected_end"),
        ("/live/state", "\"blur\":true", "\"blur\":\"yes\"", "$.blur"),
        ("/live/state", "\"image_w_px\":640", "\"image_w_px\":0", "image_w_px"),
        ("/live/state", "\"failures\":[{", "\"failures\":[{\"pixels\":1,", "pixels"),
        ("/live/events", "\"every_s\":1", "\"every_s\":2", "every_s"),
        ("/live/events", "event: state", "event: other", "other"),
        ("/live/events", "\"busy\":", "\"idle\":", "busy"),
    ];
    for (route, from, to, found) in edits {
        let mut spoiled = good.clone();
        edit(find(&mut spoiled, route, 200), from, to);
        let said = problems(folder.path(), &description, &spoiled);
        assert!(said.contains(found) && said.contains(route), "{route} with {to}: {said:?}");
    }
    let spoils: [(Spoil, &str); 4] = [
        (|answers| find(answers, "/status", 401)["status"] = 418.into(), "is not described"),
        (|answers| find(answers, "/status", 200)["headers"]["content-type"] = "text/html".into(), "content type 'text/html'"),
        (|answers| find(answers, "/login", 303)["headers"]["location"] = "https://example.com/".into(), "'./' was expected"),
        (|answers| answers.retain(|answer| answer["route"] != "/metrics"), "GET /metrics: was not tried"),
    ];
    for (spoil, found) in spoils {
        let mut spoiled = good.clone();
        spoil(&mut spoiled);
        let said = problems(folder.path(), &description, &spoiled);
        assert!(said.contains(found), "{found}: {said:?}");
    }
}

#[test]
fn a_description_that_is_none_is_found() {
    let folder = scratch();
    let text = std::fs::read_to_string(workspace().join("pipeline/assets/openapi.json")).expect("the description");
    for (from, to) in
        [("#/components/schemas/Status\"", "#/components/schemas/Stratus\""), ("\"openapi\": \"3.1.0\"", "\"openapi\": 3")]
    {
        assert!(text.contains(from), "{from}");
        let broken = folder.path().join("broken.json");
        std::fs::write(&broken, text.replacen(from, to, 1)).expect("writing");
        assert!(problems(folder.path(), &broken, &[]).contains("openapi.json:"), "{to}");
    }
}
