//! One group of a round: its configuration, its store, its processes while they are struck, and its last run.
//!
//! In: a plan of the group. Out: how often it was struck, how long its partitions stood still, and a store whose tables can be
//! read as files.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{fs, iter, thread};

use toml::Table;

use super::arena::Arena;
use super::availability::{Gaps, LOOK_EVERY, Watch, journal_ends};
use super::check::{WINDOW_S, tracks};
use super::keeper::{Group, Keeper, Tally};
use super::producer::Truth;
use super::round::{GroupPlan, StoreKind, TOPIC, joined};
use super::schedule::{SESSION_MS, Strike};
use crate::{Facestream, Kafka, Versitygw};

/// How long `journal verify` may take.
const VERIFY: Duration = Duration::from_mins(4);

/// A group with where its objects lie as files.
pub(super) struct Contender {
    pub(super) plan: GroupPlan,
    pub(super) group: Group,
    /// The folder that readers of its tables look into.
    pub(super) store: PathBuf,
}

impl Contender {
    pub(super) fn new(index: usize, plan: GroupPlan, kafka: &Kafka, s3: Option<&Versitygw>, folder: &Path) -> Contender {
        let name = match plan.store {
            StoreKind::Local => format!("local-{}", index + 1),
            StoreKind::S3 => format!("s3-{}", index + 1),
        };
        let own = folder.join(&name);
        fs::create_dir_all(&own).expect("a folder for the group");
        let s3 = s3.filter(|_| plan.store == StoreKind::S3);
        let store = s3.map_or_else(|| own.join("store"), |s3| s3.folder(&name));
        fs::create_dir_all(&store).expect("a folder for the store");
        let url = s3.map_or_else(|| format!("file://{}", store.display()), |s3| s3.url(&name));
        let config = config(kafka, &name, &url, s3.map(Versitygw::options));
        let group = Group { name, folder: own, addresses: Mutex::new(vec![None; plan.processes]) };
        fs::write(group.config(), config.to_string()).expect("writing the configuration");
        Contender { plan, group, store }
    }

    /// Its processes, kept and struck, and watched until the round is over.
    pub(super) fn fight(&self, arena: &Arena, truth: &Truth, strikes: Vec<Vec<Strike>>) -> (Tally, Gaps) {
        thread::scope(|scope| {
            let watch = scope.spawn(|| self.watch(arena, truth));
            let keepers: Vec<_> = strikes
                .into_iter()
                .enumerate()
                .map(|(index, strikes)| {
                    let who = format!("{}/{}", self.group.name, index + 1);
                    scope.spawn(move || arena.carry_out(&who, || Keeper::new(arena, &self.group, index).keep(&strikes)))
                })
                .collect();
            let mut tally = Tally::new();
            for (kind, count) in keepers.into_iter().filter_map(joined).flatten() {
                *tally.entry(kind).or_default() += count;
            }
            (tally, joined(watch))
        })
    }

    fn watch(&self, arena: &Arena, truth: &Truth) -> Gaps {
        let mut watch = Watch::default();
        while !arena.is_over() {
            arena.pause(LOOK_EVERY);
            // What is in the log is asked for first: what comes meanwhile is not waiting yet.
            let logs = truth.ends();
            let journals = journal_ends(&self.group.addresses());
            watch.look(Instant::now(), &journals, &logs, arena.is_broker_away());
        }
        watch.gaps()
    }

    pub(super) fn start_last_run(&self) -> Facestream {
        Facestream::run_logged(&self.group.config(), &["--until-end"], &[], &self.group.folder.join("last-run.log"))
    }

    /// What `journal verify` says is wrong.
    pub(super) fn verify(&self) -> Vec<String> {
        let config = self.group.config();
        let arguments = ["journal", "verify", "--config", config.to_str().expect("a path in UTF-8")];
        let finished = Facestream::command(&self.group.folder, &arguments, VERIFY);
        match finished.code {
            Some(0) => Vec::new(),
            code => iter::once(format!("it ended with {code:?}")).chain(finished.output.lines().map(str::to_owned)).collect(),
        }
    }
}

/// Everything often: appends, seals, commits, the end of sessions.
fn config(kafka: &Kafka, group: &str, url: &str, options: Option<Table>) -> Table {
    let mut config = Facestream::config(kafka, TOPIC, group, url);
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let section = config.entry(section).or_insert_with(|| Table::new().into());
        section.as_table_mut().expect("a section").insert(key.to_owned(), value);
    };
    let properties = [("session.timeout.ms", SESSION_MS.to_string()), ("heartbeat.interval.ms", "500".to_owned())];
    let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect::<Table>();
    set("kafka", "properties", properties.into());
    set("workers", "count", 1.into());
    set("detector", "input", "320x192".into());
    set("track", "enabled", true.into());
    set("track", "max_gap", format!("{}s", tracks::SETTINGS.max_gap.as_secs()).into());
    set("track", "min_iou", f64::from(tracks::SETTINGS.min_iou).into());
    set("journal", "append_every", "300ms".into());
    set("parquet", "roll_every", "1500ms".into());
    // Windows that close while strikes fall.
    set("windows", "length", format!("{WINDOW_S}s").into());
    // One policy for each kind of store.
    set("windows", "late", if options.is_some() { "revise" } else { "drop" }.into());
    set("windows", "max_out_of_orderness", "500ms".into());
    if let Some(options) = options {
        set("store", "options", options.into());
    }
    config
}
