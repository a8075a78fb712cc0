//! The filters whose plans are tested, and the keys that they select.

use keystile::{Environment, TemplateName, UnixMillis};
use keystile_store::{Cursor, Filter, KeyStatus, Page, Sort};

/// Rows beyond a page that a statement may read.
pub(crate) const BEYOND: usize = 100;
pub(crate) const SIZE: usize = 50;

/// The instant at which the statuses are read: the middle of all ends.
pub(crate) fn now() -> UnixMillis {
    UnixMillis::new(1_800_000_000_000).unwrap()
}

fn minutes(count: u64) -> UnixMillis {
    UnixMillis::new(now().get() + count * 60_000).unwrap()
}

/// How a database writes a key of the fill with the number `n`.
pub(crate) struct Spelled {
    pub(crate) padded: &'static str,
    pub(crate) hash: &'static str,
    /// The instant of a number of milliseconds.
    pub(crate) instant: fn(&str) -> String,
    pub(crate) text: fn(&str) -> String,
}

/// Inserts keys from rows of numbers `n` up to `count`, in the table `numbers`.
///
/// Of each ten, one is revoked, one is suspended, one has a successor, and four have an end. An
/// environment, an owner and a template are only those of the last rows: without an index all
/// others would be read before them.
pub(crate) fn fill(count: u64, spelled: &Spelled) -> [String; 2] {
    let Spelled {
        padded,
        hash,
        instant,
        text,
    } = spelled;
    let last = count - count / 20;
    let begin = now().get() - 60_000 * count / 2;
    let end = instant(&format!("{begin} + n * 60000"));
    let revoked = instant(&now().get().to_string());
    let number = text("n % 50");
    let usage = format!("INSERT INTO api_key_usage (lineage) SELECT {padded} FROM numbers");
    let keys = format!(
        "INSERT INTO api_keys (key_id, lineage, key_hash, key_prefix, client_name, owner,
            environment, permissions, scope_type, created_at, expires_at, is_active, status,
            revoked_at, revoke_reason, replaced_by, overlap_until, rate_limit, rate_window_ms)
        SELECT {padded}, {padded}, {hash}, 'acme_1000', 'client ' || {number},
            CASE WHEN n > {last} THEN 'late' WHEN n % 2 = 0 THEN 'owner ' || {number} END,
            CASE WHEN n > {last} THEN 'live' ELSE 'test' END, '[]',
            CASE WHEN n > {last} THEN 'admin' ELSE 'other' END,
            {}, CASE WHEN n % 10 IN (3, 4, 5, 6) THEN {end} END, n % 10 > 1,
            CASE n % 10 WHEN 0 THEN 'revoked' WHEN 1 THEN 'suspended' ELSE 'active' END,
            CASE WHEN n % 10 = 0 THEN {revoked} END, CASE WHEN n % 10 = 0 THEN 'leaked' END,
            CASE WHEN n % 10 = 2 THEN '1AbCdEfGhIjKlMnO' END, CASE WHEN n % 10 = 2 THEN {end} END,
            NULL, NULL
        FROM numbers ORDER BY n",
        instant(&format!("{begin} + n * 1000"))
    );
    [usage, keys]
}

/// Each filter but one for the last use, and the index that serves it.
pub(crate) fn filters() -> Vec<(Filter, &'static str)> {
    let all = Filter::default;
    let status = |status| all().status(status, now());
    let mut without = all();
    without.without_owner = true;
    vec![
        (Filter::of_owner("late"), "api_keys_of_owner"),
        (without, "api_keys_of_owner"),
        (Filter::of_client("client 7"), "api_keys_of_client"),
        (
            all().environment(Environment::new("live").unwrap()),
            "api_keys_of_environment",
        ),
        (
            all().template(TemplateName::new("admin").unwrap()),
            "api_keys_of_template",
        ),
        (all().id_prefix("1000000000000"), "api_keys_key_id"),
        (status(KeyStatus::Suspended), "api_keys_ended"),
        (status(KeyStatus::Revoked), "api_keys_ended"),
        (status(KeyStatus::Active), "api_keys_by_end"),
        (status(KeyStatus::Expired), "api_keys_by_end"),
        (status(KeyStatus::Retiring), "api_keys_replaced_by_end"),
        (status(KeyStatus::Replaced), "api_keys_replaced_by_end"),
        (all().ending(now(), minutes(900)), "api_keys_by_end"),
        (all().issued_from(now()), "api_keys_by_issue"),
        (all().issued_before(now()), "api_keys_by_issue"),
        // Several: one index, and the rest is compared.
        (
            Filter::of_owner("late").status(KeyStatus::Expired, now()),
            "api_keys_of_owner",
        ),
        (
            all()
                .environment(Environment::new("live").unwrap())
                .ending(now(), minutes(900)),
            "api_keys_by_end",
        ),
    ]
}

/// The first page of a filter, and one in the middle.
pub(crate) fn pages(filter: &Filter, count: u64) -> [Page; 2] {
    let middle = count / 2;
    let id = format!("1{middle:015}").parse().unwrap();
    let mut cursor = Cursor::new(i64::try_from(middle).unwrap(), Some(id));
    if matches!(filter.order(), Sort::Ends | Sort::Issued) {
        cursor = cursor.at(i64::try_from(now().get()).unwrap());
    }
    [Page::first(SIZE), Page::first(SIZE).after(cursor)]
}
