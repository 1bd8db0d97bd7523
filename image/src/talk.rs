//! `duet ask` and `duet say`: a question to the cluster, and words that a node says aloud.
//!
//! Both are posted to a node's agent with a key, as any program may do; nothing goes by way of `duet serve` but the list
//! of nodes.

pub mod args;
mod told;

use crate::keys;
use crate::nodes;
use crate::serve::enrol::view::NodeView;
use anyhow::{Context, Result, bail};
use args::{AskArgs, SayArgs};
use serde_json::json;
use service::upstream::{self, Answering, Ask};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use told::{Reader, Told, plain};
use zeroize::Zeroizing;

/// Where every agent answers.
const PORT: u16 = 8000;
/// An old PC may have to load its model first.
const BEGIN_TIME_MAX: Duration = Duration::from_secs(60);
/// Nodes breathe while they think, so silence is longer than this only where one is gone.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Until nodes have heard of a key that was made just now.
const NEW_KEY_TIME_MAX: Duration = Duration::from_secs(20);
const NEW_KEY_AGAIN: Duration = Duration::from_millis(500);
const REFUSAL_BYTES_MAX: usize = 8 * 1024;

/// `duet ask`.
pub fn ask(args: AskArgs) -> Result<()> {
    let to = To::find(args.node.as_deref(), args.key_file.as_deref(), &args.out)?;
    let body = json!({ "text": args.text, "conversation": args.conversation, "workflow": args.workflow });
    run(async {
        let mut answer = to.post("/api/message", &body.to_string()).await?;
        let (mut reader, mut out) = (Reader::default(), std::io::stdout());
        while let Some(piece) = answer.piece(PAUSE_MAX).await {
            let piece = piece.with_context(|| format!("{} stopped in the middle of its answer", to.name))?;
            let told = reader.take(&piece).context("the node answers something else than events")?;
            for told in told {
                match told {
                    Told::Words(words) => show(&mut out, &words)?,
                    Told::By(by) => eprintln!("{by}"),
                    Told::Done => return show(&mut out, "\n"),
                    Told::Failed(why) => bail!("{why}"),
                }
            }
        }
        bail!("{} ended its answer before it was whole", to.name)
    })
}

/// `duet say`.
pub fn say(args: SayArgs) -> Result<()> {
    let to = To::find(args.node.as_deref(), args.key_file.as_deref(), &args.out)?;
    run(async {
        to.post("/api/say", &json!({ "text": args.text }).to_string()).await?;
        eprintln!("{} says it.", to.name);
        Ok(())
    })
}

/// A reader that closes early, such as `head`, is no error.
fn show(out: &mut impl Write, words: &str) -> Result<()> {
    match out.write_all(words.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Whom it goes to, and with which key.
struct To {
    name: String,
    address: SocketAddr,
    key: Zeroizing<String>,
    /// Nodes may not know it yet.
    is_new: bool,
}

impl To {
    fn find(node: Option<&str>, key_file: Option<&Path>, out: &Path) -> Result<To> {
        let (name, address) = match node.and_then(address) {
            Some(address) => (address.ip().to_string(), address),
            None => among(&nodes::list(out).context("to find a node by itself needs `duet serve`; --node 10.0.0.7 names one by its address")?.nodes, node)?,
        };
        let (key, is_new) = match (key_file.map(PathBuf::from), std::env::var("DUET_KEY").ok()) {
            (Some(file), _) => (keys::read_text(&file)?, false),
            (None, Some(key)) => (Zeroizing::new(key.trim().to_owned()), false),
            (None, None) => {
                keys::own(out).context("there is no key: set DUET_KEY, or name a file with --key-file")?
            }
        };
        Ok(To { name, address, key, is_new })
    }

    /// An answer that has begun; the node's own sentence where it refuses.
    async fn post(&self, path: &str, body: &str) -> Result<Answering> {
        let bearer = Zeroizing::new(format!("Bearer {}", *self.key));
        let until = Instant::now() + NEW_KEY_TIME_MAX;
        loop {
            let fields = [("authorization", bearer.as_str())];
            let ask =
                Ask { address: self.address, path, fields: &fields, body: Some(body.to_owned().into()) };
            let answer = upstream::ask(ask, BEGIN_TIME_MAX).await;
            let answer =
                answer.with_context(|| format!("{} ({}) does not answer", self.name, self.address))?;
            if answer.status == 200 {
                return Ok(answer);
            }
            if answer.status == 401 && self.is_new && Instant::now() < until {
                tokio::time::sleep(NEW_KEY_AGAIN).await;
                continue;
            }
            let status = answer.status;
            let why = answer.whole(REFUSAL_BYTES_MAX, PAUSE_MAX).await.unwrap_or_default();
            let why = plain(String::from_utf8_lossy(&why).trim());
            match why.is_empty() {
                true => bail!("{} answers with status {status}", self.name),
                false => bail!("{}: {why}", self.name),
            }
        }
    }
}

/// An address, with the agent's port where none is named.
fn address(node: &str) -> Option<SocketAddr> {
    node.parse().ok().or_else(|| Some(SocketAddr::new(node.parse::<IpAddr>().ok()?, PORT)))
}

/// The node of this name, or the first that is alive.
fn among(nodes: &[NodeView], name: Option<&str>) -> Result<(String, SocketAddr)> {
    let is_alive = |node: &&NodeView| node.gossip.as_deref() == Some("alive");
    let found = match name {
        Some(name) => nodes.iter().find(|node| node.name == name || node.id == name || node.mac == name),
        None => nodes.iter().find(is_alive),
    };
    let node = match (found, name) {
        (Some(node), _) => node,
        (None, Some(name)) => bail!("there is no PC '{name}'; `duet nodes list` shows them all"),
        (None, None) => bail!("no PC is alive; `duet nodes list` shows them all"),
    };
    let found = node.address.as_deref().and_then(address);
    Ok((node.name.clone(), found.with_context(|| format!("{} has no address yet", node.name))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_its_address_with_or_without_a_port() {
        assert_eq!(address("10.0.0.7"), "10.0.0.7:8000".parse().ok());
        assert_eq!(address("10.0.0.7:81"), "10.0.0.7:81".parse().ok());
        assert_eq!(address("fd00::1"), "[fd00::1]:8000".parse().ok());
        assert_eq!(address("kitchen"), None);
    }

    #[test]
    fn without_a_name_it_must_be_alive() {
        assert!(among(&[], None).unwrap_err().to_string().contains("no PC is alive"));
        assert!(among(&[], Some("kitchen")).unwrap_err().to_string().contains("no PC 'kitchen'"));
    }
}
