//! The walk over a store: every log, then every data file, some at a time.
//!
//! In: a store. Out: findings and notes, as they are found, and what was looked at. Invariant: memory does not grow with rows or files
//! (some dozen bytes a seal), and a pipeline that goes on meanwhile causes no findings.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::thread;

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use facestream_schemas::Partition;
use facestream_schemas::tables::Table;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore as _};
use tokio::runtime::Handle;

use super::chain::{Chain, Standing};
use super::file::{FileName, judge};
use super::finding::{Finding, Kind, Note, Verdict};
use super::read::{ReadError, read_here};
use super::{Facts, Seen};
use crate::commands::journal::look::{self, AT_A_TIME};
use crate::commands::journal::{Ground, Which};
use crate::journal::log::{Listed, Log};

/// How often a log is read again that was collected from while it was read.
const ATTEMPTS: usize = 5;

/// What there is to look at under a table's folder.
enum Job {
    File(ObjectMeta, FileName),
    Foreign(Path),
}

/// What came of it.
enum Done {
    Read(Path, FileName, Result<Facts, ReadError>),
    Foreign(Path),
    /// The tables cannot be listed.
    Failed(Error),
}

/// A walk in progress.
pub(super) struct Audit<'a> {
    ground: &'a Ground,
    which: &'a Which,
    quick: bool,
    chains: BTreeMap<Partition, Chain>,
    /// Tells of what was found, and how far it got.
    tell: &'a mut dyn FnMut(Verdict, &Seen) -> anyhow::Result<()>,
    seen: Seen,
}

impl<'a> Audit<'a> {
    pub(super) fn new(
        ground: &'a Ground,
        which: &'a Which,
        quick: bool,
        tell: &'a mut dyn FnMut(Verdict, &Seen) -> anyhow::Result<()>,
    ) -> Self {
        Self { ground, which, quick, chains: BTreeMap::new(), tell, seen: Seen::default() }
    }

    /// Looks at everything.
    pub(super) fn run(mut self) -> anyhow::Result<Seen> {
        self.logs()?;
        self.files()?;
        self.finish()
    }

    fn tell(&mut self, verdict: Verdict) -> anyhow::Result<()> {
        self.seen.findings += verdict.findings.len() as u64;
        self.seen.notes += verdict.notes.len() as u64;
        (self.tell)(verdict, &self.seen)
    }

    pub(super) fn logs(&mut self) -> anyhow::Result<()> {
        for (partition, log, records) in self.ground.runtime.block_on(look::logs(self.ground, self.which))? {
            let chain = self.ground.runtime.block_on(chain(&partition, &log, records));
            let chain = chain.with_context(|| format!("cannot read the journal of {partition} in {}", self.ground.url()))?;
            self.seen.partitions += 1;
            self.seen.records += chain.records;
            let leftovers = match log.leftovers() {
                0 => Verdict::default(),
                count => {
                    let what = format!(
                        "{count} files wait there: uploads in progress, or what killed processes left; the next takeover removes them"
                    );
                    Note::new(log.staging().to_string(), what).into()
                }
            };
            self.chains.insert(partition, chain);
            self.tell(leftovers)?;
        }
        Ok(())
    }

    /// Every object under the tables' folders, on threads of their own: decoding is CPU work.
    pub(super) fn files(&mut self) -> anyhow::Result<()> {
        let (jobs, queue) = bounded(AT_A_TIME);
        let (results, done) = bounded(AT_A_TIME);
        let (ground, which, quick) = (self.ground, self.which, self.quick);
        let io = ground.runtime.handle();
        thread::scope(|scope| {
            let listing = results.clone();
            let thread = |name: String| thread::Builder::new().name(name);
            thread("list".to_owned()).spawn_scoped(scope, move || io.block_on(list(ground, which, &jobs, &listing)))?;
            let readers = thread::available_parallelism().map_or(1, NonZero::get).clamp(4, AT_A_TIME);
            for n in 0..readers {
                let (queue, results) = (queue.clone(), results.clone());
                thread(format!("verify-{n}")).spawn_scoped(scope, move || read_all(ground, io, quick, &queue, &results))?;
            }
            drop((queue, results));
            // An error drops `done`, which ends the threads.
            done.into_iter().try_for_each(|done| self.file(done))
        })
    }

    fn file(&mut self, done: Done) -> anyhow::Result<()> {
        let (path, name, facts) = match done {
            Done::Failed(error) => {
                return Err(error).with_context(|| format!("cannot list the tables in {}", self.ground.url()));
            }
            Done::Foreign(path) => {
                self.seen.files += 1;
                let what = "its name is not that of a data file: <table>/event_date=…/event_hour=…/<topic>-<partition>-<seq>-<first>-<end>.parquet";
                return self.tell(Finding::new(Kind::ForeignFile, path.to_string(), what).into());
            }
            Done::Read(_, _, Err(ReadError::Store(Error::NotFound { .. }))) => return Ok(()), // removed meanwhile
            Done::Read(path, _, Err(ReadError::Store(error))) => {
                return Err(error).with_context(|| format!("cannot read {path} in {}", self.ground.url()));
            }
            Done::Read(path, name, facts) => (path.to_string(), name, facts),
        };
        self.seen.files += 1;
        let standing = self.standing(&name, &path)?;
        let verdict = match facts {
            Ok(facts) => {
                self.seen.rows += facts.decoded.unwrap_or(facts.rows);
                self.judge(&path, &name, &facts, &standing)
            }
            Err(error) => Finding::new(Kind::UnreadableFile, path, format!("it cannot be read: {error}")).into(),
        };
        self.tell(verdict)
    }

    /// What the journal says of the file; one that is newer than the records that were read makes it read the newer ones.
    fn standing(&mut self, name: &FileName, path: &str) -> anyhow::Result<Standing> {
        let Some(chain) = self.chains.get_mut(&name.partition) else { return Ok(Standing::NoLog) };
        let standing = chain.standing(name, path);
        if standing != Standing::Later {
            return Ok(standing);
        }
        let before = chain.records;
        let extended = self.ground.runtime.block_on(extend(chain));
        extended.with_context(|| format!("cannot read the journal of {} in {}", name.partition, self.ground.url()))?;
        self.seen.records += chain.records - before;
        Ok(chain.standing(name, path))
    }

    fn judge(&mut self, path: &str, name: &FileName, facts: &Facts, standing: &Standing) -> Verdict {
        let promised = match standing {
            Standing::Named(rows) => Some(*rows),
            Standing::Unknown => None,
            Standing::Unnamed | Standing::Later => {
                let what = format!("no journal record names it (its own would be that of seq {})", name.seq);
                return Finding::new(Kind::UnnamedFile, path, what).into();
            }
            Standing::NoLog if !self.seen.without_log.insert(name.partition.clone()) => return Verdict::default(),
            Standing::NoLog => {
                let what = format!("{} has data files and no journal", name.partition);
                return Finding::new(Kind::MissingLog, path, what).into();
            }
        };
        let Some(chain) = self.chains.get_mut(&name.partition) else { return Verdict::default() };
        if let Some(finding) = judge(path, name, facts, promised, chain.pipeline_id()) {
            return finding.into();
        }
        if promised.is_none() && !chain.coverage.add(name.seq, name.first, name.end, facts.topic_id()) {
            let what = format!("other files of the seal of seq {} cover another range of offsets, or another topic", name.seq);
            return Finding::new(Kind::Contradiction, path, what).into();
        }
        Verdict::default()
    }

    /// Says what only the whole tells.
    pub(super) fn finish(mut self) -> anyhow::Result<Seen> {
        for (_, mut chain) in std::mem::take(&mut self.chains) {
            // Files that were not among those listed: published since, or missing.
            for (seq, path) in chain.unseen() {
                let exists = self.ground.runtime.block_on(self.ground.store.exists(&Path::from(path.as_str())));
                if !exists.with_context(|| format!("cannot look for {path} in {}", self.ground.url()))? {
                    chain.missing(seq, &path);
                }
            }
            self.tell(chain.finish())?;
        }
        Ok(self.seen)
    }
}

/// Reads a log from its oldest record. One that is collected from meanwhile is read again.
async fn chain(partition: &Partition, log: &Log, mut records: Vec<Listed>) -> Result<Chain, Error> {
    let mut attempts = 1;
    loop {
        let mut chain = Chain::new(log.clone(), partition.clone());
        if feed(&mut chain, &records).await? || attempts == ATTEMPTS {
            return Ok(chain);
        }
        attempts += 1;
        records = look::records(log).await?;
    }
}

/// Takes the records that were written since.
async fn extend(chain: &mut Chain) -> Result<(), Error> {
    let mut records = look::records(chain.log()).await?;
    records.retain(|record| Some(record.seq.0) > chain.newest());
    feed(chain, &records).await.map(|_| ())
}

/// Reads records in order; false where one was gone that the LIST had named.
async fn feed(chain: &mut Chain, records: &[Listed]) -> Result<bool, Error> {
    let log = chain.log().clone();
    let mut read = futures::stream::iter(records.iter().map(|record| record.seq))
        .map(|seq| {
            let log = &log;
            async move { Ok::<_, Error>((seq, look::record(log, seq).await?)) }
        })
        .buffered(AT_A_TIME);
    let mut complete = true;
    while let Some((seq, record)) = read.try_next().await? {
        match record {
            Some(Ok(record)) => chain.next(seq, Ok(&record.header)),
            Some(Err(damage)) => chain.next(seq, Err(damage)),
            None => complete = false,
        }
    }
    Ok(complete)
}

/// Every object under the tables' folders that is asked for.
async fn list(ground: &Ground, which: &Which, jobs: &Sender<Job>, failed: &Sender<Done>) {
    for table in Table::ALL {
        let mut objects = ground.store.files.list(Some(&Path::from(table.name())));
        loop {
            let object = match objects.try_next().await {
                Ok(Some(object)) => object,
                Ok(None) => break,
                Err(error) => {
                    let _ = failed.send(Done::Failed(error));
                    return;
                }
            };
            let job = match FileName::parse(object.location.as_ref()) {
                Some(name) if which.includes(&name.partition.topic, name.partition.number) => Job::File(object, name),
                Some(_) => continue,
                None if which.topic.is_some() => continue,
                None => Job::Foreign(object.location),
            };
            if jobs.send(job).is_err() {
                return;
            }
        }
    }
}

fn read_all(ground: &Ground, io: &Handle, quick: bool, queue: &Receiver<Job>, results: &Sender<Done>) {
    for job in queue {
        let done = match job {
            Job::Foreign(path) => Done::Foreign(path),
            Job::File(object, name) => {
                let facts = read_here(io, &*ground.store.files, &object, &name, quick);
                Done::Read(object.location, name, facts)
            }
        };
        if results.send(done).is_err() {
            return;
        }
    }
}
