//! Whether every program and library of a root runs on a Core 2.
//!
//! Code above the floor is fine where it is reached only after a look at the
//! processor, and `cpu-floor.list` says where that is and why.
//! An entry for a whole file is believed only if the file shows how it looks:
//! it has IFUNCs, runs CPUID, or asks the compiler's or C library's table.
//! The kernel and its modules are not looked at: the kernel replaces its own
//! instructions at boot by what the processor has (`ALTERNATIVE`), so its files
//! always hold both.
//!
//! What this cannot see: code made at run time, and a dispatch that is wrong.

use super::ElfError;
use super::Skipped;
use super::file::Refused;
use super::list::{Allow, FLOOR_FILE, FloorList, glob};
use super::scan::{Dispatch, Hit, Scan, scan};
use super::tree::{Tree, read_file};
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Paths of the kernel, which patches itself; see above.
const KERNEL: [&str; 4] = ["boot/**", "usr/lib/modules/**", "lib/modules/**", "usr/lib/debug/**"];

/// Code that a Core 2 would stumble over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No entry of the list speaks of it.
    Above { path: String, hit: Hit },
    /// The list says it is dispatched, and the file shows nothing of the kind.
    NoDispatch { path: String, line: usize },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above { path, hit } => write!(
                f,
                "{path}: {} uses {} ({}, {} times, first at {:#x}), which a Core 2 does not have",
                hit.symbol, hit.feature, hit.mnemonic, hit.n_times, hit.address
            ),
            Self::NoDispatch { path, line } => {
                write!(f, "{path}: declared as dispatched in {FLOOR_FILE} line {line} but shows no dispatch")
            }
        }
    }
}

/// A file with code above the floor that the list allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    pub path: String,
    pub dispatch: Dispatch,
    pub features: Vec<String>,
    pub n_functions: usize,
}

#[derive(Debug, Default)]
pub struct Report {
    /// Empty if the image may be booted.
    pub findings: Vec<Finding>,
    pub allowed: Vec<Allowed>,
    /// ELF files for other machines.
    pub skipped: Vec<Skipped>,
    pub n_files: usize,
    /// Left out as parts of the kernel.
    pub n_kernel_files: usize,
    pub n_code_bytes: u64,
}

/// Scans every ELF file below `root`, on all processors.
pub fn floor(root: &Path, list: &FloorList) -> Result<Report, ElfError> {
    let tree = Tree::read(root)?;
    let (kernel, paths): (Vec<_>, Vec<_>) =
        tree.elf_files(root)?.into_iter().partition(|path| is_kernel(path));
    let scans = scan_all(root, &paths);
    let mut report = Report { n_files: paths.len(), n_kernel_files: kernel.len(), ..Report::default() };
    let mut used = vec![false; list.0.len()];
    for (path, result) in paths.into_iter().zip(scans) {
        match result {
            Ok(Ok(scan)) => report.judge(&path, scan, list, &mut used),
            Ok(Err(Refused::Foreign(why))) => report.skipped.push(Skipped { path, why }),
            Ok(Err(Refused::Broken(why))) => return Err(ElfError::Malformed { path, why }),
            Err(error) => return Err(error),
        }
    }
    match list.0.iter().zip(used).find(|(_, used)| !used) {
        Some((allow, _)) => {
            let entry = format!("{} {}", allow.path, allow.symbol);
            Err(ElfError::Stale { list: FLOOR_FILE, line: allow.line, entry })
        }
        None => Ok(report),
    }
}

impl Report {
    fn judge(&mut self, path: &str, scan: Scan, list: &FloorList, used: &mut [bool]) {
        self.n_code_bytes += scan.n_bytes;
        let entries: Vec<(usize, &Allow)> =
            list.0.iter().enumerate().filter(|(_, allow)| allow.covers_path(path)).collect();
        let mut allowed =
            Allowed { path: path.to_string(), dispatch: scan.dispatch, features: vec![], n_functions: 0 };
        let mut undispatched = None;
        for hit in scan.hits {
            let Some((idx, allow)) =
                entries.iter().find(|(_, allow)| allow.covers(&hit.symbol, &hit.feature))
            else {
                self.findings.push(Finding::Above { path: path.to_string(), hit });
                continue;
            };
            used[*idx] = true;
            if allow.symbol == "*" && !scan.dispatch.is_shown() {
                undispatched = Some(allow.line);
            }
            allowed.n_functions += 1;
            allowed.features.push(hit.feature);
        }
        if let Some(line) = undispatched {
            self.findings.push(Finding::NoDispatch { path: path.to_string(), line });
        }
        if allowed.n_functions > 0 {
            allowed.features.sort();
            allowed.features.dedup();
            self.allowed.push(allowed);
        }
    }
}

fn is_kernel(path: &str) -> bool {
    KERNEL.iter().any(|pattern| glob(pattern, path))
}

type Scanned = Result<Result<Scan, Refused>, ElfError>;

/// One result for each path, in the same order; a file is in memory only while it is scanned.
fn scan_all(root: &Path, paths: &[String]) -> Vec<Scanned> {
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(paths.len());
    let next = AtomicUsize::new(0);
    let results = Mutex::new(paths.iter().map(|_| None).collect::<Vec<Option<Scanned>>>());
    let work = || {
        loop {
            let idx = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = paths.get(idx) else { return };
            let result = read_file(root, path).map(|data| scan(&data));
            results.lock().expect("no holder of the lock panics")[idx] = Some(result);
        }
    };
    std::thread::scope(|scope| (0..n_threads).for_each(|_| drop(scope.spawn(work))));
    let results = results.into_inner().expect("no holder of the lock panics");
    results.into_iter().map(|result| result.expect("every path was scanned")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Lab, mutate, needs_cc};
    use super::*;

    /// Leaves its argument's leading zeros to a function with a name of its own.
    const LZCNT: &str = "
        __attribute__((noinline)) int count_zeros(int x) { int y; asm(\"lzcnt %1, %0\" : \"=r\"(y) : \"r\"(x)); return y; }
        int main(int argc, char **argv) { return count_zeros(argc); }";

    const IFUNC: &str = "
        typedef int v8 __attribute__((vector_size(32)));
        __attribute__((target(\"avx2\"))) static int wide(v8 *p) { v8 x = *p * *p; return x[0] + x[7]; }
        static int plain(v8 *p) { return ((int *)p)[0]; }
        static int (*pick(void))(v8 *) { __builtin_cpu_init(); return __builtin_cpu_supports(\"avx2\") ? wide : plain; }
        int sum(v8 *p) __attribute__((ifunc(\"pick\")));
        int main(void) { v8 x = {0}; return sum(&x); }";

    fn check(name: &str, source: &str, flags: &[&str], list: &str, want: &str) {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new(name);
        cc.program(&lab, source, "usr/bin/p", flags);
        assert_eq!(judge(&lab, list), want);
    }

    fn judge(lab: &Lab, list: &str) -> String {
        match floor(&lab.root(), &FloorList::parse(list).unwrap()) {
            Err(error) => format!("error: {error}"),
            Ok(report) => {
                let finding = |finding: &Finding| match finding {
                    Finding::Above { hit, .. } => {
                        format!("{} {} {}; ", hit.symbol, hit.mnemonic, hit.feature)
                    }
                    other => other.to_string(),
                };
                report.findings.iter().map(finding).collect::<String>().trim_end_matches("; ").to_string()
            }
        }
    }

    #[test]
    fn lzcnt_is_found_and_its_function_named() {
        check("lzcnt", LZCNT, &[], "", "count_zeros lzcnt LZCNT");
    }

    #[test]
    fn lzcnt_in_a_stripped_file_is_found_by_the_address_of_its_function() {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("stripped");
        cc.program(&lab, LZCNT, "usr/bin/p", &["-s"]);
        let got = judge(&lab, "");
        assert!(got.starts_with("function at 0x") && got.ends_with(" lzcnt LZCNT"), "{got}");
    }

    #[test]
    fn a_finding_is_a_sentence_with_file_function_and_feature() {
        let hit = Hit {
            symbol: "f".to_string(),
            feature: "POPCNT".to_string(),
            mnemonic: "popcnt".to_string(),
            address: 0x1234,
            n_times: 2,
        };
        assert_eq!(
            Finding::Above { path: "usr/bin/p".to_string(), hit }.to_string(),
            "usr/bin/p: f uses POPCNT (popcnt, 2 times, first at 0x1234), which a Core 2 does not have"
        );
    }

    #[test]
    fn rep_bsf_is_harmless() {
        let source = "int main(int x) { int y; asm(\"rep bsf %1, %0\" : \"=r\"(y) : \"r\"(x)); return y; }";
        check("bsf", source, &[], "", "");
    }

    #[test]
    fn tzcnt_whose_carry_is_read_is_not_harmless() {
        let source = "int main(int x) { int y; asm(\"tzcnt %1, %0\\n cmovc %1, %0\" : \"=&r\"(y) : \"r\"(x)); return y; }";
        check("tzcnt", source, &[], "", "main tzcnt BMI1");
    }

    #[test]
    fn what_only_looks_like_code_in_the_data_is_not_found() {
        let source =
            "const char table[] = \"\\xf3\\x48\\x0f\\xbd\\xc1\"; int main(void) { return table[0]; }";
        check("data", source, &[], "", "");
    }

    #[test]
    fn code_without_any_function_bounds_is_scanned_too() {
        let source = "asm(\".text\\n popcnt %eax, %eax\"); int main(void) { return 0; }";
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("bare");
        cc.program(&lab, source, "usr/bin/p", &["-s"]);
        let got = judge(&lab, "");
        assert!(got.starts_with("code at 0x") && got.ends_with(" popcnt POPCNT"), "{got}");
    }

    #[test]
    fn a_named_function_may_be_allowed() {
        check("named", LZCNT, &[], "usr/bin/*  count_*  LZCNT  a test\n", "");
    }

    #[test]
    fn an_allowed_function_may_not_use_another_feature() {
        let want =
            "error: cpu-floor.list line 1: usr/bin/* count_* matches nothing in the image, remove the line";
        check("other", LZCNT, &[], "usr/bin/*  count_*  POPCNT  a test\n", want);
    }

    #[test]
    fn a_whole_file_is_allowed_if_its_loader_picks_the_code() {
        check("ifunc", IFUNC, &["-Wl,-u,main", "-lgcc"], "usr/bin/p  *  AVX,AVX2,XSAVE  by ifunc\n", "");
    }

    #[test]
    fn a_whole_file_without_dispatch_is_not_allowed() {
        let want = "usr/bin/p: declared as dispatched in cpu-floor.list line 2 but shows no dispatch";
        check("liar", LZCNT, &[], "\nusr/bin/p  *  *  it says\n", want);
    }

    #[test]
    fn an_entry_for_a_file_that_is_clean_is_an_error() {
        let want = "error: cpu-floor.list line 1: usr/bin/p * matches nothing in the image, remove the line";
        check("clean", "int main(void) { return 0; }", &[], "usr/bin/p  *  *  was needed once\n", want);
    }

    #[test]
    fn kernel_modules_are_left_out_and_counted() {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("kernel");
        cc.program(&lab, LZCNT, "usr/lib/modules/6.12/kernel/x.ko", &[]);
        let report = floor(&lab.root(), &FloorList::default()).unwrap();
        assert_eq!((report.n_files, report.n_kernel_files, report.findings), (0, 1, vec![]));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let lab = Lab::new("damaged");
        lab.put("usr/bin/p", &[b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 8], &[2, 0, 62, 0]].concat());
        let got = judge(&lab, "");
        assert!(got.starts_with("error: usr/bin/p: damaged ELF file: "), "{got}");
    }

    #[test]
    fn damaged_files_give_a_sentence_and_never_a_panic() {
        let Some(cc) = needs_cc() else { return };
        let lab = Lab::new("floor-mutants");
        cc.program(&lab, LZCNT, "usr/bin/p", &[]);
        let whole = lab.read("usr/bin/p");
        let n_refused = (0..3000).filter(|seed| {
            let mut bytes = whole.clone();
            mutate(&mut bytes, *seed);
            scan(&bytes).is_err() | super::super::glibc::wanted(&bytes).is_err()
        });
        let n_refused = n_refused.count();
        assert!(
            (100..2900).contains(&n_refused),
            "{n_refused} of 3000 were refused: the mutations prove little"
        );
    }
}
