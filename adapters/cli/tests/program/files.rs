//! The file of the store: its path, its permissions, and the messages if it cannot be used.

use std::process::Stdio;

use crate::keystile::Keystile;

#[test]
fn the_store_is_made_on_first_use_for_its_owner_alone() {
    let program = Keystile::new();
    let ran = program.run(&["issue", "--client", "x"]);
    assert!(
        ran.errors
            .contains("The store did not exist and was created")
    );
    assert!(program.files().contains(&"keystile.db".to_owned()));
    assert!(
        !program
            .run(&["issue", "--client", "x"])
            .errors
            .contains("The store did not exist and was created")
    );
    #[cfg(unix)]
    for name in program.files() {
        use std::os::unix::fs::PermissionsExt;
        let path = program.folder().join(&name);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_store_is_named_by_option_or_variable() {
    let program = Keystile::new().with("KEYSTILE_STORE", "sqlite:variable.db");
    program.issue(&[]);
    program.issue(&["--store", "sqlite:option.db"]);
    let path = program.folder().join("absolute.db");
    program.issue(&["--store", &format!("sqlite://{}", path.to_str().unwrap())]);
    let files = program.files();
    for name in ["variable.db", "option.db", "absolute.db"] {
        assert!(files.contains(&name.to_owned()), "{files:?}");
        let listed = program.objects(&["list", "--json", "--store", &format!("sqlite:{name}")]);
        assert_eq!(listed.len(), 1, "{name}");
    }
    assert!(!files.contains(&"keystile.db".to_owned()));
}

#[test]
fn a_store_in_memory_ends_with_the_command() {
    let program = Keystile::new();
    let ran = program.run(&["--store", "memory:", "issue", "--client", "x"]);
    assert_eq!(ran.code, 0);
    let verified = program.feed(&["--store", "memory:", "verify"], ran.output.as_bytes());
    assert_eq!(verified.code, 1);
    assert_eq!(
        program
            .run(&["--store", "memory:", "list"])
            .output
            .lines()
            .count(),
        1
    );
    assert!(program.files().is_empty());
}

#[test]
fn a_store_that_cannot_be_used_is_said_in_a_line() {
    let program = Keystile::new();
    std::fs::write(
        program.folder().join("text.db"),
        "this is no database, and long enough to show it",
    )
    .unwrap();
    std::fs::create_dir(program.folder().join("folder")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", program.folder().join("link.db")).unwrap();
    for (store, said) in [
        ("sqlite:text.db", "not an SQLite database"),
        ("sqlite:folder", "must be that of a regular file"),
        ("sqlite:missing/keys.db", "directory does not exist"),
        #[cfg(unix)]
        ("sqlite:link.db", "must be that of a regular file"),
        ("sqlite:text.db/keys.db", "cannot create the store"),
        #[cfg(unix)]
        ("sqlite:/dev/full", "must be that of a regular file"),
    ] {
        for command in [&["list"][..], &["issue", "--client", "x"], &["verify"]] {
            let ran = program.run(&[&["--store", store], command].concat());
            assert_eq!(
                (ran.code, ran.output.as_str()),
                (2, ""),
                "{store} {command:?}"
            );
            assert_eq!(ran.errors.lines().count(), 1, "{}", ran.errors);
            let missing = command != ["issue", "--client", "x"]
                && ran.errors.contains("the store does not exist");
            let said = ran.errors.contains(said) || (missing && store.contains("/keys.db"));
            assert!(said, "{store}: {}", ran.errors);
        }
    }
    let left = std::fs::read_to_string(program.folder().join("text.db")).unwrap();
    assert!(left.starts_with("this is no database"));
}

#[cfg(unix)]
#[test]
fn output_that_cannot_be_written_is_a_failure_without_a_panic() {
    let program = Keystile::new();
    let (_, id) = program.issue(&[]);
    let full = || {
        Stdio::from(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    };
    for arguments in [
        &["list"][..],
        &["show", &id],
        &["events"],
        &["template", "list"],
        &["--help"],
        &["verify"],
        &["inspect"],
        &["demo"],
    ] {
        let child = program
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(full())
            .output()
            .unwrap();
        let errors = String::from_utf8(child.stderr).unwrap();
        assert_eq!(child.status.code(), Some(2), "{arguments:?}");
        assert_eq!(
            errors, "keystile: cannot write to standard output\n",
            "{arguments:?}"
        );
    }
    // A key that could not be printed leaves a record, whose id is reported.
    for arguments in [
        &["issue", "--client", "x"][..],
        &["issue", "--client", "x", "--json"],
    ] {
        let child = program.command(arguments).stdout(full()).output().unwrap();
        let errors = String::from_utf8(child.stderr).unwrap();
        assert_eq!((child.status.code(), errors.lines().count()), (Some(2), 1));
        let listed = program.objects(&["list", "--json"]);
        let lost = listed.last().unwrap()["key_id"].as_str().unwrap();
        assert!(
            errors.contains(&format!("is lost; revoke {lost}")),
            "{errors}"
        );
    }
}

/// A command that only prints is done when no one reads on. The exit code of the others is an
/// answer, or they change something: it must not be 0 before all was written.
#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let program = Keystile::new();
    for _ in 0..3 {
        program.issue(&[]);
    }
    for (command, code) in [
        (&["list"][..], 0),
        (&["list", "--json"], 0),
        (&["events"], 0),
        (&["plan"], 0),
        (&["template", "list"], 0),
        (&["--help"], 0),
        (&["completion", "bash"], 0),
        (&["man"], 0),
        (&["verify"], 2),
        (&["inspect"], 2),
    ] {
        // A pipe whose reader is closed from the start.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut run = program.command(command);
        let ended = run.stdin(Stdio::null()).stdout(writer).output().unwrap();
        let errors = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(
            (ended.status.code(), errors.as_str()),
            (Some(code), ""),
            "{command:?}"
        );
    }
}
