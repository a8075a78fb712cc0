//! Completion scripts and manual pages: they have every command and option of the help.

use std::process::Command;

use crate::keystile::Keystile;

/// The commands that the help lists, with the long options of each.
fn commands(program: &Keystile) -> Vec<(String, Vec<String>)> {
    let help = program.run(&["--help"]).output;
    let list = help.split("\nCommands:\n").nth(1).unwrap();
    let list = list.split("\n\n").next().unwrap();
    let names = list.lines().filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(|name| {
            let help = program.run(&["help", name]).output;
            let words = help
                .lines()
                .filter(|line| line.trim_start().starts_with('-'));
            let words = words.flat_map(|line| line.split([' ', ',', '[']));
            let options = words.filter(|word| word.starts_with("--") && word.len() > 2);
            (name.to_owned(), options.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn every_command_and_option_is_completed_and_has_a_page() {
    let program = Keystile::new();
    let commands = commands(&program);
    assert!(commands.len() > 18, "{commands:?}");
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let ran = program.run(&["completion", shell]);
        assert_eq!((ran.code, ran.errors.as_str()), (0, ""));
        ran.output
    });
    let page = program.run(&["man"]).output;
    assert!(page.contains(".TH keystile 1"), "{page}");
    for (name, options) in &commands {
        for script in &scripts {
            assert!(script.contains(name.as_str()), "{name}");
        }
        let own = program.run(&["man", name]);
        assert_eq!((own.code, own.errors.as_str()), (0, ""), "{name}");
        // A hyphen is escaped, so that it is not broken or shown as another dash.
        let own = own.output.replace("\\-", "-");
        assert!(own.contains(&format!("keystile-{name}")), "{name}: {own}");
        assert!(
            page.replace("\\-", "-")
                .contains(&format!("keystile-{name}"))
        );
        for option in options {
            assert!(own.contains(option.as_str()), "{name} {option}");
            for script in &scripts {
                let word = option.trim_start_matches('-');
                assert!(script.contains(word), "{name} {option}");
            }
        }
    }
    for wrong in [
        &["completion", "cmd"][..],
        &["completion"],
        &["man", "frob"],
    ] {
        let ran = program.run(wrong);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{wrong:?}");
        assert_eq!(ran.errors.lines().count(), 1);
    }
    assert!(program.files().is_empty());
}

/// The shell itself reads the script and completes with it.
#[cfg(unix)]
#[test]
fn bash_completes_a_command_and_an_option() {
    let program = Keystile::new();
    let script = program.run(&["completion", "bash"]).output;
    let complete = |words: &str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); \
             _keystile keystile \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = Command::new("bash").args(["--norc", "-c", &ask]).output();
        let ran = ran.expect("bash is there");
        assert_eq!(String::from_utf8(ran.stderr).unwrap(), "");
        String::from_utf8(ran.stdout).unwrap()
    };
    assert_eq!(complete("keystile iss"), "issue\n");
    assert_eq!(complete("keystile issue --burs"), "--burst\n");
    assert_eq!(complete("keystile completion fi"), "fish\n");
}
