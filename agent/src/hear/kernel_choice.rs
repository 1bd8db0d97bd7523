//! Whose kernels run: `--kernels`, or DUET_KERNELS, or the best that this processor has.

use anyhow::bail;
use kernels::Level;
use kernels::hook::{Mode, set_mode};

/// The environment's word, for a unit's drop-in.
const VARIABLE: &str = "DUET_KERNELS";

/// The hook of attention reads ggml's tensors: another layout must not compile.
const _: () = {
    use std::mem::offset_of;
    use whisper_rs_sys::ggml_tensor as tensor;
    let [ne, nb, op_params, src, data] = kernels::hook::attention::Tensor::OFFSETS;
    assert!(ne == offset_of!(tensor, ne) && nb == offset_of!(tensor, nb));
    assert!(op_params == offset_of!(tensor, op_params));
    assert!(src == offset_of!(tensor, src) && data == offset_of!(tensor, data));
};

/// Takes the choice for the whole program and gives its name.
pub fn take(asked: Option<&str>) -> anyhow::Result<String> {
    let set = std::env::var(VARIABLE).ok();
    let name = asked.or(set.as_deref()).unwrap_or("ours");
    set_mode(if name == "stock" { Mode::Stock } else { Mode::Ours });
    let level = match name {
        "stock" => return Ok(name.to_string()),
        "ours" => Level::of_this_processor(),
        other => match Level::named(other) {
            Some(level) => level,
            None => bail!("there are no kernels {other:?}: say ours, stock, sse2, ssse3, sse41 or avx2"),
        },
    };
    if !kernels::force(level) {
        bail!("this processor does not have {name}");
    }
    Ok(level.name().to_string())
}
