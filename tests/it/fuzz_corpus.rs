//! What the fuzz targets check for any bytes holds for every file in `fuzz/corpus`.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    unreachable_pub,
    reason = "the library of the fuzz targets, read as a module"
)]
mod targets;

#[test]
fn every_corpus_file_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, run) in targets::TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            run(&fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 2, "{name} has no files");
    }
    // Every folder has a target.
    assert_eq!(
        fs::read_dir(corpus).unwrap().count(),
        targets::TARGETS.len()
    );
}
