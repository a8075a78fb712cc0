//! Another Rust library in the same program, with its own standard library.

use std::collections::BTreeMap;

/// Uses the allocator, formatting and unwinding, so that they are linked twice.
#[unsafe(no_mangle)]
pub extern "C" fn neighbour_answer() -> i32 {
    let caught = std::panic::catch_unwind(|| {
        let words: BTreeMap<usize, String> = (0..10).map(|n| (n, format!("{n}"))).collect();
        if words.len() == 10 {
            std::panic::resume_unwind(Box::new(words));
        }
    });
    caught.map_or(42, |()| 0)
}
