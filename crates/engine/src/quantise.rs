//! Making a smaller model file of a larger one.

use crate::model::{c_path, read_head};
use crate::{Error, N_THREADS_MAX, context, init, log, part, sys};
use std::fs;
use std::io::BufWriter;
use std::path::Path;

/// A file's type: what most of its tensors become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileType {
    pub name: &'static str,
    id: sys::llama_ftype,
}

impl FileType {
    /// Every type that a file can be made of without a table of importance.
    pub const ALL: &[FileType] = &[
        FileType { name: "F32", id: sys::LLAMA_FTYPE_ALL_F32 },
        FileType { name: "F16", id: sys::LLAMA_FTYPE_MOSTLY_F16 },
        FileType { name: "BF16", id: sys::LLAMA_FTYPE_MOSTLY_BF16 },
        FileType { name: "Q4_0", id: sys::LLAMA_FTYPE_MOSTLY_Q4_0 },
        FileType { name: "Q4_1", id: sys::LLAMA_FTYPE_MOSTLY_Q4_1 },
        FileType { name: "Q5_0", id: sys::LLAMA_FTYPE_MOSTLY_Q5_0 },
        FileType { name: "Q5_1", id: sys::LLAMA_FTYPE_MOSTLY_Q5_1 },
        FileType { name: "Q8_0", id: sys::LLAMA_FTYPE_MOSTLY_Q8_0 },
        FileType { name: "Q2_K", id: sys::LLAMA_FTYPE_MOSTLY_Q2_K },
        FileType { name: "Q3_K", id: sys::LLAMA_FTYPE_MOSTLY_Q3_K_M },
        FileType { name: "Q4_K", id: sys::LLAMA_FTYPE_MOSTLY_Q4_K_M },
        FileType { name: "Q4_K_S", id: sys::LLAMA_FTYPE_MOSTLY_Q4_K_S },
        FileType { name: "Q4_K_M", id: sys::LLAMA_FTYPE_MOSTLY_Q4_K_M },
        FileType { name: "Q5_K", id: sys::LLAMA_FTYPE_MOSTLY_Q5_K_M },
        FileType { name: "Q5_K_S", id: sys::LLAMA_FTYPE_MOSTLY_Q5_K_S },
        FileType { name: "Q5_K_M", id: sys::LLAMA_FTYPE_MOSTLY_Q5_K_M },
        FileType { name: "Q6_K", id: sys::LLAMA_FTYPE_MOSTLY_Q6_K },
        FileType { name: "IQ4_NL", id: sys::LLAMA_FTYPE_MOSTLY_IQ4_NL },
        FileType { name: "IQ4_XS", id: sys::LLAMA_FTYPE_MOSTLY_IQ4_XS },
        FileType { name: "TQ1_0", id: sys::LLAMA_FTYPE_MOSTLY_TQ1_0 },
        FileType { name: "TQ2_0", id: sys::LLAMA_FTYPE_MOSTLY_TQ2_0 },
        FileType { name: "Q1_0", id: sys::LLAMA_FTYPE_MOSTLY_Q1_0 },
        FileType { name: "Q2_0", id: sys::LLAMA_FTYPE_MOSTLY_Q2_0 },
    ];

    /// By its name, whatever the case.
    pub fn from_name(name: &str) -> Option<FileType> {
        FileType::ALL.iter().copied().find(|file_type| file_type.name.eq_ignore_ascii_case(name))
    }
}

/// How to make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantise {
    pub file_type: FileType,
    /// Every matrix in the one type, instead of some in a better one.
    pub pure: bool,
    pub n_threads: u32,
}

/// Writes `output`, which appears whole or not at all. The input must be of floats, or as good as them; or of TQ1_0 if
/// it is to be TQ2_0: then no weight changes.
pub fn quantise(input: &Path, output: &Path, how: Quantise) -> Result<(), Error> {
    init();
    context::check("n_threads", how.n_threads, 1, N_THREADS_MAX)?;
    let (head, _) = read_head(input)?;
    let part = part::part_of(output);
    if part::is_same(input, output) || part::is_same(input, &part) {
        let want = "another file than the input, also with .part behind its name".to_owned();
        return Err(Error::Setting { name: "the output", value: output.display().to_string(), want });
    }
    let file = fs::File::create(&part).map_err(part::error(output))?;
    if how.file_type.id == sys::LLAMA_FTYPE_MOSTLY_TQ2_0 && !how.pure && head.has_tq1_0() {
        return match write_as_tq2_0(&head, input, output, file) {
            Ok(()) => fs::rename(&part, output).map_err(part::error(output)),
            Err(error) => {
                let _ = fs::remove_file(&part);
                Err(error)
            }
        };
    }
    let (from, to) = (c_path(input)?, c_path(&part)?);
    // SAFETY: takes nothing, returns a plain struct.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.nthread = how.n_threads as i32;
    params.ftype = how.file_type.id;
    params.pure_ = how.pure;
    params.allow_requantize = true;
    log::clear();
    // SAFETY: both names end with a zero, and the settings hold no pointer.
    let failed = unsafe { sys::llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const params) };
    if failed != 0 {
        // What is left of a failed attempt is of no use; if it cannot be removed, the error below says enough.
        let _ = fs::remove_file(&part);
        return Err(log::refused("quantise the model"));
    }
    fs::rename(&part, output).map_err(part::error(output))
}

/// The same weights in a form that is read faster.
fn write_as_tq2_0(head: &gguf::Gguf, input: &Path, output: &Path, file: fs::File) -> Result<(), Error> {
    let path = input.display().to_string();
    let mut from =
        fs::File::open(input).map_err(|e| Error::File { path: path.clone(), why: e.to_string() })?;
    match head.write_as_tq2_0(&mut from, BufWriter::new(file)) {
        Ok(_) => Ok(()),
        Err(gguf::Error::Write { why }) => Err(Error::Write { path: output.display().to_string(), why }),
        Err(why) => Err(Error::Broken { path, why }),
    }
}
