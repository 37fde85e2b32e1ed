//! `facestream models pull`: known models, from where their authors have them.
//!
//! In: names. Out: files in the model folder. Invariant: only bytes with the pinned sum ever get the final name; what was fetched before a
//! break is kept beside it, as `FILE.part`, and gone on from.

mod download;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use super::{Failure, print, usage};
use crate::models::registry::{Known, known};
use crate::models::{Folders, HAAR, sum};
use download::{Order, Patience};

const EXAMPLES: &str = "Examples:
  facestream models pull yunet
  facestream models pull yunet --url https://mirror.example/yunet_n_dynamic.onnx   the bytes have to be the same

What was cut off is gone on from; a file that is there already is left alone. Proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.";

/// Fetch known models, check their sha256, put them into the model folder
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Names as `facestream models ls` lists them
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Fetch it from here instead; for one name
    #[arg(long, value_parser = web_address)]
    url: Option<Url>,
}

/// An address that can be fetched from.
fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| "expected http://… or https://…".to_owned())
}

pub(super) fn run(args: &Args, folders: &Folders) -> anyhow::Result<()> {
    if args.url.is_some() && args.names.len() > 1 {
        return Err(Failure::Usage("--url is for one name".to_owned()).into());
    }
    // All mistakes before the first byte.
    let orders = args.names.iter().map(|name| order(name, args.url.as_ref(), folders)).collect::<Result<Vec<_>, _>>()?;
    for (known, order) in orders {
        let name = &known.name;
        if sum(&order.to).is_ok_and(|found| found == order.sha256) {
            print(&format!("{name} is there already: {}", order.to.display()))?;
            continue;
        }
        std::fs::create_dir_all(folders.folder()).with_context(|| format!("making the folder {}", folders.folder().display()))?;
        let bar = progress(name, order.bytes)?;
        let done = download::download(&order, Patience::USUAL, &bar);
        bar.finish_and_clear();
        done.map_err(|error| anyhow!(error)).with_context(|| format!("cannot fetch {name}"))?;
        print(&format!("{name} is in {} (licence: {})", order.to.display(), known.licence.text))?;
    }
    Ok(())
}

fn order(name: &str, instead: Option<&Url>, folders: &Folders) -> anyhow::Result<(&'static Known, Order)> {
    if name == HAAR {
        let text = "haar is not fetched: install Debian's package opencv-data, or name a cascade in haar.cascade";
        return Err(Failure::Usage(text.to_owned()).into());
    }
    let known = known(name).ok_or_else(|| usage(folders.unknown(name)))?;
    let how = known.get.as_deref().unwrap_or_default();
    let Some(pin) = &known.pin else {
        return Err(Failure::Usage(format!("{name} is not fetched ({}): {how}", known.licence.text)).into());
    };
    let url = match (instead, &known.url) {
        (Some(url), _) => url.clone(),
        (None, Some(url)) => url.parse().with_context(|| format!("the address of {name}"))?,
        (None, None) => return Err(Failure::Usage(format!("{name} has no address to fetch it from: {how}")).into()),
    };
    let order = Order { url, sha256: pin.sha256.clone(), bytes: pin.bytes, to: folders.folder().join(&pin.file) };
    Ok((known, order))
}

fn progress(name: &str, bytes: u64) -> anyhow::Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{prefix} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}")?;
    let bar = ProgressBar::new(bytes).with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}
