//! Runs every file in `corpus/` through its target.

use std::fs;
use std::path::Path;

use keystile_fuzz::TARGETS;

#[test]
fn every_corpus_file_passes_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, run) in TARGETS {
        let mut files = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            run(&fs::read(entry.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 2, "{name} has no files");
    }
    // Every folder has a target.
    assert_eq!(fs::read_dir(corpus).unwrap().count(), TARGETS.len());
}
