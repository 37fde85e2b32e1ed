//! The Kubernetes manifests: what kustomize makes of each overlay, held against Kubernetes's own schemas and those of the operators, and
//! against the configuration that the pods run with.
//!
//! Invariant: every document is accepted by a validator that knows its kind, and each validator refuses broken copies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use facestream::config::{Config, Needs, Sources, load};
use facestream_tests::{deploy_command, scratch, workspace};
use serde_json::Value;

use crate::tool::{Verdict, broken, in_file, read, text_at, tool_or_skip, verdict, yaml};

const OVERLAYS: [&str; 2] = ["plain", "example"];
const MIB: u64 = 1 << 20;
/// What a process needs beside its budgets and workers, and what a worker needs beside the pictures that it decodes: deploy/README.md.
const PROCESS: u64 = 96 * MIB;
const WORKER: u64 = 48 * MIB;

/// What kustomize makes of an overlay; `None` where kustomize was not built.
fn built(overlay: &str) -> Option<String> {
    let folder = workspace().join("deploy/kubernetes/overlays").join(overlay);
    let found = verdict(Command::new(tool_or_skip("kustomize")?).arg("build").arg(folder));
    assert!(found.is_content, "{overlay}: {}", found.said);
    Some(found.said)
}

/// The only document of a kind.
fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("there is a {kind}"));
    assert!(found.next().is_none(), "there is one {kind}");
    first
}

/// Kubernetes's own schemas. Kinds that it does not know it only warns of.
fn kubernetes_validate(text: &str) -> Verdict {
    in_file("manifests.yaml", text, |path| verdict(Command::new(deploy_command("kubernetes-validate")).arg("--strict").arg(path)))
}

/// The schemas of the Prometheus operator and KEDA. Kinds that it does not know it counts.
fn crds(tool: &Path, text: &str) -> Verdict {
    in_file("manifests.yaml", text, |path| verdict(Command::new(tool).arg(path)))
}

#[test]
fn every_manifest_is_accepted_by_who_defined_its_kind() {
    let Some(tool) = tool_or_skip("crds") else { return };
    for overlay in OVERLAYS {
        let Some(text) = built(overlay) else { return };
        let documents = yaml(&text);
        let is_custom = |document: &&Value| {
            ["keda.sh/", "monitoring.coreos.com/"].iter().any(|group| text_at(document, "/apiVersion").starts_with(group))
        };
        let custom = documents.iter().filter(is_custom).count();

        let found = kubernetes_validate(&text);
        assert!(found.is_content, "{overlay}: {}", found.said);
        assert_eq!(found.said.matches(" passed for resource ").count(), documents.len() - custom, "{overlay}: {}", found.said);
        if custom > 0 {
            let found = crds(&tool, &text);
            assert!(found.is_content, "{overlay}: {}", found.said);
            assert!(
                found.said.contains(&format!("{custom} validated, {} of other kinds", documents.len() - custom)),
                "{}",
                found.said
            );
        }
    }
}

#[test]
fn broken_manifests_are_refused() {
    let (Some(tool), Some(text)) = (tool_or_skip("crds"), built("example")) else { return };
    for (right, wrong) in [
        ("readOnlyRootFilesystem", "readonlyRootFilesystem"),
        ("terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: a minute"),
        ("topologyKey:", "topologyKeys:"),
        ("maxUnavailable: 1\n", "maxUnavailable: [1]\n"),
        ("policyTypes:", "policyType:"),
        ("publishNotReadyAddresses", "publishUnreadyAddresses"),
    ] {
        let found = kubernetes_validate(&broken(&text, right, wrong));
        assert!(!found.is_content, "{wrong}: {}", found.said);
    }
    for (right, wrong, says) in [
        ("pollingInterval:", "pollInterval:", "unknown field spec.pollInterval"),
        ("maxReplicaCount: 24", "maxReplicaCount: many", "spec.maxReplicaCount"),
        // A rule of the schema, not a type: fewer at most than at least.
        ("minReplicaCount: 1", "minReplicaCount: 99", "minReplicaCount must be less than or equal to maxReplicaCount"),
        ("lagThreshold:", "lagTreshold:", "lagTreshold: unknown"),
        ("consumerGroup:", "consumerGroups:", "consumerGroup: is required"),
        ("offsetResetPolicy: earliest", "offsetResetPolicy: first", "offsetResetPolicy"),
        ("parameter: password", "parameter: pasword", "pasword"),
        ("scrapeTimeout:", "scrapeTimeOut:", "unknown field spec.endpoints[0].scrapeTimeOut"),
        ("      type: Bearer\n", "      typ: Bearer\n", "authorization.typ"),
        ("scrapeTimeout: 10s", "scrapeTimeout: ten seconds", "scrapeTimeout"),
        ("alert:", "allert:", "allert"),
    ] {
        let found = crds(&tool, &broken(&text, right, wrong));
        assert!(!found.is_content && found.said.contains(says), "{wrong}: {}", found.said);
    }
    assert!(!crds(&tool, &built("plain").expect("kustomize is there")).is_content, "a file without any kind that it knows");
}

/// The configuration that the pods of an overlay run with, and the keys of the Secret that it reads.
fn configuration(documents: &[Value]) -> (Config, Vec<String>) {
    let pod = &of_kind(documents, "Deployment")["spec"]["template"]["spec"];
    let name = pod["volumes"].as_array().expect("volumes").iter().find_map(|volume| volume.pointer("/configMap/name"));
    let maps = documents.iter().filter(|document| document["kind"] == "ConfigMap");
    let map = maps.clone().find(|map| Some(&map["metadata"]["name"]) == name).expect("the ConfigMap that is mounted");
    let text = text_at(map, "/data/facestream.toml");

    let mounted = "/run/secrets/facestream/";
    let keys: Vec<String> = text.split(mounted).skip(1).map(|rest| rest.split('"').next().expect("a key").to_owned()).collect();
    let folder = scratch();
    for key in &keys {
        std::fs::write(folder.path().join(key), "a-secret-of-the-tests").expect("writing");
    }
    let file = folder.path().join("facestream.toml");
    std::fs::write(&file, text.replace(mounted, &format!("{}/", folder.path().display()))).expect("writing");

    // The environment as the kubelet makes it: a limit of cores is a whole number.
    let container = &pod["containers"][0];
    let mut env = BTreeMap::new();
    for variable in container["env"].as_array().expect("environment") {
        let value = match variable.pointer("/valueFrom/resourceFieldRef/resource").and_then(Value::as_str) {
            Some("limits.cpu") => text_at(container, "/resources/limits/cpu").to_owned(),
            Some(other) => panic!("{other}"),
            None => text_at(variable, "/value").to_owned(),
        };
        env.insert(text_at(variable, "/name").to_owned(), value);
    }
    let sources = Sources { file: Some(file), env, needs: Needs::PIPELINE, ..Sources::default() };
    let (config, _) = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    (config, keys)
}

/// Bytes of a quantity such as 448Mi.
fn bytes(quantity: &str) -> u64 {
    quantity.strip_suffix("Mi").and_then(|number| number.parse::<u64>().ok()).expect("a number of Mi") * MIB
}

#[test]
fn resources_follow_the_configuration() {
    for overlay in OVERLAYS {
        let Some(text) = built(overlay) else { return };
        let documents = yaml(&text);
        let (config, _) = configuration(&documents);
        let container = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"]["containers"][0];
        let resource = |pointer: &str| text_at(container, &format!("/resources/{pointer}"));
        let workers = config.workers.count.resolve().get() as u64;
        assert_eq!(workers.to_string(), resource("limits/cpu"), "{overlay}: a worker for each core");
        assert_eq!(resource("requests/cpu"), resource("limits/cpu"), "{overlay}");

        let request = PROCESS + config.workers.in_flight.bytes() + config.workers.pending_rows.bytes() + workers * WORKER;
        let pictures = workers * config.envelope.max_pixels * 3;
        assert!(bytes(resource("requests/memory")) >= request, "{overlay}: {} MiB are needed", request / MIB);
        assert!(bytes(resource("limits/memory")) >= request + pictures, "{overlay}: {} MiB", (request + pictures) / MIB);
        assert!(bytes(resource("limits/memory")) <= (request + pictures) * 5 / 4, "{overlay}: the formula is the reason for it");
    }
}

#[test]
fn a_pod_drains_within_its_grace_period() {
    for overlay in OVERLAYS {
        let Some(text) = built(overlay) else { return };
        let documents = yaml(&text);
        let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
        let pause = pod.pointer("/containers/0/lifecycle/preStop/sleep/seconds").and_then(Value::as_u64).expect("a pause");
        let drain = configuration(&documents).0.run.drain_timeout.as_secs();
        let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a grace period");
        // 10 s to leave the group and to end.
        assert!(grace >= pause + drain + 10, "{overlay}: {grace} s of grace for {pause} + {drain} s");
    }
}

#[test]
fn a_pod_may_do_nothing_that_it_has_no_need_for() {
    for overlay in OVERLAYS {
        let Some(text) = built(overlay) else { return };
        let documents = yaml(&text);
        let pod = &of_kind(&documents, "Deployment")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        for (pointer, wanted) in [
            ("/securityContext/runAsNonRoot", Value::from(true)),
            ("/securityContext/seccompProfile/type", "RuntimeDefault".into()),
            ("/automountServiceAccountToken", false.into()),
            ("/containers/0/securityContext/readOnlyRootFilesystem", true.into()),
            ("/containers/0/securityContext/allowPrivilegeEscalation", false.into()),
            ("/containers/0/securityContext/capabilities/drop", serde_json::json!(["ALL"])),
        ] {
            assert_eq!(pod.pointer(pointer), Some(&wanted), "{overlay}: {pointer}");
        }
        // The user of the image, whom the image's own test runs it as.
        let user = pod["securityContext"]["runAsUser"].as_u64().expect("a user");
        assert!(read("deploy/Dockerfile").contains(&format!("USER {user}:{user}")));
        let writable = container["volumeMounts"].as_array().expect("mounts").iter().filter(|mount| mount["readOnly"] != true);
        assert_eq!(writable.count(), 0, "{overlay}");
        assert!(!text.contains("kind: Secret\n"), "{overlay}: secrets are referred to, and made by whoever has them");
        for (probe, path) in [("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")] {
            assert_eq!(text_at(container, &format!("/{probe}Probe/httpGet/path")), path, "{overlay}");
        }
    }
}

#[test]
fn every_selector_finds_the_pods() {
    for overlay in OVERLAYS {
        let Some(text) = built(overlay) else { return };
        let documents = yaml(&text);
        let deployment = of_kind(&documents, "Deployment");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let pod = &deployment["spec"]["template"]["spec"];
        let spread = pod["topologySpreadConstraints"].as_array().expect("constraints");
        let selectors = [
            &deployment["spec"]["selector"]["matchLabels"],
            &of_kind(&documents, "Service")["spec"]["selector"],
            &of_kind(&documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            &of_kind(&documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        ];
        let all = selectors.into_iter().chain(spread.iter().map(|one| &one["labelSelector"]["matchLabels"]));
        for (name, value) in all.flat_map(|selector| selector.as_object().expect("labels")) {
            assert_eq!(labels.get(name), Some(value), "{overlay}: {name}");
        }
        assert_eq!(spread.len(), 2, "{overlay}: over nodes and zones");
        let account = text_at(pod, "/serviceAccountName");
        assert_eq!(text_at(of_kind(&documents, "ServiceAccount"), "/metadata/name"), account);
        assert!(text_at(pod, "/containers/0/image").starts_with("registry.example.com/"), "kustomize sets the image");
    }
}

#[test]
fn what_is_scraped_and_scaled_is_what_runs() {
    let Some(text) = built("example") else { return };
    let documents = yaml(&text);
    let (config, mut keys) = configuration(&documents);

    let monitor = of_kind(&documents, "ServiceMonitor");
    let service = of_kind(&documents, "Service");
    for (name, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(service["metadata"]["labels"].get(name), Some(value), "{name}");
    }
    assert_eq!(monitor.pointer("/spec/endpoints/0/port"), service.pointer("/spec/ports/0/name"));
    keys.push(text_at(monitor, "/spec/endpoints/0/authorization/credentials/key").to_owned());

    let scaled = of_kind(&documents, "ScaledObject");
    let trigger = |key: &str| text_at(scaled, &format!("/spec/triggers/0/metadata/{key}"));
    assert_eq!(trigger("bootstrapServers"), config.kafka.brokers);
    assert_eq!(trigger("consumerGroup"), config.kafka.group);
    assert_eq!([trigger("topic")], config.kafka.topics.as_slice());
    assert_eq!(trigger("offsetResetPolicy"), format!("{:?}", config.kafka.start).to_lowercase());
    assert_eq!(trigger("allowIdleConsumers"), "false", "the ceiling is the partition count, whatever maxReplicaCount says");
    // What is done but not yet appended counts as lag: at the 100 frames/s that the threshold is made for it must not reach it.
    let threshold: u64 = trigger("lagThreshold").parse().expect("a number");
    assert!(threshold >= 2 * 100 * config.journal.append_every.as_secs(), "{threshold}");
    assert!(of_kind(&documents, "Deployment")["spec"].get("replicas").is_none(), "their number is KEDA's alone");
    let signs_in = of_kind(&documents, "TriggerAuthentication")["spec"]["secretTargetRef"].as_array().expect("references");
    keys.extend(signs_in.iter().map(|one| text_at(one, "/key").to_owned()));

    // Whoever makes the Secret is told of every key.
    let readme = read("deploy/README.md");
    for key in keys {
        assert!(
            readme.contains(&format!("={key}")) || readme.contains(&format!("{key}=")),
            "deploy/README.md says nothing of {key}"
        );
    }
}

#[test]
fn alerts_and_dashboards_are_the_ones_of_prometheus_and_grafana() {
    let Some(text) = built("example") else { return };
    let documents = yaml(&text);
    let rules = yaml(&read("deploy/prometheus/rules.yaml"));
    let made = &of_kind(&documents, "PrometheusRule")["spec"];
    assert_eq!(*made, rules[0], "run deploy/kubernetes/prometheusrule.sh");

    let folder = workspace().join("deploy/grafana/dashboards");
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("dashboards").map(|entry| entry.expect("an entry").path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let mut maps = documents.iter().filter(|document| document["metadata"]["labels"]["grafana_dashboard"] == "1");
        let map = maps
            .find_map(|map| map["data"].get(name))
            .unwrap_or_else(|| panic!("deploy/grafana/kustomization.yaml lacks {name}"));
        assert_eq!(map.as_str(), Some(std::fs::read_to_string(&file).expect("a dashboard").as_str()), "{name}");
    }
}
