//! Models that are cut over several nodes: the hands of `split::pipe`.
//!
//! `wire` reads and writes frames on a connection, `door` lets the stage before in, `stage` is a slice that this node
//! computes for others, `head` begins and ends every sequence by its `hands`, and `layers` is the slice itself with its
//! sampler. `keeper` follows what the node is to hold, `slices` removes what an older plan left, `told` is what it says of it, `say` is a ring by hand, and `inside`
//! one without connections.
//! All rings of this node share one thread for their connections: signs of life must not wait for a model, so each
//! model has a thread of its own.

pub mod door;
mod hands;
pub mod head;
pub mod inside;
pub mod keeper;
mod layers;
pub mod say;
pub mod slices;
pub mod stage;
pub mod told;
mod wire;

use crate::expert::serving;
use crate::probe;
use anyhow::{Context, bail};
use engine::Model;
use rustix::fs::{Advice, fadvise};
use split::expert::{Purpose, positions_of};
use split::place::Talks;
use split::wire::Hello;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// From the first word to a connection. Shorter than a silence, because whoever dials says nothing meanwhile.
const DIAL_TIME_MAX: Duration = Duration::from_millis(800);

/// What one stage is: its hello, and where the next one is.
#[derive(Clone, Debug)]
pub struct Seat {
    pub hello: Hello,
    pub next: SocketAddr,
}

/// Where a stage is in its ring, and how large its sequences are.
#[derive(Clone, Debug, PartialEq)]
pub struct Ring {
    /// The same for all stages of one ring: 32 hex digits.
    pub key: String,
    pub stage_idx: u16,
    pub n_stages: u16,
    pub next: SocketAddr,
    /// Positions that are asked for; a model that was trained for fewer gets fewer.
    pub n_ctx: u32,
    pub n_slots: u16,
}

/// Holds a slice to its seal, lets a child try it, and loads it.
pub fn load(slice: &Path, ring: &Ring) -> anyhow::Result<(Arc<Model>, Seat)> {
    let shown = || format!("{} is no good slice", slice.display());
    gguf::check_slice_file(slice).with_context(shown)?;
    let model = probe::load(slice).with_context(shown)?;
    let seat = seat(&model, ring)?;
    Ok((model, seat))
}

/// What a slice is in this ring.
pub fn seat(model: &Model, ring: &Ring) -> anyhow::Result<Seat> {
    let Some(says) = model.slice().cloned() else { bail!("it is a whole model, not a slice") };
    let number = |n: u64| u16::try_from(n).context("a model has fewer layers");
    let hello = Hello {
        build: build()?,
        model: says.model,
        key: key(&ring.key)?,
        stage_idx: ring.stage_idx,
        n_stages: ring.n_stages,
        first: number(says.layers.start)?,
        end: number(says.layers.end)?,
        of: number(says.of)?,
        n_embd: u32::try_from(model.n_embd())?,
        n_ctx: positions_of(Purpose::Chat, ring.n_ctx, model.n_ctx_trained() as u64),
        n_slots: ring.n_slots,
    };
    let is_at_its_place =
        says.is_first() == (ring.stage_idx == 0) && says.is_last() == (ring.stage_idx + 1 == ring.n_stages);
    if !is_at_its_place {
        let layers = says.layers;
        bail!("layers {layers:?} of {} cannot be stage {} of {}", says.of, ring.stage_idx, ring.n_stages);
    }
    Ok(Seat { hello, next: ring.next })
}

/// What a slice takes: weights, caches, and what computing takes.
fn bytes(model: &Model, hello: &Hello) -> u64 {
    let talks = Talks { purpose: Purpose::Chat, n_ctx: hello.n_ctx, n_slots: hello.n_slots.into() };
    serving::bytes(model, talks)
}

/// 32 hex digits as bytes.
fn key(digits: &str) -> anyhow::Result<[u8; 16]> {
    let number = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32);
    number.map(u128::to_be_bytes).context("the key of a ring is 32 hex digits")
}

/// What tells this program from any other: stages of two builds may round differently. The linker's own note would say it
/// in a few bytes, but the image has none: it would not be the same in every checkout.
pub fn build() -> anyhow::Result<String> {
    static BUILD: OnceLock<String> = OnceLock::new();
    if let Some(build) = BUILD.get() {
        return Ok(build.clone());
    }
    let hash = own_hash().context("its own program cannot be read")?;
    Ok(BUILD.get_or_init(|| format!("{}-{hash}", env!("CARGO_PKG_VERSION"))).clone())
}

fn own_hash() -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut program = File::open("/proc/self/exe")?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match program.read(&mut piece)? {
            0 => break,
            n => hasher.update(&piece[..n]),
        };
    }
    // The memory of a node is for models: what was read only for this need not stay.
    let _ = fadvise(&program, 0, None, Advice::DontNeed);
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_told_by_its_version_and_its_own_bytes() {
        let build = build().unwrap();
        let (version, hash) = build.split_once('-').unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert!(hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
        assert!(build.len() <= split::wire::BUILD_BYTES_MAX, "{build}");
    }

    #[test]
    fn a_key_is_thirty_two_hex_digits() {
        assert_eq!(key("000102030405060708090a0b0c0d0e0f").unwrap()[15], 15);
        for bad in ["", "00", "+00102030405060708090a0b0c0d0e0f0", "g00102030405060708090a0b0c0d0e0f"] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }
}
