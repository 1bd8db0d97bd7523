//! One ELF file for x86-64, opened over its bytes.
//!
//! The parsing of headers is the `object` crate's; this adds what both the
//! closure and the scan ask for, and turns every oddity into a sentence.
//! It does not know paths.

use object::LittleEndian as Le;
use object::elf;
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, SectionTable};

pub(super) type Header = elf::FileHeader64<Le>;

/// Dynamic entries that are looked at; real files have under 200.
const DYNAMIC_MAX: usize = 100_000;

/// Why a file is no ELF file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Well-formed, but for another machine.
    Foreign(String),
    /// Damaged.
    Broken(String),
}

impl From<object::read::Error> for Refused {
    fn from(error: object::read::Error) -> Self {
        Refused::Broken(format!("damaged ELF file: {error}"))
    }
}

impl From<Refused> for String {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Foreign(why) | Refused::Broken(why) => why,
        }
    }
}

/// Headers, segments and sections; all of them checked to lie within `data`.
pub(super) struct Elf<'a> {
    pub data: &'a [u8],
    pub header: &'a Header,
    pub segments: &'a [elf::ProgramHeader64<Le>],
    pub sections: SectionTable<'a, Header>,
}

/// Bytes of the file and the address at which they are mapped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapped<'a> {
    pub address: u64,
    pub bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    pub fn parse(data: &'a [u8]) -> Result<Elf<'a>, Refused> {
        let ident =
            data.get(..20).ok_or_else(|| Refused::Broken("damaged ELF file: cut short".to_string()))?;
        if ident[4] != 2 || ident[5] != 1 || ident[18..20] != [62, 0] {
            return Err(Refused::Foreign("an ELF file for another machine than x86-64".to_string()));
        }
        let header = Header::parse(data)?;
        let segments = header.program_headers(Le, data)?;
        let sections = header.sections(Le, data)?;
        Ok(Elf { data, header, segments, sections })
    }

    /// Numbers and strings of the dynamic table, as the loader sees them.
    pub fn dynamic(&self) -> Result<Vec<(elf::DynamicTag, u64)>, Refused> {
        let mut entries = Vec::new();
        for segment in self.segments {
            for entry in segment.dynamic(Le, self.data)?.unwrap_or_default().iter().take(DYNAMIC_MAX) {
                if entry.d_tag(Le) == elf::DT_NULL {
                    break;
                }
                entries.push((entry.d_tag(Le), entry.d_val(Le)));
            }
        }
        Ok(entries)
    }

    /// The table that the strings of the dynamic entries lie in.
    pub fn dynamic_strings(&self, entries: &[(elf::DynamicTag, u64)]) -> Result<StringTable<'a>, Refused> {
        let value = |tag| entries.iter().find(|(t, _)| *t == tag).map(|(_, value)| *value);
        let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else {
            return Ok(StringTable::default());
        };
        for segment in self.segments.iter().filter(|s| s.p_type(Le) == elf::PT_LOAD) {
            if let Ok(Some(_)) = segment.data_range(Le, self.data, address, size) {
                let start = segment.p_offset(Le).wrapping_add(address - segment.p_vaddr(Le));
                return Ok(StringTable::new(self.data, start, start.saturating_add(size)));
            }
        }
        Err(Refused::Broken("damaged ELF file: the dynamic strings lie outside".to_string()))
    }

    /// The loader that the program asks for.
    pub fn interpreter(&self) -> Result<Option<String>, Refused> {
        for segment in self.segments {
            if let Some(path) = segment.interpreter(Le, self.data)? {
                return Ok(Some(String::from_utf8_lossy(path).into_owned()));
            }
        }
        Ok(None)
    }

    /// Everything that may be executed: sections where there are any, else segments.
    pub fn code(&self) -> Result<Vec<Mapped<'a>>, Refused> {
        let mut code = Vec::new();
        for section in self.sections.iter().filter(|s| s.sh_flags(Le).contains(elf::SHF_EXECINSTR)) {
            code.push(Mapped { address: section.sh_addr(Le), bytes: section.data(Le, self.data)? });
        }
        if code.is_empty() {
            for segment in self.segments {
                if segment.p_type(Le) == elf::PT_LOAD && segment.p_flags(Le).contains(elf::PF_X) {
                    let bytes = segment.data(Le, self.data).map_err(|()| outside())?;
                    code.push(Mapped { address: segment.p_vaddr(Le), bytes });
                }
            }
        }
        // Sections of a real file do not overlap, so their sum is no more than the file.
        if code.iter().map(|part| part.bytes.len()).sum::<usize>() > self.data.len() {
            return Err(Refused::Broken("damaged ELF file: its code is larger than the file".to_string()));
        }
        Ok(code)
    }

    /// The contents of the named section, if the file has it.
    pub fn section(&self, name: &[u8]) -> Result<Option<Mapped<'a>>, Refused> {
        match self.sections.section_by_name(Le, name) {
            None => Ok(None),
            Some((_, section)) => {
                Ok(Some(Mapped { address: section.sh_addr(Le), bytes: section.data(Le, self.data)? }))
            }
        }
    }
}

fn outside() -> Refused {
    Refused::Broken("damaged ELF file: a segment lies outside the file".to_string())
}
