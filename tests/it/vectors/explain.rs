//! Explanations of decisions, as JSON.

use keystile::explain;

use crate::vectors::case::replay;
use crate::vectors::decisions::Scene;

#[test]
fn explanations() {
    replay("explain.json", |name, scene: Scene| {
        let record = scene.record.as_ref().unwrap();
        let usage = scene.usage();
        let explained = scene.ask(name, |request| {
            explain(&scene.verifier(), record, request, &usage, scene.now)
        });
        assert_eq!(explained.decision, scene.decide(name), "{name}");
        serde_json::to_value(&explained).unwrap()
    });
}
