//! Decodes the code of one file and finds what a Core 2 cannot execute.
//!
//! Every executable byte is decoded, function by function; what lies between
//! functions is decoded too, because hand-written assembly often has no bounds.
//! Whether a finding is allowed is not known here; see `floor`.

use super::features::{DECODE_AS_CORE_2, above_floor};
use super::file::{Elf, Mapped, Refused};
use super::functions::Functions;
use iced_x86::{Code, CpuidFeature, Decoder, FlowControl, Instruction, Mnemonic, RflagsBits};
use object::LittleEndian as Le;
use object::elf;
use object::read::elf::SectionHeader;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// How far a reader of TZCNT's carry flag is looked for.
const CARRY_READ_WITHIN: u32 = 8;

/// One kind of instruction in one function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    pub symbol: String,
    /// As CPUID's documentation names it: `SSE4_1`, `LZCNT`, `AVX512F`.
    pub feature: String,
    /// Of the first of them.
    pub mnemonic: String,
    pub address: u64,
    pub n_times: usize,
}

/// How a file finds out what the processor can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dispatch {
    /// IFUNC symbols or IRELATIVE relocations: the loader picks.
    pub ifunc: bool,
    /// It asks the processor itself.
    pub cpuid: bool,
    /// It asks the compiler's or the C library's table.
    pub cpu_model: bool,
}

impl Dispatch {
    pub fn is_shown(self) -> bool {
        self.ifunc || self.cpuid || self.cpu_model
    }
}

#[derive(Debug, Default)]
pub(super) struct Scan {
    pub hits: Vec<Hit>,
    pub dispatch: Dispatch,
    pub n_bytes: u64,
}

/// Findings while they are gathered: by function and feature.
type Found = BTreeMap<(String, String), (Instruction, usize)>;

pub(super) fn scan(data: &[u8]) -> Result<Scan, Refused> {
    let file = Elf::parse(data)?;
    let functions = Functions::read(&file)?;
    let mut scan = Scan {
        dispatch: Dispatch {
            ifunc: functions.has_ifunc_symbol || has_irelative(&file)?,
            cpuid: false,
            cpu_model: functions.has_cpu_model,
        },
        ..Scan::default()
    };
    let mut found = Found::new();
    for code in file.code()? {
        scan.n_bytes += code.bytes.len() as u64;
        for piece in pieces(code, &functions) {
            scan.dispatch.cpuid |= scan_piece(piece, &functions, &mut found);
        }
    }
    scan.hits = found
        .into_iter()
        .map(|((symbol, feature), (first, n_times))| Hit {
            symbol,
            feature,
            mnemonic: format!("{:?}", first.mnemonic()).to_lowercase(),
            address: first.ip(),
            n_times,
        })
        .collect();
    Ok(scan)
}

/// Cuts code where a function starts or ends.
fn pieces<'a>(code: Mapped<'a>, functions: &Functions) -> Vec<Mapped<'a>> {
    let Some(end) = code.address.checked_add(code.bytes.len() as u64) else { return vec![code] };
    let mut cuts = vec![code.address, end];
    for (start, function) in functions.by_start.range(code.address..end) {
        cuts.extend([*start, function.end.min(end)]);
    }
    cuts.sort_unstable();
    cuts.dedup();
    let piece = |pair: &[u64]| {
        let at = |address: u64| (address - code.address) as usize;
        Mapped { address: pair[0], bytes: &code.bytes[at(pair[0])..at(pair[1])] }
    };
    cuts.windows(2).map(piece).collect()
}

/// Adds to `found`; true if the piece asks the processor what it can do.
fn scan_piece(piece: Mapped<'_>, functions: &Functions, found: &mut Found) -> bool {
    let above = above_floor_table();
    let mut asks_cpuid = false;
    let mut decoder = Decoder::with_ip(64, piece.bytes, piece.address, DECODE_AS_CORE_2);
    let mut instruction = Instruction::default();
    let mut carry = CarryWatch::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        asks_cpuid |= instruction.code() == Code::Cpuid;
        if let Some(feature) = above[instruction.code() as usize] {
            note(found, functions, &instruction, format!("{feature:?}"));
        }
        if let Some(tzcnt) = carry.step(&instruction) {
            note(found, functions, &tzcnt, "BMI1".to_string());
        }
    }
    asks_cpuid
}

fn note(found: &mut Found, functions: &Functions, instruction: &Instruction, feature: String) {
    let symbol = functions.name_at(instruction.ip());
    found.entry((symbol, feature)).or_insert((*instruction, 0)).1 += 1;
}

/// Finds the TZCNT that is meant as one: code that reads its carry flag.
///
/// `bsf` leaves the carry flag undefined, so no compiler reads it after one.
#[derive(Default)]
struct CarryWatch {
    open: Option<(Instruction, u32)>,
}

impl CarryWatch {
    /// The TZCNT whose carry this instruction reads.
    fn step(&mut self, instruction: &Instruction) -> Option<Instruction> {
        if instruction.mnemonic() == Mnemonic::Tzcnt {
            self.open = Some((*instruction, CARRY_READ_WITHIN));
            return None;
        }
        let (tzcnt, left) = self.open.take()?;
        if instruction.rflags_read() & RflagsBits::CF != 0 {
            return Some(tzcnt);
        }
        let is_over = instruction.flow_control() != FlowControl::Next
            || instruction.rflags_modified() & RflagsBits::CF != 0
            || left == 0;
        self.open = (!is_over).then(|| (tzcnt, left - 1));
        None
    }
}

/// One look-up instead of a search for each of millions of instructions.
fn above_floor_table() -> &'static [Option<CpuidFeature>] {
    static TABLE: OnceLock<Vec<Option<CpuidFeature>>> = OnceLock::new();
    TABLE.get_or_init(|| Code::values().map(above_floor).collect())
}

fn has_irelative(file: &Elf) -> Result<bool, Refused> {
    for section in file.sections.iter() {
        if let Some((relocations, _)) = section.rela(Le, file.data)?
            && relocations.iter().any(|r| r.r_type(Le, false) == elf::R_X86_64_IRELATIVE)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
