//! Looking at logs: which partitions have one, and what a record says.
//!
//! In: a store. Out: partitions, headers, or what is wrong with a record. Invariant: nothing is written, and a store that does not
//! answer is an error, not a wait without end.

use std::collections::BTreeSet;

use anyhow::Context as _;
use facestream_schemas::Partition;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _};

use super::{Failure, Ground, Which};
use crate::journal::header::Seq;
use crate::journal::log::{Listed, Log};
use crate::journal::record::{Record, RecordError};
use crate::store::Store;

/// Objects that are read at a time.
pub(super) const AT_A_TIME: usize = 16;

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// What is wrong with it.
    pub(super) cause: String,
    /// It is whole, but of a newer program.
    pub(super) is_newer: bool,
}

/// The partitions that have a log, in order.
pub(super) async fn partitions(store: &Store, which: &Which) -> Result<Vec<Partition>, Error> {
    let mut found = BTreeSet::new();
    let topics = store.files.list_with_delimiter(Some(&Path::from("_journal"))).await?.common_prefixes;
    for folder in topics {
        let Some(topic) = folder.filename().filter(|topic| which.topic.as_deref().is_none_or(|wanted| wanted == *topic)) else {
            continue;
        };
        for folder in store.files.list_with_delimiter(Some(&folder)).await?.common_prefixes {
            let number = folder.filename().and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|number| which.includes(topic, *number)) {
                found.insert(Partition { topic: topic.into(), number });
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// Every log that is asked for, with its records by seq; one without records is none.
pub(super) async fn logs(ground: &Ground, which: &Which) -> anyhow::Result<Vec<(Partition, Log, Vec<Listed>)>> {
    let cannot = || format!("cannot list the journal in {}", ground.url());
    let mut logs = Vec::new();
    for partition in partitions(&ground.store, which).await.with_context(cannot)? {
        let log = Log::new(ground.store.clone(), &partition, ground.metrics.clone());
        let records = records(&log).await.with_context(cannot)?;
        if !records.is_empty() {
            logs.push((partition, log, records));
        }
    }
    match (&which.topic, which.partition) {
        (Some(topic), partition) if logs.is_empty() => {
            let partition = partition.map(|number| format!("/{number}")).unwrap_or_default();
            let text = format!("there is no journal of {topic}{partition} in {}: see `facestream journal ls`", ground.url());
            Err(Failure::Usage(text).into())
        }
        _ => Ok(logs),
    }
}

/// The records of a log, oldest first.
pub(super) async fn records(log: &Log) -> Result<Vec<Listed>, Error> {
    let mut records = log.list().await?;
    records.sort_by_key(|record| record.seq);
    Ok(records)
}

/// Record `seq`, or what is wrong with it; `None` where it is gone.
pub(super) async fn record(log: &Log, seq: Seq) -> Result<Option<Result<Record, Damage>>, Error> {
    let bytes = match log.store().files.get(&log.path(seq)).await {
        Ok(found) => found.bytes().await?,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(match Record::read(bytes) {
        Ok(record) if record.header.seq == seq => Ok(record),
        Ok(record) => {
            let cause = format!("its header says seq {}, its name says {}", record.header.seq.0, seq.0);
            Err(Damage { cause, is_newer: false })
        }
        Err(error) => Err(Damage { cause: error.to_string(), is_newer: matches!(error, RecordError::Newer(_)) }),
    }))
}
