//! The demo prints exactly the transcript that docs/tour.md shows.

use std::process::Command;

#[test]
fn the_tour_shows_the_transcript() {
    let tour = include_str!("../../../docs/tour.md");
    let shown = tour
        .split_once("<!-- demo transcript -->\n```console\n")
        .and_then(|(_, after)| after.split_once("```\n"))
        .map(|(shown, _)| shown);
    assert_eq!(shown, Some(include_str!("demo.txt")));
}

#[test]
fn the_transcript_is_what_the_demo_prints() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_keystile"))
            .args(arguments)
            .current_dir(folder.path())
            .env("TMPDIR", folder.path())
            .env("KEYSTILE_KEY", "not the demo's")
            .env("KEYSTILE_PEPPER", "not the demo's")
            .env_remove("KEYSTILE_STORE")
            .output()
            .unwrap()
    };
    let ran = run(&["demo"]);
    assert_eq!(
        String::from_utf8(ran.stdout).unwrap(),
        include_str!("demo.txt")
    );
    assert_eq!((ran.status.code(), ran.stderr), (Some(0), Vec::new()));
    let ran = run(&["demo", "--json"]);
    assert_eq!(ran.status.code(), Some(0));
    assert!(ran.stdout.iter().filter(|&&byte| byte == b'\n').count() >= 15);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it left something behind"
    );
}
