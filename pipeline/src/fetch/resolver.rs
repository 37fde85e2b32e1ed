//! Host names to addresses, and only to those that may be connected to.
//!
//! In: a name, whenever the web client opens a connection. Out: the addresses that it then connects to. Invariant: what was
//! checked is what is used, so that a name which means one address now and another one later (rebinding) gains nothing.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::may_connect;

/// Where addresses come from.
pub(super) trait Lookup: Send + Sync + 'static {
    /// All addresses of a host.
    fn lookup(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, Arc<io::Error>>>;
}

/// The resolver that the web client is given.
pub(super) struct Checked {
    pub lookup: Arc<dyn Lookup>,
    pub private: Arc<[IpNet]>,
}

/// None of a host's addresses may be connected to.
#[derive(Debug, thiserror::Error)]
#[error("its address {address} is not public: list its network in fetch.private if that is meant")]
pub(super) struct NotPublic {
    address: IpAddr,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, private) = (self.lookup.lookup(name.as_str()), Arc::clone(&self.private));
        async move {
            let found = found.await?;
            let first = *found.first().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))?;
            let fit: Vec<_> = found.into_iter().filter(|address| may_connect(*address, &private)).collect();
            if fit.is_empty() {
                return Err(NotPublic { address: first }.into());
            }
            // Port 0: the client puts in the URI's.
            Ok(Box::new(fit.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        }
        .boxed()
    }
}

/// The system's resolver. It blocks one of tokio's threads for each host that it is asked for, and cannot be stopped; so it is
/// asked for one host once at a time, and their number is bounded by the allow-list.
#[derive(Default)]
pub(super) struct System(Mutex<HashMap<String, Asked>>);

type Asked = Shared<BoxFuture<'static, Result<Vec<IpAddr>, Arc<io::Error>>>>;

impl Lookup for System {
    fn lookup(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, Arc<io::Error>>> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked.get(host).filter(|asked| asked.peek().is_none()) {
            return asked.clone().boxed();
        }
        let name = host.to_owned();
        let asking = tokio::spawn(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(Arc::new)?;
            Ok(found.map(|address| address.ip()).collect())
        });
        let asking = asking.map(|found| found.unwrap_or_else(|error| Err(Arc::new(error.into())))).boxed().shared();
        asked.insert(host.to_owned(), asking.clone());
        asking.boxed()
    }
}
