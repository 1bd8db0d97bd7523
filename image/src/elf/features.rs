//! What a Core 2 ("Conroe", 65 nm, 2006) executes, and what it does not.
//!
//! This is a list of what is allowed: a feature that is not named here is above
//! the floor, so an extension invented tomorrow is an error from the start.
//! Sources: Intel's Software Developer's Manual volume 2, and the CPUID bits of
//! family 6 model 15 as in QEMU's `Conroe` model.
//!
//! Above the floor, though they are easily taken for old: POPCNT and SSE4.2
//! (2008), SSE4.1 (the later Core 2 "Penryn" only), LZCNT (a Core 2 ignores the
//! prefix and runs `bsr`, which gives another number, in silence), RDTSCP
//! (2008), XSAVE and XGETBV ("Penryn" of late 2008 only), MOVBE, and INCSSP of
//! the shadow stacks, which unlike RDSSP is not in no-operation space.

use iced_x86::{Code, CpuidFeature, DecoderOptions, Mnemonic};

/// A Core 2 runs 0F 0D and 0F 18 to 0F 1F as no-operations, whatever later
/// processors made of them: ENDBR64, RDSSP (leaves its register as it was, which
/// the caller sets to zero first), CLDEMOTE, bounds checks, PREFETCHW.
pub const DECODE_AS_CORE_2: u32 = DecoderOptions::FORCE_RESERVED_NOP;

/// Features that every Core 2 has.
const CORE_2: [CpuidFeature; 29] = {
    use CpuidFeature::*;
    [
        INTEL8086,
        INTEL186,
        INTEL286,
        INTEL386,
        INTEL486,
        X64,
        FPU,
        FPU287,
        FPU387,
        CPUID,
        CMOV,
        CX8,
        MMX,
        SSE,
        SSE2,
        SSE3,
        SSSE3,
        CMPXCHG16B,
        FXSR,
        CLFSH,
        TSC,
        RDPMC,
        MSR,
        SEP,
        SYSCALL,
        PAUSE,
        MULTIBYTENOP,
        // For ring 0 only on these processors; in a program they fault on any PC.
        MONITOR,
        VMX,
    ]
};

/// The feature that keeps `code` from running on a Core 2, if there is one.
///
/// TZCNT passes here: to a Core 2 it is `rep bsf`, which compilers without BMI
/// write on purpose, for speed on newer processors, and only where the operand
/// is not zero, so that both agree on the result. They disagree on the carry
/// flag; see `scan`, which finds the readers of it.
pub fn above_floor(code: Code) -> Option<CpuidFeature> {
    if code == Code::INVALID || code.mnemonic() == Mnemonic::Tzcnt {
        return None;
    }
    code.cpuid_features().iter().copied().find(|feature| !CORE_2.contains(feature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::Decoder;

    /// The bytes of one instruction, and the feature in its way.
    fn check(bytes: &[u8], want: &str) {
        let instruction = Decoder::new(64, bytes, DECODE_AS_CORE_2).decode();
        assert_eq!(instruction.len(), bytes.len(), "{bytes:02x?} is one instruction");
        assert!(!instruction.is_invalid(), "{bytes:02x?} is an instruction");
        let got =
            above_floor(instruction.code()).map_or("none".to_string(), |feature| format!("{feature:?}"));
        assert_eq!(got, want, "{bytes:02x?}");
    }

    #[test]
    fn what_every_core_2_has_is_below_the_floor() {
        check(&[0x0f, 0x38, 0x00, 0xc1], "none"); // pshufb mm
        check(&[0x66, 0x0f, 0x38, 0x1c, 0xc1], "none"); // pabsb xmm
        check(&[0x48, 0x0f, 0xc7, 0x0e], "none"); // cmpxchg16b
        check(&[0x0f, 0xae, 0x06], "none"); // fxsave
        check(&[0xdb, 0x0e], "none"); // fisttp
        check(&[0x9f], "none"); // lahf
        check(&[0x0f, 0x05], "none"); // syscall
        check(&[0x0f, 0x0b], "none"); // ud2
        check(&[0x0f, 0xff, 0xc0], "none"); // ud0
        check(&[0x0f, 0xb9, 0xc0], "none"); // ud1
        check(&[0x0f, 0xae, 0xf0], "none"); // mfence
        check(&[0x0f, 0x18, 0x0e], "none"); // prefetcht0
    }

    #[test]
    fn what_a_core_2_runs_as_no_operation_is_below_the_floor() {
        check(&[0xf3, 0x0f, 0x1e, 0xfa], "none"); // endbr64
        check(&[0xf3, 0x48, 0x0f, 0x1e, 0xc8], "none"); // rdsspq
        check(&[0x0f, 0x0d, 0x0e], "none"); // prefetchw
        check(&[0x0f, 0x1c, 0x06], "none"); // cldemote
        check(&[0xf3, 0x90], "none"); // pause
        check(&[0xf2, 0xc3], "none"); // bnd ret
    }

    #[test]
    fn rep_bsf_is_below_the_floor_and_its_neighbour_lzcnt_is_not() {
        check(&[0xf3, 0x48, 0x0f, 0xbc, 0xc1], "none");
        check(&[0xf3, 0x48, 0x0f, 0xbd, 0xc1], "LZCNT");
    }

    #[test]
    fn what_came_after_the_core_2_is_above_the_floor() {
        check(&[0xf3, 0x0f, 0xb8, 0xc1], "POPCNT");
        check(&[0x66, 0x0f, 0x38, 0x17, 0xc1], "SSE4_1"); // ptest
        check(&[0xf2, 0x0f, 0x38, 0xf1, 0xc1], "SSE4_2"); // crc32
        check(&[0x66, 0x0f, 0x3a, 0x44, 0xc1, 0x00], "PCLMULQDQ");
        check(&[0x66, 0x0f, 0x38, 0xdc, 0xc1], "AES");
        check(&[0x0f, 0x38, 0xf0, 0x06], "MOVBE");
        check(&[0xc5, 0xf8, 0x77], "AVX"); // vzeroupper
        check(&[0x0f, 0x01, 0xd0], "XSAVE"); // xgetbv
        check(&[0x0f, 0xc7, 0x26], "XSAVEC");
        check(&[0x0f, 0xc7, 0xf0], "RDRAND");
        check(&[0x0f, 0x01, 0xf9], "RDTSCP");
        check(&[0x0f, 0x01, 0xd6], "HLE_or_RTM"); // xtest
        check(&[0xf3, 0x48, 0x0f, 0xae, 0xe8], "CET_SS"); // incsspq
        check(&[0x66, 0x0f, 0xae, 0x3e], "CLFLUSHOPT");
        check(&[0xf3, 0x0f, 0xae, 0xc0], "FSGSBASE"); // rdfsbase
        check(&[0x0f, 0x0f, 0xc1, 0x9e], "D3NOW"); // pfadd
    }
}
