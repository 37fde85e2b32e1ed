//! `facestream dlq`: look at dead letters, and send what they hold again.
//!
//! In: the dead-letter topic, read from its beginning to its end as of now. Out: text for people, or JSON; and what `retry` sends.
//! Invariant: only `retry` writes, and a letter is ended (a tombstone under its key, in its partition) only once its original has
//! been acknowledged: whatever happens, a message is rather sent twice than lost.

mod fold;
mod ls;
mod retry;
mod select;
mod send;
mod show;

use facestream_schemas::dead_letter::{Facts, Headers};
use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::message::{BorrowedMessage, Message as _};

use self::fold::{Folded, Letter, Place, Seen};
use super::read::{self, Reader};
use super::{Failure, Given, plain, print};
use crate::config::{Config, Needs, topic_mistake};

/// What these commands need of the configuration.
const NEEDS: Needs = Needs { topics: false, store: false };

const EXAMPLES: &str = "Examples:
  facestream dlq ls                                  one line a letter
  facestream dlq ls --reason decode_error --since 2h
  facestream dlq show frames/0/4711 --save bad.jpg   one of them whole, and its value
  facestream dlq retry frames/0/4711                 send it again to the topic that it came from
  facestream dlq retry --all --reason fetch_error --dry-run

Of the configuration [kafka] and [dead_letters] are needed. The topic is read from its beginning each time, in about 1 KB of \
memory a letter; what is retried leaves it by a tombstone, so that it should be compacted (cleanup.policy=compact,delete).";

/// Look at messages that failed, and send them again once what was wrong is mended
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Retry(retry::Args),
}

/// Where the letters are.
#[derive(Clone, Debug, clap::Args)]
struct Where {
    /// The dead-letter topic [default: the configuration's]
    #[arg(long)]
    topic: Option<String>,
    #[command(flatten)]
    given: Given,
}

/// Carries the command out: the exit code.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    match &args.command {
        Command::Ls(args) => ls::run(args).map(|()| 0),
        Command::Show(args) => show::run(args).map(|()| 0),
        Command::Retry(args) => retry::run(args),
    }
}

/// What all of them work with.
struct Ground {
    config: Config,
    topic: String,
    bar: ProgressBar,
    reader: Reader,
}

impl Ground {
    fn open(place: &Where) -> anyhow::Result<Self> {
        let (config, _) = place.given.load(NEEDS)?;
        let topic = place.topic.clone().unwrap_or_else(|| config.dead_letters.topic.clone());
        if topic.is_empty() {
            let text = "no dead-letter topic is configured: set dead_letters.topic, or name one with --topic";
            return Err(Failure::Usage(text.to_owned()).into());
        }
        if let Some(mistake) = topic_mistake(&topic) {
            return Err(Failure::Usage(mistake).into());
        }
        let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} records  {eta} left")?;
        let bar = ProgressBar::new(0).with_style(style);
        let reader = Reader::connect(&config.kafka, bar.clone())?;
        Ok(Self { config, topic, bar, reader })
    }

    /// The letters that are there now.
    fn letters(&self) -> anyhow::Result<Folded> {
        let Some(ends) = self.reader.ends(&self.topic)? else {
            return Err(Failure::Usage(format!("there is no topic {} at {}", self.topic, self.config.kafka.brokers)).into());
        };
        let mut folded = Folded::default();
        self.bar.set_length(ends.values().map(|(low, high)| (high - low).max(0) as u64).sum());
        self.reader.walk(&self.topic, ends, &mut |message| {
            self.bar.inc(1);
            folded.take(seen(message));
            Ok(())
        })?;
        self.bar.finish_and_clear();
        Ok(folded)
    }

    /// The letter of this key, or an error that says what is near.
    fn letter<'a>(&self, folded: &'a Folded, key: &str) -> Result<&'a Letter, String> {
        folded.find(key).ok_or_else(|| {
            let near = folded.near(key);
            let mend =
                if near.is_empty() { "see `facestream dlq ls`".to_owned() } else { format!("did you mean {}?", near.join(", ")) };
            format!("there is no dead letter {} in {}: {mend}", plain(key), self.topic)
        })
    }
}

/// What folding needs of a message: nothing of its value but the size.
fn seen<'a>(message: &'a BorrowedMessage<'_>) -> Seen<'a> {
    let facts = |headers: Headers| Facts::parse(message.key(), &headers);
    Seen {
        place: Place { partition: message.partition(), offset: message.offset() },
        key: message.key(),
        letter: message.payload().map(|value| (value.len() as u64, facts(read::headers(message)))),
        written: read::written(message),
    }
}
