//! A package archive on loopback that offers exactly the packages of the lock file to mmdebstrap.
//!
//! With it a build takes the locked versions and nothing else, and needs no network once the packages
//! are in the cache. The packages were held to the lock file's hashes just before.

use super::lock::{Lock, Use};
use crate::tool;
use anyhow::{Context, Result, bail};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Any fixed date will do: apt only looks whether it is there.
const DATE: &str = "Thu, 09 Oct 2025 08:53:20 UTC";

pub struct Mirror {
    address: SocketAddr,
    suite: String,
    _stop: oneshot::Sender<()>,
}

struct Shelf {
    texts: BTreeMap<String, Bytes>,
    debs: BTreeMap<String, PathBuf>,
}

impl Mirror {
    pub fn start(lock: &Lock, debs: &Path) -> Result<Mirror> {
        let shelf = Arc::new(Shelf::new(lock, debs)?);
        let (stop, stopped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("starting the local package archive")?;
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("starting the local package archive")?;
        let address = listener.local_addr().context("the address of the local package archive")?;
        std::thread::spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(listener, shelf) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Mirror { address, suite: lock.suite.clone(), _stop: stop })
    }

    /// The line for mmdebstrap. Trusted, because apt has checked the signatures when the lock was written.
    pub fn source(&self) -> String {
        format!("deb [trusted=yes] http://{}/ {} main", self.address, self.suite)
    }
}

impl Shelf {
    fn new(lock: &Lock, debs: &Path) -> Result<Shelf> {
        let mut packages = String::new();
        let mut files = BTreeMap::new();
        for package in lock.used_for(Use::Root) {
            let file = debs.join(package.file_name());
            let control = tool::capture(tool::command("dpkg-deb").arg("--field").arg(&file))?;
            let place = format!("pool/{}.deb", package.sha256);
            let _ = write!(
                packages,
                "{}\nFilename: {place}\nSize: {}\nSHA256: {}\n\n",
                control.trim_end(),
                package.bytes,
                package.sha256
            );
            files.insert(format!("/{place}"), file);
        }
        if files.is_empty() {
            bail!("the lock file names no package for the root");
        }
        let index = "main/binary-amd64/Packages";
        let sum: String = Sha256::digest(&packages).iter().map(|byte| format!("{byte:02x}")).collect();
        let release = format!(
            "Suite: {0}\nCodename: {0}\nComponents: main\nArchitectures: amd64\nDate: {DATE}\nSHA256:\n {sum} {1} {index}\n",
            lock.suite,
            packages.len(),
        );
        let dists = format!("/dists/{}", lock.suite);
        let texts = BTreeMap::from([
            (format!("{dists}/Release"), Bytes::from(release)),
            (format!("{dists}/{index}"), Bytes::from(packages)),
        ]);
        Ok(Shelf { texts, debs: files })
    }

    async fn answer(&self, path: &str) -> Option<Bytes> {
        if let Some(text) = self.texts.get(path) {
            return Some(text.clone());
        }
        let file = self.debs.get(path)?;
        tokio::fs::read(file).await.ok().map(Bytes::from)
    }
}

async fn accept(listener: TcpListener, shelf: Arc<Shelf>) {
    // A failed accept is a client that went away; the next one may be fine.
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shelf = Arc::clone(&shelf);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let shelf = Arc::clone(&shelf);
                async move { Ok::<_, Infallible>(respond(shelf.answer(request.uri().path()).await)) }
            });
            // A broken connection shows in apt, which tries again.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn respond(body: Option<Bytes>) -> Response<Full<Bytes>> {
    let status = if body.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(body.unwrap_or_default()));
    *response.status_mut() = status;
    response
}
