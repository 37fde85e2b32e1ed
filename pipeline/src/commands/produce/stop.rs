//! The wish to stop, and waiting that heeds it.
//!
//! In: Ctrl-C and SIGTERM. Out: [`Stop`], which every thread and task of the command holds. Invariant: no wait outlives the
//! wish; the second signal ends the process at once.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether to stop.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Stop {
    token: CancellationToken,
    io: Handle,
}

impl Stop {
    /// One that nobody has wished for yet.
    pub(in crate::commands) fn new(io: &Handle) -> Self {
        Self { token: CancellationToken::new(), io: io.clone() }
    }

    /// One that Ctrl-C and SIGTERM raise.
    pub(in crate::commands) fn on_signal(io: &Handle) -> anyhow::Result<Self> {
        let stop = Self::new(io);
        let token = stop.token.clone();
        let _inside = io.enter();
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (mut int, mut term) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        io.spawn(async move {
            loop {
                tokio::select! { _ = int.recv() => (), _ = term.recv() => () }
                if token.is_cancelled() {
                    std::process::exit(130);
                }
                token.cancel();
            }
        });
        Ok(stop)
    }

    /// One that is raised with this one, and can be raised alone.
    pub(in crate::commands) fn child(&self) -> Self {
        Self { token: self.token.child_token(), io: self.io.clone() }
    }

    pub(in crate::commands) fn raise(&self) {
        self.token.cancel();
    }

    pub(in crate::commands) fn is_raised(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends when it is raised.
    pub(in crate::commands) async fn raised(&self) {
        self.token.cancelled().await;
    }

    /// What `work` gives, on the calling thread, which must not be one of the runtime's; `None` if the stop came first.
    pub(in crate::commands) fn block_on<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        if self.is_raised() {
            return None; // at the end of the process the runtime may already be gone
        }
        self.io.block_on(async {
            tokio::select! { biased; () = self.token.cancelled() => None, done = work => Some(done) }
        })
    }

    /// What `work` gives, whether it is to stop or not: for what is cleaned up.
    pub(in crate::commands) fn at_the_end<T>(&self, work: impl Future<Output = T>) -> T {
        self.io.block_on(work)
    }

    /// Waits, unless it is to stop: false then.
    pub(in crate::commands) fn wait(&self, duration: Duration) -> bool {
        duration.is_zero() && !self.is_raised() || self.block_on(async move { tokio::time::sleep(duration).await }).is_some()
    }
}
