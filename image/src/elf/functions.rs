//! Where the functions of a file begin and end, and what they are called.
//!
//! Machine code can be decoded only from the right byte on, and padding or
//! tables between functions decode to nonsense; so the scan follows these
//! bounds and starts afresh at each.
//! They come from both symbol tables and from `.eh_frame`.

use super::file::{Elf, Refused};
use super::frames;
use object::LittleEndian as Le;
use object::elf;
use object::read::elf::Sym;
use std::collections::BTreeMap;

/// Symbols whose presence shows that a file asks for the processor's features.
const CPU_MODEL_SYMBOLS: [&[u8]; 6] = [
    b"__cpu_model",
    b"__cpu_features2",
    b"__cpu_indicator_init",
    b"__get_cpu_features",
    b"__x86_get_cpuid_feature_leaf",
    b"_dl_x86_get_cpu_features",
];

/// One function, without a name if only its frame description is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Function {
    pub end: u64,
    pub name: Option<String>,
}

/// What the symbol tables and frames say, by start address.
#[derive(Debug, Default)]
pub(super) struct Functions {
    pub by_start: BTreeMap<u64, Function>,
    pub has_ifunc_symbol: bool,
    pub has_cpu_model: bool,
}

impl Functions {
    pub fn read(file: &Elf) -> Result<Functions, Refused> {
        let mut functions = Functions::default();
        for kind in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
            let table = file.sections.symbols(Le, file.data, kind)?;
            for symbol in table.iter() {
                functions.add_symbol(symbol, symbol.name(Le, table.strings()).unwrap_or_default());
            }
        }
        if let Some(section) = file.section(b".eh_frame")? {
            for range in frames::functions(section) {
                let function = functions.by_start.entry(range.start).or_default();
                function.end = function.end.max(range.end);
            }
        }
        Ok(functions)
    }

    fn add_symbol(&mut self, symbol: &elf::Sym64<Le>, name: &[u8]) {
        self.has_cpu_model |= CPU_MODEL_SYMBOLS.contains(&name);
        if symbol.is_undefined(Le) || ![elf::STT_FUNC, elf::STT_GNU_IFUNC].contains(&symbol.st_type()) {
            return;
        }
        self.has_ifunc_symbol |= symbol.st_type() == elf::STT_GNU_IFUNC;
        let start = symbol.st_value(Le);
        let function = self.by_start.entry(start).or_default();
        function.end = function.end.max(start.saturating_add(symbol.st_size(Le)));
        // A resolver's own name says less than that of the code it shares an address with.
        if function.name.is_none() && !name.is_empty() {
            function.name = Some(String::from_utf8_lossy(name).into_owned());
        }
    }

    /// The name that a finding at `address` is reported under.
    pub fn name_at(&self, address: u64) -> String {
        let mut within = self.by_start.range(..=address).rev().take(NESTING_MAX);
        match within.find(|(_, function)| address < function.end) {
            Some((_, Function { name: Some(name), .. })) => name.clone(),
            Some((start, _)) => format!("function at {start:#x}"),
            None => format!("code at {address:#x}"),
        }
    }
}

/// How many starts before an address are asked whether they reach over it.
const NESTING_MAX: usize = 8;
