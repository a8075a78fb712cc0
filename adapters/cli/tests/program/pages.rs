//! Stores with more keys than fit into one page.

use std::collections::BTreeSet;

use keystile::{IssueRequest, KeyFormat, Millis, PepperRing, SysRng, UnixMillis, issue};
use keystile_store::{Batch, SqliteStore, Store};

use crate::keystile::{Keystile, text};

/// More than two pages.
const KEYS: usize = 450;

#[test]
fn every_key_is_listed_once_and_in_order() {
    let program = Keystile::new();
    let format = KeyFormat::structured("ks").unwrap();
    let request = IssueRequest::new("Acme Ltd").unwrap();
    let request = request.expires_in(Millis::from_days(1)).unwrap();
    let now = UnixMillis::new(1_600_000_000_000).unwrap();
    let mut batch = Batch::new();
    for _ in 0..KEYS {
        let issued = issue(&format, &PepperRing::none(), &request, &mut SysRng, now).unwrap();
        batch.inserts.push(issued.record);
        batch.events.push(issued.event);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(program.folder().join("keystile.db")).unwrap();
        store.migrate().await.unwrap();
        store.commit(&batch).await.unwrap();
    });

    let issued: Vec<&str> = batch
        .inserts
        .iter()
        .map(|record| record.id.as_str())
        .collect();
    let ids = |arguments: &[&str]| -> Vec<String> {
        let objects = program.objects(arguments);
        objects
            .iter()
            .map(|object| text(object, "key_id"))
            .collect()
    };
    assert_eq!(ids(&["list", "--json"]), issued);
    assert_eq!(ids(&["list", "--json", "--limit", "201"]), issued[..201]);
    assert_eq!(ids(&["list", "--json", "--limit", "200"]), issued[..200]);
    assert_eq!(ids(&["list", "--json", "--client", "Acme Ltd"]), issued);
    assert_eq!(ids(&["events", "--json"]), issued);
    assert_eq!(ids(&["events", "--json", "--after", "449"]), issued[449..]);
    // All of them ended long ago.
    let due: BTreeSet<String> = ids(&["plan", "--json"]).into_iter().collect();
    assert_eq!(due.len(), KEYS);
    assert_eq!(program.run(&["list"]).output.lines().count(), KEYS + 1);
}
