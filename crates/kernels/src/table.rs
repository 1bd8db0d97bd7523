//! The table of kernels: filled once, by what the processor says of itself.

use crate::blocks::Blocks;
use crate::format::Weights;
use crate::kind::{KINDS, Kind};
use crate::panels::Columns;
use crate::vectors::Vectors;
use core::ops::Range;
use core::sync::atomic::{AtomicPtr, Ordering};

/// How a kind of weight is multiplied.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Bytes that 128 prepared activations take; 0 where the kernels read the floats themselves.
    pub act_bytes: usize,
    /// Prepares `k` activations. Unused where `act_bytes` is 0.
    pub prepare: unsafe fn(x: *const f32, k: usize, out: *mut u8),
    /// One column.
    pub one: unsafe fn(w: &Weights, rows: Range<usize>, acts: *const u8, out: *mut f32),
    /// Several columns.
    pub many: unsafe fn(w: &Weights, rows: Range<usize>, columns: &Columns),
}

/// The kernels of one instruction set.
pub struct Kernels {
    pub level: Level,
    pub vectors: Vectors,
    pub blocks: Blocks,
    pub(crate) entries: [Option<Entry>; KINDS],
}

impl Kernels {
    pub fn entry(&self, kind: Kind) -> Option<&Entry> {
        self.entries[kind as usize].as_ref()
    }
}

/// What a processor can do, as far as the kernels care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Sse2,
    Ssse3,
    Sse41,
    Avx2,
}

impl Level {
    pub const ALL: [Level; 4] = [Level::Sse2, Level::Ssse3, Level::Sse41, Level::Avx2];

    pub const fn name(self) -> &'static str {
        match self {
            Level::Sse2 => "sse2",
            Level::Ssse3 => "ssse3",
            Level::Sse41 => "sse41",
            Level::Avx2 => "avx2",
        }
    }

    pub fn named(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The best that this processor and its system can do.
    #[inline(never)] // It alone may hold XGETBV, and the check of the CPU floor knows its name.
    pub fn of_this_processor() -> Level {
        use core::arch::x86_64::{__cpuid, __cpuid_count};
        let one = __cpuid(1);
        let has = |register: u32, bit: u32| register >> bit & 1 == 1;
        if !has(one.ecx, 9) {
            return Level::Sse2;
        }
        if !has(one.ecx, 19) {
            return Level::Ssse3;
        }
        // AVX needs the system too: it must save the upper halves of the registers.
        let wide = has(one.ecx, 12) && has(one.ecx, 27) && has(one.ecx, 28) && has(one.ecx, 29);
        if !wide || __cpuid(0).eax < 7 || !has(__cpuid_count(7, 0).ebx, 5) {
            return Level::Sse41;
        }
        let saved: u32;
        // SAFETY: bit 27 of ecx says that the system turned XGETBV on; it writes these two registers and no memory.
        unsafe {
            core::arch::asm!("xgetbv", in("ecx") 0, out("eax") saved, out("edx") _, options(nomem, nostack, preserves_flags));
        }
        if saved & 6 == 6 { Level::Avx2 } else { Level::Sse41 }
    }

    /// Whether this processor can run the kernels of this level.
    pub fn is_here(self) -> bool {
        self <= Level::of_this_processor()
    }

    fn kernels(self) -> &'static Kernels {
        match self {
            Level::Sse2 => &crate::sse2::KERNELS,
            Level::Ssse3 => &crate::ssse3::KERNELS,
            Level::Sse41 => &crate::sse41::KERNELS,
            Level::Avx2 => &crate::avx2::KERNELS,
        }
    }
}

static CHOSEN: AtomicPtr<Kernels> = AtomicPtr::new(core::ptr::null_mut());

/// The kernels in use: those of the processor's best level, until [`force`] says otherwise.
#[inline]
pub fn kernels() -> &'static Kernels {
    let chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen.is_null() {
        return choose(Level::of_this_processor());
    }
    // SAFETY: the pointer only ever holds one of the four statics.
    unsafe { &*chosen }
}

/// Takes another level from now on; refused when the processor cannot run it.
pub fn force(level: Level) -> bool {
    let here = level.is_here();
    if here {
        choose(level);
    }
    here
}

#[cold]
fn choose(level: Level) -> &'static Kernels {
    let kernels = level.kernels();
    CHOSEN.store(core::ptr::from_ref(kernels).cast_mut(), Ordering::Relaxed);
    kernels
}

/// The kernels of a level that this processor has, without taking it for all.
pub fn kernels_of(level: Level) -> Option<&'static Kernels> {
    level.is_here().then(|| level.kernels())
}

/// Makes the kernels of one instruction set: `static KERNELS` and the functions in it.
///
/// Every function carries the instruction set's features, so the words of the set are inlined into it.
macro_rules! kernel_set {
    ($set:ty, $level:expr, $features:literal, columns: $columns:literal) => {
        mod made {
            use super::*;
            use core::ops::Range;
            use $crate::acts::{self, Act};
            use $crate::floats;
            use $crate::format::Weights;
            use $crate::formats;
            use $crate::kind::{KINDS, Kind};
            use $crate::panels::{self, Columns};
            use $crate::rows;
            use $crate::table::{Entry, Kernels, Level};

            #[target_feature(enable = $features)]
            unsafe fn acts_of_32(x: *const f32, k: usize, out: *mut u8) {
                // SAFETY: the promise of `Entry::prepare`.
                unsafe { acts::quantise::<$set>(x, k, out.cast()) }
            }

            /// The general kernels of a format, with activations prepared by `$prepare`.
            macro_rules! entry {
                ($format:ty, $prepare:ident) => {{
                    #[target_feature(enable = $features)]
                    unsafe fn one(w: &Weights, rows: Range<usize>, acts: *const u8, out: *mut f32) {
                        // SAFETY: the promise of `Entry::one`.
                        unsafe { rows::product::<$set, $format>(w, rows, acts.cast(), out) }
                    }
                    #[target_feature(enable = $features)]
                    unsafe fn many(w: &Weights, rows: Range<usize>, columns: &Columns) {
                        // SAFETY: the promise of `Entry::many`.
                        unsafe { panels::product::<$set, $format, $columns>(w, rows, columns) }
                    }
                    Some(Entry { act_bytes: size_of::<Act>(), prepare: $prepare, one, many })
                }};
            }

            /// Floats, multiplied as they are.
            macro_rules! floats {
                ($float:ty) => {{
                    unsafe fn prepare(_: *const f32, _: usize, _: *mut u8) {}
                    #[target_feature(enable = $features)]
                    unsafe fn one(w: &Weights, rows: Range<usize>, x: *const u8, out: *mut f32) {
                        // SAFETY: the promise of `Entry::one`.
                        unsafe { floats::one::<$set, $float>(w, rows, x.cast(), out) }
                    }
                    #[target_feature(enable = $features)]
                    unsafe fn many(w: &Weights, rows: Range<usize>, columns: &Columns) {
                        // SAFETY: the promise of `Entry::many`.
                        unsafe { floats::many::<$set, $float, $columns>(w, rows, columns) }
                    }
                    Some(Entry { act_bytes: 0, prepare, one, many })
                }};
            }

            $crate::blocks::block_set!($set, $features);
            $crate::vectors::vector_set!($set, $features);
            $crate::onebit::onebit_set!($set, $features);

            pub(crate) const SET: Kernels = {
                let mut entries = [const { None }; KINDS];
                entries[Kind::F32 as usize] = floats!(floats::F32);
                entries[Kind::F16 as usize] = floats!(floats::F16);
                entries[Kind::Q4_0 as usize] = entry!(formats::Q4_0, acts_of_32);
                entries[Kind::Q4_1 as usize] = entry!(formats::Q4_1, acts_of_32);
                entries[Kind::Q5_0 as usize] = entry!(formats::Q5_0, acts_of_32);
                entries[Kind::Q5_1 as usize] = entry!(formats::Q5_1, acts_of_32);
                entries[Kind::Q8_0 as usize] = entry!(formats::Q8_0, acts_of_32);
                entries[Kind::Q4_K as usize] = entry!(formats::Q4_K, acts_of_32);
                entries[Kind::Q5_K as usize] = entry!(formats::Q5_K, acts_of_32);
                entries[Kind::Q6_K as usize] = entry!(formats::Q6_K, acts_of_32);
                entries[Kind::IQ4_NL as usize] = entry!(formats::IQ4_NL, acts_of_32);
                entries[Kind::Q1_0 as usize] = onebit_entries::Q1_0;
                entries[Kind::Q2_0 as usize] = onebit_entries::Q2_0;
                entries[Kind::TQ1_0 as usize] = onebit_entries::TQ1_0;
                entries[Kind::TQ2_0 as usize] = onebit_entries::TQ2_0;
                Kernels { level: $level, vectors: VECTORS, blocks: BLOCKS, entries }
            };
            pub(crate) static KERNELS: Kernels = SET;
        }
        #[allow(unused_imports)] // A set may stand for another one too.
        pub(crate) use made::{KERNELS, SET};
    };
}
pub(crate) use kernel_set;
