//! `duet rpc`: carries stock llama.cpp clients of this PC to the memory of a node.
//!
//! Such a client is told `--rpc 127.0.0.1:50052` and knows no key. What it says goes to the node's agent as an upgrade
//! of HTTP that shows the key; the node reads every message of it before its server does.
//! It listens on loopback only, because whoever reaches it needs no key any more.

pub mod args;

use anyhow::{Context, Result, ensure};
use args::RpcArgs;
use service::{carry, upstream};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use zeroize::Zeroizing;

const PATH: &str = "/api/rpc";
const PROTOCOL: &str = "ggml-rpc";
/// The node lets a client wait for another that is just leaving.
const BEGIN_MAX: Duration = Duration::from_secs(15);
/// Longest key file, and longest sentence of a node's.
const TEXT_BYTES_MAX: usize = 1024;
/// After a failed accept, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Until it is stopped.
pub fn command(args: RpcArgs) -> Result<()> {
    ensure!(args.listen.ip().is_loopback(), "--listen takes loopback only: who reaches it needs no key");
    let key = Arc::new(key(&args.key_file)?);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
        let own = listener.local_addr().context("cannot tell the own address")?;
        eprintln!("llama.cpp clients of this PC find the node at --rpc {own}");
        tokio::select! {
            () = serve(listener, args.at, key) => Ok(()),
            stop = service::asked_to_stop() => stop.context("cannot hear signals"),
        }
    })
}

fn key(path: &Path) -> Result<Zeroizing<String>> {
    let text = crate::disk::read_limited(path, TEXT_BYTES_MAX);
    let text = Zeroizing::new(text.with_context(|| format!("cannot read {}", path.display()))?);
    let key = Zeroizing::new(text.trim().to_owned());
    let is_plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(is_plain, "{} holds no API key: it is the line that `duet keys add` prints", path.display());
    Ok(key)
}

async fn serve(listener: TcpListener, node: SocketAddr, key: Arc<Zeroizing<String>>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let key = key.clone();
        tokio::spawn(async move {
            if let Err(error) = one(client, node, &key).await {
                eprintln!("duet rpc: {error:#}");
            }
        });
    }
}

/// One connection of a client's; it opens several, one after the other.
async fn one(client: TcpStream, node: SocketAddr, key: &str) -> Result<()> {
    client.set_nodelay(true).context("cannot use the client's connection")?;
    let shown = Zeroizing::new(format!("Bearer {key}"));
    let fields = &[("authorization", shown.as_str())];
    let ask = upstream::Ask { address: node, path: PATH, fields, body: None };
    let carried = upstream::upgrade(ask, PROTOCOL, BEGIN_MAX).await;
    match carried.with_context(|| format!("the node {node} does not answer"))? {
        Ok(carried) => carry::both_ways(client, carried).await,
        Err(refused) => {
            let status = refused.status;
            let what = refused.whole(TEXT_BYTES_MAX, BEGIN_MAX).await.unwrap_or_default();
            let what = String::from_utf8_lossy(&what).trim_end().to_owned();
            anyhow::bail!("the node {node} refuses ({status}): {what}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_plain_line() {
        let path = std::env::temp_dir().join(format!("duet-rpc-key-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            key(&path).map(|key| key.to_string())
        };
        assert_eq!(read("duet-0123\n").unwrap(), "duet-0123");
        assert!(read("\n").is_err() && read("two words").is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(key(&path).is_err());
    }

    #[test]
    fn nobody_but_this_pc_is_carried() {
        let listen = SocketAddr::from(([10, 0, 0, 1], 50052));
        let args = RpcArgs { at: listen, key_file: "key".into(), listen };
        let refused = command(args).unwrap_err().to_string();
        assert!(refused.starts_with("--listen takes loopback only"), "{refused}");
    }
}
