//! The image's recipe and the compose file, by the tools that read them: hadolint, compose's own parser, promtool.
//!
//! No container engine is needed, and none is used: `image.rs` builds the image's runtime stage and runs it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use facestream::config::{Needs, Sources, load};
use facestream_tests::{deploy_command, scratch, workspace};
use serde_json::Value;

use crate::tool::{Verdict, broken, in_file, read, text_at, tool_or_skip, verdict};

fn hadolint(dockerfile: &str) -> Verdict {
    in_file("Dockerfile", dockerfile, |path| verdict(Command::new(deploy_command("hadolint")).arg(path)))
}

#[test]
fn hadolint_accepts_the_dockerfile_and_refuses_broken_copies() {
    let dockerfile = read("deploy/Dockerfile");
    let found = hadolint(&dockerfile);
    assert!(found.is_content, "{}", found.said);
    for (right, wrong, rule) in [
        ("COPY Cargo.toml", "COPPY Cargo.toml", "unexpected"),
        ("apt-get install -y", "apt-get install", "DL3014"),
        ("FROM ${BASE} AS runtime", "FROM debian:latest AS runtime", "DL3007"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
        ("USER 65532:65532", "USER root", "DL3002"),
    ] {
        let found = hadolint(&broken(&dockerfile, right, wrong));
        assert!(!found.is_content && found.said.contains(rule), "{wrong}: {}", found.said);
    }
}

/// The lines of an instruction, without it.
fn instructions<'a>(dockerfile: &'a str, name: &str) -> Vec<&'a str> {
    dockerfile.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect()
}

/// Files that COPY takes from the project's folder.
fn copied(dockerfile: &str) -> Vec<&str> {
    let from_here = instructions(dockerfile, "COPY").into_iter().filter(|line| !line.contains("--from"));
    let files = from_here.filter_map(|line| line.split(' ').collect::<Vec<_>>().split_last().map(|(_, files)| files.to_vec()));
    files.flatten().collect()
}

#[test]
fn the_image_is_made_of_files_that_are_there_and_of_this_version() {
    let dockerfile = read("deploy/Dockerfile");
    let ignored = read(".dockerignore");
    let files = copied(&dockerfile);
    assert!(files.contains(&"deploy/setup.sh"), "{files:?}");
    for file in files {
        assert!(workspace().join(file).exists(), "COPY names {file}, which is not there");
        let top = ignored.lines().any(|line| line.strip_prefix('!').is_some_and(|kept| Path::new(file).starts_with(kept)));
        assert!(top || file == ".", ".dockerignore leaves {file} out");
    }
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml");
    let package = &manifest["workspace"]["package"];
    let args = instructions(&dockerfile, "ARG");
    let given = |value: &str| args.iter().any(|arg| arg.contains(value));
    assert!(given(&format!("VERSION={}", package["version"].as_str().expect("a version"))), "{args:?}");
    assert!(given(&format!("rust:{}-", package["rust-version"].as_str().expect("a version"))), "{args:?}");
}

#[test]
fn the_bill_of_materials_is_cyclonedx_and_names_every_crate() {
    let script = "set -o pipefail; cargo metadata --offline --locked --format-version 1 | python3 deploy/sbom.py";
    let made = verdict(Command::new("bash").args(["-c", script]).current_dir(workspace()));
    let document: Value = serde_json::from_str(&made.said).unwrap_or_else(|error| panic!("{error}: {}", made.said));
    let names: Vec<&str> = document["components"].as_array().expect("a list").iter().map(|one| text_at(one, "/name")).collect();
    for name in ["rdkafka-sys", "ort", "facestream-stages", "onnxruntime", "centerface.onnx"] {
        assert!(names.contains(&name), "{name} is in the image");
    }
    assert!(!names.contains(&"proptest") && !names.contains(&"facestream-tests"), "what only tests need is not in the image");

    let validate = |text: &str| {
        let script = "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()) or '') or None)";
        in_file("sbom.json", text, |path| verdict(Command::new(deploy_command("python")).args(["-c", script]).arg(path)))
    };
    let found = validate(&made.said);
    assert!(found.is_content, "{}", found.said);
    assert!(!validate(&broken(&made.said, "\"purl\"", "\"pearl\"")).is_content, "a misspelt field is refused");
    assert!(!validate(&broken(&made.said, "\"SHA-256\"", "\"SHA256\"")).is_content, "an unknown algorithm is refused");
}

/// What compose makes of the file, or `None` where its parser was not built.
fn project() -> Option<Value> {
    let parser = tool_or_skip("compose")?;
    let found = verdict(Command::new(parser).arg(workspace().join("deploy/compose.yaml")));
    assert!(found.is_content, "{}", found.said);
    Some(serde_json::from_str(&found.said).expect("the project as JSON"))
}

/// The services by name.
fn services(project: &Value) -> impl Iterator<Item = (&str, &Value)> {
    project["services"].as_object().expect("services").iter().map(|(name, service)| (name.as_str(), service))
}

#[test]
fn composes_own_parser_refuses_broken_copies() {
    let Some(parser) = tool_or_skip("compose") else { return };
    let compose = read("deploy/compose.yaml");
    for (right, wrong, says) in [
        ("healthcheck:", "healthchek:", "healthchek"),
        ("      kafka: {condition: service_healthy}", "      kafca: {condition: service_healthy}", "kafca"),
        ("condition: service_healthy", "condition: healthy", "condition"),
        ("retries: 24", "retries: often", "retries"),
        ("secrets: [s3_access_key, s3_secret_key]", "secrets: [s3_acces_key, s3_secret_key]", "s3_acces_key"),
        ("- kafka:/var/lib/kafka/data", "- cafka:/var/lib/kafka/data", "cafka"),
    ] {
        let copy = broken(&compose, right, wrong);
        let found = in_file("compose.yaml", &copy, |path| verdict(Command::new(&parser).arg(path)));
        assert!(!found.is_content && found.said.contains(says), "{wrong}: {}", found.said);
    }
}

#[test]
fn every_file_that_compose_names_is_there() {
    let Some(project) = project() else { return };
    let mut paths = Vec::new();
    for section in ["configs", "secrets"] {
        paths.extend(project[section].as_object().expect("a section").values().map(|one| text_at(one, "/file").to_owned()));
    }
    for (_, service) in services(&project) {
        let binds = service["volumes"].as_array().into_iter().flatten().filter(|volume| volume["type"] == "bind");
        paths.extend(binds.map(|bind| text_at(bind, "/source").to_owned()));
        if let Some(context) = service.pointer("/build/context").and_then(Value::as_str) {
            paths.push(format!("{context}/{}", text_at(service, "/build/dockerfile")));
        }
    }
    assert!(paths.len() >= 10, "{paths:?}");
    for path in paths {
        assert!(Path::new(&path).exists(), "compose names {path}, which is not there");
    }
}

#[test]
fn every_service_is_pinned_bounded_and_private() {
    let Some(project) = project() else { return };
    let setup = read("deploy/setup.sh");
    let pom = read("deploy/kafka/pom.xml");
    let versitygw = setup.lines().find_map(|line| line.strip_prefix("versitygw_version=")).expect("a version");
    let waited_for: Vec<&str> = services(&project)
        .flat_map(|(_, service)| service["depends_on"].as_object().into_iter().flatten())
        .filter(|(_, how)| how["condition"] == "service_healthy")
        .map(|(name, _)| name.as_str())
        .collect();
    for (name, service) in services(&project) {
        let (_, tag) = text_at(service, "/image").rsplit_once(':').unwrap_or_else(|| panic!("{name} has no version"));
        assert!(tag.contains('.') && tag != "latest", "{name} is of version {tag}");
        match name {
            "kafka" | "topics" => assert!(pom.contains(&format!("<kafka.version>{tag}<")), "{name} is of version {tag}"),
            "s3" => assert_eq!(tag, format!("v{versitygw}")),
            "facestream" | "cameras" => assert_eq!(tag, env!("CARGO_PKG_VERSION")),
            _ => {}
        }
        for limit in ["cpus", "memory"] {
            let limits = &service["deploy"]["resources"]["limits"];
            assert!(limits.get(limit).is_some(), "{name} has no limit of {limit}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} is published on loopback only");
        }
        let is_page = service["ports"].is_array();
        assert_eq!(service["networks"].get("pages").is_some(), is_page, "{name} is outside only if it has a page");
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert!(!waited_for.contains(&name) || service["healthcheck"]["test"].is_array(), "{name} is waited for");
    }
    assert!(waited_for.contains(&"kafka") && waited_for.contains(&"s3"), "{waited_for:?}");
    assert_eq!(project["networks"]["inside"]["internal"], true);
}

#[test]
fn what_image_and_compose_give_to_facestream_is_its_configuration() {
    let Some(project) = project() else { return };
    // As in the container, but for the folder in which the secrets lie.
    let secrets = workspace().join("deploy/compose/secrets");
    let text = read("deploy/compose/facestream.toml").replace("/run/secrets", &secrets.display().to_string());
    let folder = scratch();
    let file = folder.path().join("facestream.toml");
    std::fs::write(&file, text).expect("writing");
    let (_, service) = services(&project).find(|(name, _)| *name == "facestream").expect("facestream");
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    for word in read("deploy/Dockerfile").split_whitespace().filter(|word| word.starts_with("FACESTREAM__")) {
        if let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.ends_with('\\')) {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    assert!(env.contains_key("FACESTREAM__HTTP__LISTEN"), "{env:?}");
    for (name, value) in service["environment"].as_object().into_iter().flatten() {
        env.insert(name.clone(), value.as_str().expect("text").to_owned());
    }
    let sources = Sources { file: Some(file), env, needs: Needs::PIPELINE, ..Sources::default() };
    let (config, _) = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:9464", "the page is reached from outside of the container");
    assert_eq!(config.store.options["secret_access_key"], "not-a-secret-store");

    // What compose mounts is what the configuration names, and the topics that it makes are those that are used.
    let given: Vec<&str> =
        service["secrets"].as_array().expect("secrets").iter().map(|secret| text_at(secret, "/source")).collect();
    for name in read("deploy/compose/facestream.toml").split("file:/run/secrets/").skip(1) {
        let name = name.split('"').next().expect("a name");
        assert!(given.contains(&name), "{name} is not among {given:?}");
    }
    let made = read("deploy/compose.yaml");
    for topic in config.kafka.topics.iter().chain([&config.events.topic, &config.dead_letters.topic]) {
        assert!(made.contains(&format!("topic {topic} ")), "compose makes the topic {topic}");
    }
}

#[test]
fn promtool_accepts_composes_prometheus_and_refuses_a_broken_copy() {
    let check = |text: &str| {
        in_file("prometheus.yaml", text, |path| {
            verdict(Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(path))
        })
    };
    let config = read("deploy/compose/prometheus.yaml");
    let found = check(&config);
    assert!(found.is_content, "{}", found.said);
    assert!(!check(&broken(&config, "dns_sd_configs", "dns_sd_config")).is_content);
}
