//! Keeps what the owner edited on the pages of the nodes, so that it outlives a power cut of all of them.
//!
//! Each node gossips a hash of its book. One whose hash differs is asked by a signed order for what it has, and is told,
//! signed by the authority, what is known here; among each other the nodes tell it by themselves.

use super::telling::AGENT_PORT;
use super::{Enrolment, Watcher, control};
use crate::disk::{read_limited, write_whole};
use crate::serve::Shared;
use admission::{EDIT_PATH, EDITS_MAX, Edits, EditsPart, NodeId, SignedEdit, Wish};
use anyhow::{Context, Result, bail};
use gossip::Picture;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at what the nodes say.
const TURN: Duration = Duration::from_secs(2);
/// A node's new hash takes some seconds to come here; one that cannot be asked is left alone as long.
const AGAIN: Duration = Duration::from_secs(15);
/// All texts, each byte as six, with their names.
const FILE_BYTES_MAX: usize = 2 << 20;

/// Never ends.
pub(super) async fn serve(enrolment: Arc<Enrolment>, shared: Arc<Shared>) {
    let mut book = read(&enrolment.out).unwrap_or_else(|error| {
        shared.desk().note(format!("{error:#}; the nodes' own are taken"), shared.now_ms());
        Edits::default()
    });
    let mut not_before: BTreeMap<NodeId, Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(TURN).await;
        let Some(picture) = enrolment.watcher.get().map(Watcher::picture) else { continue };
        let now = Instant::now();
        not_before.retain(|_, at| *at > now);
        let Some((node, address, digest)) = differs(&picture, book.digest(), &not_before) else { continue };
        not_before.insert(node, now + AGAIN);
        let was = book.digest();
        // Nodes of an older release know nothing of it; who is away is asked again.
        if digest != 0 {
            let _ = learn(&mut book, &enrolment, &shared, node).await;
        }
        if book.digest() != was
            && let Err(error) = write(&enrolment.out, &book)
        {
            shared
                .desk()
                .note(format!("{error:#}; what was edited lies on the nodes alone"), shared.now_ms());
        }
        if book.digest() != digest {
            let _ = tell(&book, &enrolment, address).await;
        }
    }
}

/// A live node whose book is another than this, and that may be asked now.
fn differs(
    picture: &Picture,
    own: u64,
    not_before: &BTreeMap<NodeId, Instant>,
) -> Option<(NodeId, Ipv4Addr, u64)> {
    let live = picture.members.iter().filter(|member| member.is_alive() && member.role == "node");
    let mut told =
        live.filter_map(|member| Some((member.id, *member.address.ip(), member.facts.as_ref()?.edits)));
    told.find(|(node, _, digest)| *digest != own && !not_before.contains_key(node))
}

/// Takes what a node knows and this book does not.
async fn learn(book: &mut Edits, enrolment: &Enrolment, shared: &Shared, node: NodeId) -> Result<()> {
    let mut from = Some(0);
    // Each part brings at least one.
    for _ in 0..EDITS_MAX {
        let Some(next) = from else { break };
        let name = node.to_string();
        let text = control::report(enrolment, shared, (node, &name), Wish::Edits { from: next }).await?;
        let part: EditsPart = serde_json::from_str(&text).context("this is no part of what was edited")?;
        for edit in part.edits {
            // One that has no room here has none on the nodes either.
            let _ = book.take(edit);
        }
        from = part.next.filter(|next| Some(*next) > from);
    }
    Ok(())
}

async fn tell(book: &Edits, enrolment: &Enrolment, address: Ipv4Addr) -> Result<()> {
    let base = format!("http://{address}:{AGENT_PORT}");
    for edit in book.iter() {
        let signed = SignedEdit::new(enrolment.lock().authority_secret(), edit.clone())?;
        let reply = service::fetch::post_json(&base, EDIT_PATH, &signed.to_json()).await?;
        if reply.status != 200 {
            bail!("{address} does not take edits: {}", reply.status);
        }
    }
    Ok(())
}

fn path(out: &Path) -> PathBuf {
    out.join("state/edits.json")
}

fn read(out: &Path) -> Result<Edits> {
    let path = path(out);
    match read_limited(&path, FILE_BYTES_MAX) {
        Ok(text) => Edits::parse(&text).or_else(|error| {
            // It is written again soon, and what stands in it may be worth more than what the nodes have.
            let aside = path.with_extension("damaged");
            std::fs::rename(&path, &aside).with_context(|| format!("moving {}", path.display()))?;
            bail!("{} cannot be read ({error}) and lies in {} now", path.display(), aside.display())
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Edits::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(out: &Path, book: &Edits) -> Result<()> {
    write_whole(&path(out), book.to_json().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use admission::EditKind;

    #[test]
    fn a_damaged_book_is_set_aside_and_a_whole_one_is_read() {
        let out = std::env::temp_dir().join(format!("duet-edits-{}", std::process::id()));
        std::fs::create_dir_all(out.join("state")).unwrap();
        let mut book = Edits::default();
        book.edit(EditKind::Persona, "general", Some("Be kind.".into()), 7).unwrap();
        write(&out, &book).unwrap();
        assert_eq!(read(&out).unwrap(), book);
        std::fs::write(path(&out), "[{\"kind\":").unwrap();
        assert!(read(&out).unwrap_err().to_string().contains("edits.damaged"));
        assert_eq!(std::fs::read_to_string(out.join("state/edits.damaged")).unwrap(), "[{\"kind\":");
        assert_eq!(read(&out).unwrap(), Edits::default());
        std::fs::remove_dir_all(&out).unwrap();
    }
}
