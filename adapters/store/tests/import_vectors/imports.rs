//! Imports, one after the other into one store.

use keystile::{Millis, PermissionSet, RateState, Status};
use keystile_store::{PortableKey, PortableLine, RemovedKey};

use crate::made::*;
use crate::played::{Case, Step, step};

fn case(name: &'static str, steps: impl IntoIterator<Item = Step>) -> Case {
    Case {
        name,
        steps: steps.into_iter().collect(),
    }
}

fn granted(number: u64, permissions: &[&str]) -> keystile::KeyRecord {
    let mut record = plain(number);
    record.permissions = PermissionSet::new(permissions).unwrap();
    record
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = conflicts();
    cases.extend(revocations());
    cases.extend(families());
    cases.extend(uses());
    cases.extend(wholes());
    cases
}

/// Lines that the store has something else in the place of.
fn conflicts() -> Vec<Case> {
    let same = |number, change: fn(&mut keystile::KeyRecord)| {
        let mut record = plain(number);
        change(&mut record);
        line(record)
    };
    let mut used = PortableKey::new(counted(3, 9));
    used.rate = RateState::from_bits(u64::MAX - 5);
    let mut renewed = plain(4);
    (renewed.version, renewed.digest) = (2, digest(14));
    let lines = [
        line(plain(1)),
        PortableLine::Key(Box::new(used)).to_text(),
        with_former(renewed.clone(), &[4]),
        removed_line(&removed(5, &[5])),
    ];
    let others = [
        same(1, |record| record.client_name = "Other".into()),
        same(1, |record| record.version = 9),
        same(1, |record| record.digest = digest(99)),
        same(1, |record| {
            record.permissions = PermissionSet::new(["*"]).unwrap()
        }),
        same(1, |record| record.last_used_at = Some(at(50))),
        line(counted(3, 2)),
        same(6, |record| record.digest = digest(1)),
        same(7, |record| record.digest = digest(4)),
        same(8, |record| record.digest = digest(5)),
        with_former(plain(9), &[1]),
        with_former(plain(9), &[4]),
        line(renewed.clone()),
        with_former(renewed, &[4, 40]),
        line(plain(5)),
        removed_line(&removed(1, &[])),
        removed_line(&removed(10, &[1])),
        removed_line(&removed(10, &[4])),
        removed_line(&removed(5, &[5, 50])),
        removed_line(&RemovedKey::new(id(5), 4)),
        removed_line(&RemovedKey::new(id(11), 1)),
    ];
    let again = lines.clone();
    Vec::from([
        case("again", [step(lines.clone()), step(again).part(1)]),
        case(
            "nothing-is-overwritten",
            [step(lines.clone()), step(others.clone())],
        ),
        case(
            "nothing-is-overwritten-line-by-line",
            step(lines.into_iter().chain(others)).part(1).dry_first(),
        ),
    ])
}

fn revocations() -> Vec<Case> {
    let (two, copy) = (removed(1, &[2, 11]), {
        let mut copy = plain(3);
        copy.digest = digest(11);
        line(copy)
    });
    let not_revoked = removed_line(&RemovedKey::new(id(1), 4));
    Vec::from([
        case(
            "a-revoked-key-stays-so",
            [step([line(revoked(plain(1)))]), step([line(plain(1))])],
        ),
        case(
            "a-revocation-is-not-present",
            [step([line(plain(1))]), step([line(revoked(plain(1)))])],
        ),
        case(
            "a-removed-key-that-was-revoked",
            [
                step([not_revoked.clone()]),
                step([removed_line(&removed(1, &[1])), not_revoked]),
            ],
        ),
        case(
            "a-digest-of-two-revoked-keys",
            [
                step([line(revoked(plain(2))), removed_line(&two)]),
                step([copy]),
                step([line(revoked(plain(2))), removed_line(&two)]),
            ],
        ),
        case(
            "a-digest-of-a-live-key",
            [step([line(plain(5)), removed_line(&removed(4, &[5]))])],
        ),
    ])
}

/// Keys that derive from others, and keys of one lineage.
fn families() -> Vec<Case> {
    let more = |number| {
        let mut more = granted(number, &["read", "write"]);
        more.derived_from = derived(number, 1, None).derived_from;
        line(more)
    };
    let mut own = granted(2, &["read"]);
    own.derived_from = derived(2, 1, None).derived_from;
    let (own, source) = (line(own), line(granted(1, &["read"])));
    let mut ended = revoked(plain(5));
    ended.derived_from = derived(5, 8, None).derived_from;
    let mut suspended_source = plain(1);
    suspended_source.status = Status::Suspended;
    let mut itself = derived(2, 1, None);
    itself.lineage = id(1);
    let mut rotated = Vec::new();
    for (first, overlap) in [(0, 50), (10, 5_000)] {
        let [source, source_next] = replaced(plain(first + 1), first + 4, overlap);
        let [own, own_next] = replaced(derived(first + 2, first + 1, None), first + 5, 50);
        let below = derived(first + 3, first + 2, None);
        rotated.extend([source, own, below, source_next, own_next].map(line));
    }
    let of_one = |number| {
        let mut record = plain(number);
        record.lineage = id(1);
        line(record)
    };
    let chain = [
        derived(4, 3, None),
        derived(3, 2, None),
        derived(2, 1, None),
        plain(1),
    ]
    .map(line);
    Vec::from([
        case(
            "a-derived-key-needs-its-source",
            [
                step([own.clone()]),
                step([source.clone(), own.clone(), more(3)]),
                step([more(4), line(ended)]),
            ],
        ),
        case("a-source-that-follows", step([own, source]).dry_first()),
        case(
            "a-chain-that-is-turned-round",
            step(chain).part(1).dry_first(),
        ),
        case(
            "a-source-that-is-suspended",
            [step([line(suspended_source), line(derived(2, 1, None))])],
        ),
        case(
            "a-key-of-its-own-lineage",
            [step([line(plain(1)), line(itself)])],
        ),
        case(
            "derived-keys-of-a-rotated-source",
            step(rotated).part(2).dry_first(),
        ),
        case(
            "without-the-successor",
            [step(
                replaced(plain(1), 4, 50)
                    .into_iter()
                    .take(1)
                    .chain([derived(2, 1, None)])
                    .map(line),
            )],
        ),
        case(
            "two-live-keys-of-a-lineage",
            [step([of_one(1), of_one(2), of_one(3)]), step([of_one(4)])],
        ),
    ])
}

fn uses() -> Vec<Case> {
    let mut suspended = derived(3, 1, Some(30));
    suspended.status = Status::Suspended;
    let of_one = |number, uses: Option<u64>, ended: bool| {
        let mut record = plain(number);
        (record.lineage, record.remaining_uses) = (id(1), uses);
        if ended {
            record.expires_at = Some(at(number + 1));
        }
        line(record)
    };
    let joined = |part| {
        let lines = [
            counted(1, 5),
            derived(2, 1, Some(2)),
            counted(1, 3),
            derived(3, 1, Some(2)),
        ];
        step(lines.map(line)).part(part)
    };
    let own = |uses| [counted(1, uses), derived(2, 1, Some(60))].map(line);
    let ending = |number: u64, end: u64, lifetime: Option<u64>| {
        let mut record = plain(number);
        record.expires_at = Some(at(end));
        record.lifetime = lifetime.map(Millis::new);
        line(record)
    };
    let hour = 3_600_000;
    Vec::from([
        case(
            "uses-are-not-given-twice",
            [
                step([line(counted(1, 100))]),
                step([
                    line(counted(1, 40)),
                    line(derived(2, 1, Some(60))),
                    line(suspended),
                ]),
            ],
        ),
        case(
            "uses-after-a-stop",
            [
                step(own(40).into_iter().take(1)),
                step(own(40).into_iter().skip(1)),
                step(own(40)),
            ],
        ),
        case(
            "uses-in-any-order",
            step(own(40).into_iter().rev()).dry_first(),
        ),
        case("joined-exports", joined(9).dry_first()),
        case("joined-exports-line-by-line", joined(1).dry_first()),
        case("joined-exports-two-by-two", joined(2).dry_first()),
        case(
            "a-lineage-gets-no-more-uses",
            [
                step([of_one(1, Some(5), false)]),
                step([of_one(2, Some(3), true)]),
                step([of_one(2, Some(5), false)]),
                step([of_one(3, Some(9), true), of_one(4, None, true)]),
            ],
        ),
        case(
            "the-longest-lifetime",
            [step([
                line(plain(1)),
                ending(2, hour, None),
                ending(3, 4 + hour, None),
                ending(4, 2 * hour, Some(hour)),
                line(revoked(plain(5))),
            ])
            .longest(hour)],
        ),
    ])
}

/// Exports that are whole, and that lack lines.
fn wholes() -> Vec<Case> {
    let [one, two, gone] = [
        line(plain(1)),
        line(plain(2)),
        removed_line(&removed(3, &[3])),
    ];
    let lines = |some: &[&String]| step(some.iter().map(|line| (*line).clone()));
    let (both, end_of_one, other) = (end(2, 1), end(1, 0), end(1, 1));
    let odd = [
        "{\"keystile_export\":1,\"end\":{\"keys\":0}}",
        "{\"keystile_export\":2,\"end\":{\"keys\":0,\"removed_keys\":0}}",
        "{\"keystile_export\":1,\"end\":{\"keys\":-1,\"removed_keys\":0}}",
        "{\"end\":{\"removed_keys\":0,\"keys\":3},\"keystile_export\":1}",
        "hello",
    ];
    Vec::from([
        case("a-whole-export", [lines(&[&one, &two, &gone, &both])]),
        case(
            "a-whole-export-of-which-lines-wait",
            [step([line(derived(2, 1, None)), line(plain(1)), end(2, 0)])],
        ),
        case(
            "a-part-of-it",
            [
                lines(&[&one, &two, &gone]),
                lines(&[&one, &both]),
                lines(&[&one, &two, &gone, &both, &one]),
                step([]),
            ],
        ),
        case(
            "joined-files",
            [lines(&[&one, &end_of_one, &two, &gone, &other])],
        ),
        case(
            "joined-files-of-which-one-is-not-whole",
            [lines(&[&one, &both, &two, &gone, &other])],
        ),
        case(
            "closing-lines-that-are-none",
            [step(odd.map(str::to_owned))],
        ),
    ])
}
