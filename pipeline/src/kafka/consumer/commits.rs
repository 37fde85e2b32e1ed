//! Commits of what the journals have won: advice for lag tools and scalers.
//!
//! In: journal ends from the board. Out: the group's offsets in Kafka. Invariant: the poll thread waits for none but the last; one
//! that fails costs nothing and is made again, or an idle partition would show a stale lag for ever.

use std::time::Duration;

use facestream_schemas::{Offset, Partition};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;

use super::super::assignment::list_at;
use super::super::commit::Commit;
use super::Polling;
use crate::failpoint;

/// Commits that are waited for at a time: with so many unanswered another would not help.
const MOST: usize = 8;

impl Polling<'_> {
    /// Commits what the journals have won since the last time, without waiting.
    pub(super) fn commit_appended(&mut self) {
        if self.commits.len() >= MOST {
            return;
        }
        let appended = self.assignment.lanes.board.take_appended();
        if appended.is_empty() {
            return;
        }
        failpoint::hit("before-commit");
        match Commit::begin(self.consumer.client(), &appended) {
            Ok(commit) => self.commits.push(commit),
            Err(error) => self.committed(&appended, &Err(error), Duration::ZERO),
        }
    }

    /// Commits what is left, and waits for it.
    pub(super) fn commit_rest(&self) {
        let appended = self.assignment.lanes.board.take_appended();
        if appended.is_empty() {
            return;
        }
        failpoint::hit("before-commit");
        let list = list_at(appended.iter().map(|(partition, end)| (partition, *end)));
        let answer = list.and_then(|list| self.assignment.timed(|| self.consumer.commit(&list, CommitMode::Sync)));
        self.note(&appended, &answer);
    }

    /// Takes note of the answers that have come.
    pub(super) fn look_after_commits(&mut self) {
        let ended: Vec<_> = self.commits.iter().map(Commit::ended).collect();
        let mut ended = ended.into_iter();
        let mut answered = Vec::new();
        self.commits.retain_mut(|commit| match ended.next().flatten() {
            Some((answer, took)) => {
                answered.push((std::mem::take(&mut commit.offsets), answer, took));
                false
            }
            None => true,
        });
        for (offsets, answer, took) in answered {
            self.committed(&offsets, &answer, took);
        }
    }

    fn committed(&self, offsets: &[(Partition, Offset)], answer: &KafkaResult<()>, took: Duration) {
        self.assignment.count_commit(took, answer.is_err());
        self.note(offsets, answer);
    }

    fn note(&self, offsets: &[(Partition, Offset)], answer: &KafkaResult<()>) {
        if let Err(error) = answer {
            tracing::warn!("cannot commit offsets (advice only, the journal decides), trying again: {error}");
        }
        for (partition, offset) in offsets {
            match answer {
                Ok(()) => self.assignment.committed(partition, *offset),
                Err(_) => self.assignment.lanes.board.commit_again(partition.clone()),
            }
        }
    }
}
