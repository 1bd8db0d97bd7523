//! SSE4.1: Penryn and its sisters, the 45 nm Core 2.
//!
//! The kernels are those of SSSE3. Made once more for SSE4.1, with the compiler free to use it, they took the same
//! instructions within 0.1 % (Q8_0, Q6_K and Q1_0, one column and 32; callgrind), and 1.9 % fewer for one column of
//! Q4_K: not worth a third more of code in memory, and in the compiler's time.

use crate::table::{Kernels, Level};

pub(crate) static KERNELS: Kernels = Kernels { level: Level::Sse41, ..crate::ssse3::SET };
