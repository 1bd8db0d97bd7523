//! rpc-worker with models that a bench needs, each served as an expert of its own.

use super::worker::program;
use crate::progress::Progress;
use crate::tool;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// A model is there by then.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);
const ASK_TIME_MAX: Duration = Duration::from_secs(2);

/// One model to serve: its file, the expert's name, and whether it makes vectors.
pub struct Wanted<'a> {
    pub file: &'a Path,
    pub expert: &'static str,
    pub makes_vectors: bool,
}

/// What a bench is given for it.
pub struct Place<'a> {
    /// A built rpc-worker, or none to build one.
    pub worker: Option<&'a Path>,
    pub out: &'a Path,
    pub yes: bool,
    /// For logs, and for what the worker is told.
    pub folder: &'a Path,
}

/// rpc-worker, for as long as this is kept.
pub struct Served {
    child: Child,
    address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    pub fn start(place: &Place<'_>, wanted: &[Wanted<'_>], progress: &Progress) -> Result<Served> {
        let worker = program("rpc-worker", place.worker, place.out, place.yes, progress)?;
        let step = progress.step("models", None);
        let models = place.folder.join("models");
        fs::create_dir_all(&models).with_context(|| format!("making {}", models.display()))?;
        let mut experts = vec![];
        for Wanted { file, expert, makes_vectors } in wanted {
            let from = fs::canonicalize(file).with_context(|| format!("{}", file.display()))?;
            let name = format!("{expert}.gguf");
            let _ = fs::remove_file(models.join(&name));
            // Of one file system they share the bytes.
            fs::hard_link(&from, models.join(&name))
                .or_else(|_| fs::copy(&from, models.join(&name)).map(drop))
                .with_context(|| format!("bringing {}", from.display()))?;
            let (purpose, context) = if *makes_vectors { ("embeddings", 512) } else { ("chat", 2048) };
            // The type of its weights is only said in answers, and nobody reads it here.
            let expert = json!({
                "name": expert, "model": name, "quantisation": "F32", "use": purpose, "context": context, "slots": 1,
            });
            experts.push(json!({ "expert": expert, "persona": "" }));
        }
        let told = place.folder.join("assignment.json");
        let assignment = json!({ "generation": 1, "build": "", "experts": experts, "stages": [] });
        fs::write(&told, assignment.to_string()).with_context(|| format!("writing {}", told.display()))?;
        // Free at this moment; whoever takes it meanwhile makes this fail, and nothing else.
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).context("no free port")?;
        let log = place.folder.join("served.log");
        let said = File::create(&log).with_context(|| format!("writing {}", log.display()))?;
        let mut command = tool::command(&worker.display().to_string());
        command.args(["--listen", &address.to_string(), "--stages", "127.0.0.1:0"]);
        command.arg("--models").arg(&models).arg("--assignment").arg(&told);
        command.env("OMP_WAIT_POLICY", "passive").stderr(said);
        let child = command.spawn().with_context(|| format!("starting {}", worker.display()))?;
        let mut served = Served { child, address };
        let until = Instant::now() + LOAD_TIME_MAX;
        while !wanted.iter().all(|wanted| served.has(wanted.expert)) {
            if let Ok(Some(status)) = served.child.try_wait() {
                bail!("rpc-worker ended with {status}; see {}", log.display());
            }
            ensure!(Instant::now() < until, "the models were not there in time; see {}", log.display());
            std::thread::sleep(Duration::from_millis(200));
        }
        step.done("served");
        Ok(served)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn has(&self, expert: &str) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.address, ASK_TIME_MAX)?;
            stream.set_read_timeout(Some(ASK_TIME_MAX))?;
            stream.write_all(b"GET /v1/models HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")?;
            let mut told = String::new();
            stream.take(16 << 10).read_to_string(&mut told)?;
            Ok(told)
        };
        ask().is_ok_and(|told| told.contains(&format!("\"{expert}\"")))
    }
}

/// A file of the repository, unless another is named.
pub fn data(named: Option<&Path>, usual: &str) -> Result<PathBuf> {
    match named {
        Some(file) => Ok(file.to_path_buf()),
        None => Ok(crate::build::repository()?.join(usual)),
    }
}
