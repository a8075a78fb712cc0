//! What moves a key to another store and back.

use std::collections::HashMap;

use deadpool_postgres::Client;
use keystile::KeyId;

use super::fault::Fault;
use super::list::page_of;
use super::read::{Params, limited};
use super::row::{RECORD, read_answer, read_record, read_removed, read_with_rate};
use crate::error::StoreError;
use crate::filter::Filter;
use crate::issue_once::{IssueAnswer, IssueOnce};
use crate::list::Page;
use crate::portable::{
    Asked, DigestBytes, Exported, Known, PortableKey, RemovedKey, RemovedKeys, of_hex, to_hex,
};
use crate::sort::Sort;

/// Two statements, each of its own snapshot: the digests after the records. A key whose digest
/// is renewed in between may have its present digest among the former ones, which are left out.
pub(super) async fn export(
    client: &Client,
    filter: &Filter,
    page: Page,
) -> Result<Exported, Fault> {
    let rows = page_of(
        client,
        filter,
        page.sorted(Sort::Inserted),
        read_with_rate,
        |(record, _)| record,
    )
    .await?;
    let ids: Vec<&str> = rows
        .sound
        .iter()
        .map(|(record, _)| record.id.as_str())
        .collect();
    let mut former = former_digests(client, &ids).await?;
    let keys = rows.sound.into_iter().map(|(record, rate)| {
        let mut former_digests = former.remove(record.id.as_str()).unwrap_or_default();
        former_digests.retain(|digest| digest != record.digest.bytes());
        PortableKey {
            record,
            rate,
            former_digests,
        }
    });
    Ok(Exported {
        keys: keys.collect(),
        damaged: rows.damaged,
        next: rows.next,
    })
}

pub(super) async fn removed_keys(
    client: &Client,
    after: &str,
    limit: usize,
) -> Result<RemovedKeys, Fault> {
    let sql = "SELECT row_number() OVER (ORDER BY key_id) AS row, key_id, version, revoked_at, \
         revoke_reason, owner FROM api_key_deleted WHERE key_id > $1 ORDER BY key_id LIMIT $2";
    let limit = limited(limit);
    let rows = query(client, sql, &[&after, &limit]).await?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get::<_, &str>("key_id")?);
    }
    let mut former = former_digests(client, &ids).await?;
    let mut page = RemovedKeys::default();
    for row in &rows {
        match read_removed(row) {
            Ok(mut removed) => {
                let digests = former.remove(removed.key_id.as_str());
                removed.digests = digests.unwrap_or_default();
                page.keys.push(removed);
            }
            Err(Fault::Store(StoreError::Corrupt(damaged))) => page.damaged.push(damaged),
            Err(fault) => return Err(fault),
        }
    }
    let is_full = i64::try_from(rows.len()) == Ok(limit);
    page.next = ids.last().filter(|_| is_full).map(|id| (*id).into());
    Ok(page)
}

pub(super) async fn known(client: &Client, asked: &Asked) -> Result<Known, Fault> {
    let texts = |ids: &[KeyId]| -> Vec<String> { ids.iter().map(KeyId::to_string).collect() };
    let (ids, lineages) = (texts(&asked.ids), texts(&asked.lineages));
    let digests: Vec<String> = asked.digests.iter().map(to_hex).collect();
    let mut known = Known::default();
    for (column, values) in [
        ("key_id", &ids),
        ("lineage", &lineages),
        ("key_hash", &digests),
    ] {
        let sql = format!("{RECORD} WHERE k.{column} = ANY ($1::text[])");
        for row in &query(client, &sql, &[values]).await? {
            match read_record(row) {
                Ok(record) => known.records.push(record),
                Err(Fault::Store(StoreError::Corrupt(damaged))) => known.damaged.push(damaged),
                Err(fault) => return Err(fault),
            }
        }
    }
    let sql = "SELECT 0::bigint AS row, key_id, version, revoked_at, revoke_reason, owner \
         FROM api_key_deleted WHERE key_id = ANY ($1::text[])";
    let rows = query(client, sql, &[&ids]).await?;
    let removed: Vec<&str> = match rows.is_empty() {
        true => Vec::new(),
        false => ids.iter().map(String::as_str).collect(),
    };
    let mut former = former_digests(client, &removed).await?;
    for row in &rows {
        let Ok(id) = row.try_get::<_, &str>("key_id")?.parse::<KeyId>() else {
            continue;
        };
        let mut removed = match read_removed(row) {
            Ok(removed) => removed,
            Err(Fault::Store(StoreError::Corrupt(_))) => RemovedKey::unread(id),
            Err(fault) => return Err(fault),
        };
        removed.digests = former.remove(id.as_str()).unwrap_or_default();
        known.removed.push(removed);
    }
    let sql = "SELECT key_hash, key_id FROM api_key_former_digests \
         WHERE key_hash = ANY ($1::text[])";
    for row in &query(client, sql, &[&digests]).await? {
        if let Some(digest) = of_hex(row.try_get(0)?) {
            known.add_former(digest, row.try_get(1)?);
        }
    }
    let sql = "SELECT lineage, remaining_uses FROM api_key_usage WHERE lineage = ANY ($1::text[])";
    for row in &query(client, sql, &[&lineages]).await? {
        if let Ok(lineage) = row.try_get::<_, &str>(0)?.parse() {
            known.add_uses(lineage, row.try_get(1)?);
        }
    }
    Ok(known)
}

/// What is remembered of a request. A row that cannot be read is an error: to issue another key
/// would be worse.
pub(super) async fn issue_answer(
    client: &Client,
    request: &IssueOnce,
) -> Result<Option<IssueAnswer>, Fault> {
    let sql = "SELECT 0::bigint AS row, body, key_id, at FROM api_key_issue_requests \
         WHERE caller = $1 AND request = $2";
    let digest = to_hex(request.request());
    let rows = query(client, sql, &[&request.caller(), &digest]).await?;
    rows.first().map(read_answer).transpose()
}

/// The digests that are remembered of these keys. A text that is none is of no key either.
async fn former_digests(
    client: &Client,
    ids: &[&str],
) -> Result<HashMap<String, Vec<DigestBytes>>, Fault> {
    let sql = "SELECT key_id, key_hash FROM api_key_former_digests \
         WHERE key_id = ANY ($1::text[]) ORDER BY key_hash";
    let mut former: HashMap<String, Vec<DigestBytes>> = HashMap::new();
    for row in &query(client, sql, &[&ids]).await? {
        let own = former.entry(row.try_get(0)?).or_default();
        own.extend(of_hex(row.try_get(1)?));
    }
    Ok(former)
}

async fn query(
    client: &Client,
    sql: &str,
    params: &Params<'_>,
) -> Result<Vec<tokio_postgres::Row>, Fault> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}
