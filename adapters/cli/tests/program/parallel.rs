//! Several processes on one store.

use std::process::Child;

use crate::keystile::{Keystile, text};

fn started(program: &Keystile, arguments: &[&str], input: &str, count: usize) -> Vec<Child> {
    (0..count)
        .map(|_| {
            let mut child = program.command(arguments).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
            child
        })
        .collect()
}

fn codes(children: Vec<Child>) -> Vec<i32> {
    let mut codes: Vec<i32> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap().status.code().unwrap())
        .collect();
    codes.sort_unstable();
    codes
}

fn zeros_then_ones(zeros: usize, ones: usize) -> Vec<i32> {
    [vec![0; zeros], vec![1; ones]].concat()
}

#[test]
fn a_limit_of_five_admits_five_of_twenty_processes() {
    let program = Keystile::new();
    let (key, _) = program.issue(&["--rate-limit", "5/1h"]);
    let children = started(&program, &["verify"], &key, 20);
    assert_eq!(codes(children), zeros_then_ones(5, 15));
}

#[test]
fn three_uses_are_used_three_times_by_twelve_processes() {
    let program = Keystile::new();
    let (key, _) = program.issue(&["--uses", "3"]);
    let children = started(&program, &["verify"], &key, 12);
    assert_eq!(codes(children), zeros_then_ones(3, 9));
}

#[test]
fn one_of_eight_rotations_wins() {
    let program = Keystile::new();
    let (_, id) = program.issue(&[]);
    let children = started(&program, &["rotate", &id], "", 8);
    let codes = codes(children);
    assert_eq!(codes, [0, 2, 2, 2, 2, 2, 2, 2]);
    let listed = program.objects(&["list", "--json"]);
    assert_eq!(listed.len(), 2);
    assert_eq!(text(&listed[0], "replaced_by"), text(&listed[1], "key_id"));
}

#[test]
fn a_store_is_made_once_by_ten_processes() {
    let program = Keystile::new();
    let children = started(&program, &["issue", "--client", "Acme Ltd"], "", 10);
    assert_eq!(codes(children), [0; 10]);
    assert_eq!(program.objects(&["list", "--json"]).len(), 10);
}
