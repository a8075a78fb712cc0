//! Backup and restore on the command line.

use crate::keystile::Keystile;

/// What is printed on standard error if the command fails.
fn refused(program: &Keystile, arguments: &[&str]) -> String {
    let ran = program.run(arguments);
    assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{}", ran.errors);
    assert_eq!(ran.errors.lines().count(), 1, "{}", ran.errors);
    ran.errors
}

#[test]
fn a_backup_is_restored_and_what_was_revoked_stays_revoked() {
    let program = Keystile::new();
    let (kept, _) = program.issue(&[]);
    let (leaked, leaked_id) = program.issue(&[]);
    let (paused, paused_id) = program.issue(&[]);
    let made = program.run(&["backup", "backup.db"]);
    assert_eq!((made.code, made.errors.as_str()), (0, ""));
    assert!(
        made.output.starts_with("backed up 3 keys in "),
        "{}",
        made.output
    );
    assert_eq!(program.files(), ["backup.db", "keystile.db"], "one file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(program.folder().join("backup.db"));
        assert_eq!(mode.unwrap().permissions().mode() & 0o777, 0o600);
    }

    let (lost, _) = program.issue(&[]);
    program.run(&["revoke", &leaked_id, "--reason", "leaked"]);
    program.run(&["suspend", &paused_id]);
    let dry = program.object(&["restore", "backup.db", "--dry-run", "--json"]);
    assert_eq!(
        dry,
        serde_json::json!({
            "keys": 3, "revocations_carried": 1, "revocations_forgotten": 0, "changed": 1,
            "lost": 1, "dry_run": true,
        })
    );
    assert_eq!(
        program.decision(&paused, &[]),
        "key_suspended",
        "nothing changed"
    );

    let restored = program.run(&["restore", "backup.db"]);
    assert_eq!((restored.code, restored.errors.as_str()), (0, ""));
    assert_eq!(
        restored.output,
        "restored 3 keys\n\
         \x20      1  revoked after the backup, and stay revoked\n\
         \x20      1  otherwise changed after the backup, and are as they were\n\
         \x20      1  issued after the backup, and are lost\n"
    );
    assert_eq!(program.decision(&kept, &[]), "allow");
    assert_eq!(program.decision(&paused, &[]), "allow");
    assert_eq!(program.decision(&leaked, &[]), "key_revoked");
    assert_eq!(program.decision(&lost, &[]), "invalid_key");

    let forgot = program.run(&["restore", "backup.db", "--forget-revocations"]);
    assert!(
        forgot
            .output
            .contains("1  revoked after the backup, and are revived"),
        "{}",
        forgot.output
    );
    assert_eq!(program.decision(&leaked, &[]), "allow");
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_refused() {
    let program = Keystile::new();
    let errors = refused(&program, &["backup", "backup.db"]);
    assert!(errors.contains("the store does not exist"), "{errors}");
    assert!(
        program.files().is_empty(),
        "neither a store nor a backup was made"
    );
    let (key, _) = program.issue(&[]);
    program.run(&["backup", "backup.db"]);
    let before = std::fs::read(program.folder().join("backup.db")).unwrap();
    let errors = refused(&program, &["backup", "backup.db"]);
    assert!(errors.contains("the file exists already"), "{errors}");
    assert_eq!(
        std::fs::read(program.folder().join("backup.db")).unwrap(),
        before
    );

    let errors = refused(&program, &["restore", "none.db"]);
    assert!(
        errors.contains("the backup must be an existing file"),
        "{errors}"
    );
    std::fs::write(program.folder().join("text.db"), "text".repeat(999)).unwrap();
    let errors = refused(&program, &["restore", "text.db"]);
    assert!(errors.contains("not an SQLite database"), "{errors}");
    assert_eq!(program.decision(&key, &[]), "allow");
    for verb in ["backup", "restore"] {
        let errors = refused(&program, &[verb, "backup.db", "--store", "memory:"]);
        assert!(errors.contains("a store in memory"), "{errors}");
        let errors = refused(&program, &[verb, &key]);
        assert!(errors.contains("must not contain a whole key"), "{errors}");
    }
    // No server is asked.
    #[cfg(feature = "postgres")]
    for (verb, other) in [("backup", "pg_dump"), ("restore", "pg_restore")] {
        let url = "postgres://keystile@127.0.0.1:1/keys";
        let errors = refused(&program, &[verb, "backup.db", "--store", url]);
        assert!(errors.contains(other), "{errors}");
    }
}
