//! The whole loop: pictures to a pipeline that runs somewhere, and its answers.
//!
//! In: inputs, and the configuration that the pipeline has, too. Out: what its events say of each picture, in the order of the inputs, and
//! where one is missing, which part is to blame (`diagnosis.rs`). Invariant: only events of the very messages that were sent count, and
//! reading begins where the topic ended before the first of them.

mod answers;
mod diagnosis;
mod post;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use facestream_schemas::Rejection;
use facestream_stages::order::Order;
use indicatif::ProgressBar;

use self::answers::Answers;
use self::post::{Place, Post};
use super::Work;
use super::annotated::Artist;
use super::inputs::Input;
use super::open::Opened;
use super::seen::{Failed, Seen};
use crate::commands::Failure;
use crate::commands::read::Reader;
use crate::config::{Config, Events};

/// What is written of a picture that no event came for.
const UNANSWERED: &str = "unanswered";

/// How pictures are sent.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Through a pipeline that runs")]
pub(super) struct Args {
    /// Send the pictures to the topic and wait for the events that a running pipeline answers with
    #[arg(long, conflicts_with_all = ["detector", "threshold", "workers"])]
    via_kafka: bool,
    /// Topic to send to [default: the configuration's, if it names one topic]
    #[arg(long, requires = "via_kafka")]
    topic: Option<String>,
    /// Upload pictures here: an S3, GCS or Azure prefix, or a folder [default: the first of these in fetch.allow]
    #[arg(long, value_name = "URL", requires = "via_kafka")]
    upload: Option<String>,
    /// Send the pictures themselves, not their addresses [default: where fetch.allow names no store]
    #[arg(long, requires = "via_kafka", conflicts_with = "upload")]
    inline: bool,
    /// How long to wait for an event, and from each to the next, once the brokers have answered
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "via_kafka", value_parser = timeout)]
    timeout: Duration,
    /// Key and camera of the messages
    #[arg(long, value_name = "ID", default_value = "detect", requires = "via_kafka")]
    source_id: String,
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).ok().filter(|timeout| !timeout.is_zero());
    timeout.ok_or_else(|| "expected a time such as 30s or 2m".to_owned())
}

impl Args {
    pub(super) fn is_wanted(&self) -> bool {
        self.via_kafka
    }

    /// Where pictures are uploaded; nothing where they go in their messages.
    fn place<'a>(&'a self, config: &'a Config) -> Option<&'a str> {
        let is_store = |uri: &&String| ["s3://", "gs://", "az://", "file://"].iter().any(|scheme| uri.starts_with(scheme));
        let allowed = || config.fetch.allow.iter().find(is_store);
        self.upload.as_ref().or_else(allowed).map(String::as_str).filter(|_| !self.inline)
    }
}

/// Both directions, connected.
pub(super) struct Line<'a> {
    config: &'a Config,
    events: &'a Events,
    reader: Reader,
    post: Post<'a>,
    timeout: Duration,
}

/// A picture that was sent.
struct Asked<'a> {
    number: usize,
    input: &'a Input,
    /// Where it was uploaded.
    uri: Option<String>,
}

impl<'a> Line<'a> {
    /// Connects, and sees that both topics are there.
    pub(super) fn connect(args: &'a Args, config: &'a Config, bar: &ProgressBar) -> anyhow::Result<Self> {
        let (topic, brokers) = (crate::commands::topic(args.topic.as_deref(), config), &config.kafka.brokers);
        let events = &config.events;
        if events.topic.is_empty() {
            let also = topic.err().map(|mistake| format!("; and {mistake}")).unwrap_or_default();
            let text = "--via-kafka waits for events, and no topic of theirs is configured: set events.topic, here and where the \
                        pipeline runs";
            return Err(Failure::Usage(format!("{text}{also}")).into());
        }
        let topic = topic?;
        let reader = Reader::connect(&config.kafka, bar.clone())?;
        for (what, name, mend) in [
            ("topic", topic, "create it, or name another with --topic"),
            ("events topic", &*events.topic, "create it, or change events.topic, here and where the pipeline runs"),
        ] {
            if reader.partitions(name)?.is_none() {
                return Err(Failure::Usage(format!("the {what} {name} does not exist at {brokers}: {mend}")).into());
            }
        }
        let post = Post::new(topic, &args.source_id, args.place(config), config, bar)?;
        Ok(Self { config, events, reader, post, timeout: args.timeout })
    }

    /// Sends all pictures, then shows `each` what came of them, in order. If events did not come: why.
    pub(super) fn run(
        &self,
        work: &Work<'_>,
        each: &mut dyn FnMut(Seen) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<String>> {
        let gone = || anyhow!("the events topic {} is gone", self.events.topic);
        let ends = self.reader.ends(&self.events.topic)?.ok_or_else(gone)?;
        let (mut asked, mut seen) = self.send(work);
        let mut artist = work.plan.is_some().then(|| Artist::new(self.config.envelope.max_pixels));
        let mut answers = Answers::new(self.post.topic());
        let (mut heard, mut shown) = (Instant::now(), Ok(()));
        self.reader.follow(&self.events.topic, &ends, &mut |message| {
            let answer = message.and_then(|message| answers.take(message, |place| asked.contains_key(place)));
            if let Some((place, answer)) = answer
                && let Some(asked) = asked.remove(&place)
            {
                heard = Instant::now();
                seen.insert(asked.number as u64, told(work, &mut artist, &asked, answer));
            }
            shown = std::iter::from_fn(|| seen.pop()).try_for_each(&mut *each);
            let is_over = shown.is_err() || asked.is_empty() || work.stop.is_raised() || heard.elapsed() > self.timeout;
            if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        shown?;
        let place = asked.keys().next().copied().filter(|_| !work.stop.is_raised());
        for (_, Asked { number, input, .. }) in asked {
            let error = match place {
                Some(_) => format!("no event came within {}", humantime::format_duration(self.timeout)),
                None => "it was stopped before an event came".to_owned(),
            };
            seen.insert(number as u64, Seen::failed(&input.name, Failed { status: UNANSWERED.into(), error }));
        }
        std::iter::from_fn(|| seen.pop()).try_for_each(each)?;
        place.map(|place| diagnosis::why(self.config, self.post.topic(), place)).transpose()
    }

    /// Sends every picture; what failed on the way is seen already.
    fn send<'w>(&self, work: &Work<'w>) -> (HashMap<Place, Asked<'w>>, Order<Seen>) {
        let (mut asked, mut seen) = (HashMap::new(), Order::default());
        for (number, input) in work.inputs.all.iter().enumerate() {
            let sent = work.stop.block_on(async {
                let opened = work.opener.open(input).await?;
                self.post.send(number, opened.bytes(input)?).await
            });
            match sent {
                None => break,
                Some(Ok((place, uri))) => drop(asked.insert(place, Asked { number, input, uri })),
                Some(Err(failed)) => seen.insert(number as u64, Seen::failed(&input.name, failed)),
            }
        }
        (asked, seen)
    }
}

/// An answer as the picture's result: with its name, with what to do where it failed, and with its copy drawn where one is wanted.
fn told(work: &Work<'_>, artist: &mut Option<Artist>, asked: &Asked<'_>, mut answer: Seen) -> Seen {
    answer.name.clone_from(&asked.input.name);
    match (&mut answer.outcome, work.plan, artist) {
        (Err(failed), ..) => failed.error += &mend(&failed.status, asked.uri.as_deref()),
        (Ok(found), Some(plan), Some(artist)) => {
            let draw = |opened: Result<Opened, Rejection>| {
                let picture = opened?.bytes(asked.input)?;
                artist.draw(plan, asked.number, &picture, &found.faces, &[])
            };
            let drawn = work.stop.block_on(work.opener.open(asked.input)).map_or_else(|| Err(anyhow!("it was stopped")), draw);
            answer.not_copied = drawn.err().map(|error| format!("{error:#}"));
        }
        _ => {}
    }
    answer
}

/// What to do about a status, for the end of its error.
fn mend(status: &str, uri: Option<&str>) -> String {
    let folder = uri.and_then(|uri| uri.rsplit_once('/')).map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
    let mend = match status {
        "fetch_refused" => {
            &*format!("where the pipeline runs, add \"{folder}\" to fetch.allow, or give --inline to send the picture itself")
        }
        "fetch_error" | "expired" => {
            "can the pipeline reach that place, with its [fetch.options]? --inline sends the picture itself"
        }
        "too_large" => "see envelope.max_bytes, fetch.max_bytes and envelope.max_pixels where the pipeline runs",
        "sampled_out" | "stale" => "the pipeline's load policy left it out: see [load] where it runs",
        "envelope_error" => "does [envelope] here say the same as where the pipeline runs?",
        _ => return String::new(),
    };
    format!(" ({mend})")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(arguments: &[&str]) -> Args {
        let own = ["detect", "--via-kafka"];
        Cli::parse_from(own.iter().chain(arguments)).args
    }

    #[test]
    fn pictures_go_where_the_pipeline_may_fetch_from_unless_told_otherwise() {
        let mut config = Config::default();
        let place = |arguments: &[&str], config: &Config| args(arguments).place(config).map(str::to_owned);
        assert_eq!(place(&[], &config), None);
        config.fetch.allow = ["https://host/a/", "s3://bucket/b/", "file:///c/"].map(str::to_owned).to_vec();
        assert_eq!(place(&[], &config).as_deref(), Some("s3://bucket/b/"));
        assert_eq!(place(&["--upload", "gs://other"], &config).as_deref(), Some("gs://other"));
        assert_eq!(place(&["--inline"], &config), None);
    }

    #[test]
    fn what_was_refused_says_what_to_allow() {
        assert!(mend("fetch_refused", Some("s3://bucket/x/ab.jpg")).contains("add \"s3://bucket/x/\" to fetch.allow"));
        assert_eq!(mend("decode_error", None), "");
    }

    #[test]
    fn a_timeout_is_a_time() {
        assert_eq!(timeout("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "0s", "soon", "5"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
