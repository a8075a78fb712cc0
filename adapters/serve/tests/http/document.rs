//! The OpenAPI document says what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::service::Running;

#[tokio::test]
async fn each_route_is_in_the_document_and_answers() {
    let running = Running::start().await;
    let (status, served) = running.call("", "GET /openapi.json", None).await;
    let document: Value = serde_json::from_str(&running.document).unwrap();
    assert_eq!((status, &served), (200, &document));
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut operations = 0;
    for (path, item) in paths {
        let path = path
            .replace("{id}", "1AAAAAAAAAAAAAAA")
            .replace("{path}", "a/b");
        for method in item.as_object().unwrap().keys() {
            operations += 1;
            let request = format!("{} {path}", method.to_uppercase());
            let answer = running.ask(&request, &[], None).await;
            assert!(
                ![405, 500, 501].contains(&answer.status),
                "{request}: {answer:?}"
            );
            assert!(!answer.body.contains("no_route"), "{request}: {answer:?}");
            let documented = &item[method]["responses"];
            let told = documented.get(answer.status.to_string()).is_some();
            assert!(told, "{request}: {} is not in the document", answer.status);
        }
    }
    assert!(operations >= 24, "{operations} operations");
    running.stop().await;
}

/// Each handler that has an entry in the document is routed, and nothing is routed past it.
#[tokio::test]
async fn nothing_is_routed_past_the_document() {
    let running = Running::start().await;
    let document: Value = serde_json::from_str(&running.document).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut described = 0;
    for source in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for entry in source.split("#[utoipa::path(").skip(1) {
            let path = entry.split("path = \"").nth(1).unwrap();
            let path = path.split('"').next().unwrap();
            assert!(paths.contains_key(path), "{path} is not routed");
            described += 1;
        }
        for by_hand in source.split(".route(\"").skip(1) {
            let path = by_hand.split('"').next().unwrap();
            assert!(path.starts_with("/v1/authorize/envoy/"), "{path}");
        }
    }
    assert!(described >= 18, "{described} handlers");
    running.stop().await;
}

/// Generators of clients stop at an id that is there twice, a scheme that is not defined, or a
/// document without a server.
#[tokio::test]
async fn generators_find_what_they_need() {
    let running = Running::start().await;
    let document: Value = serde_json::from_str(&running.document).unwrap();
    assert_eq!(document["servers"], serde_json::json!([{ "url": "/" }]));
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    assert!(
        !running.document.contains("\"default\":null"),
        "null is no array"
    );
    let mut ids = BTreeSet::new();
    let mut examples = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                ids.insert(id.to_owned()),
                "{id} of {method} {path} is not unique"
            );
            let security = operation["security"].as_array();
            let security = security.unwrap_or_else(|| panic!("{method} {path}: no security"));
            for name in security
                .iter()
                .flat_map(|one| one.as_object().unwrap().keys())
            {
                assert!(schemes.contains_key(name), "{method} {path}: {name}");
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    !parameter["schema"]["type"].is_array(),
                    "{method} {path}: null"
                );
            }
            let Some(body) = operation.get("requestBody") else {
                continue;
            };
            let example = &body["content"]["application/json"]["example"];
            assert!(example.is_object(), "{method} {path}: no example");
            let (_, issued) = running
                .call(
                    &running.admin,
                    "POST /v1/keys",
                    Some(&serde_json::json!({ "client_name": "x" })),
                )
                .await;
            let path = path.replace("{id}", issued["key_id"].as_str().unwrap());
            // The example of the first route with it adds it.
            let path = path.replace("{name}", "pro");
            let request = format!("{} {path}", method.to_uppercase());
            let (status, answer) = running.call(&running.admin, &request, Some(example)).await;
            // A key that is not suspended cannot be resumed: a state, not a wrong body.
            let is_state = status == 409 && path.ends_with("/resume");
            assert!(status < 300 || is_state, "{request}: {status} {answer}");
            examples += 1;
        }
    }
    assert!(examples >= 9, "{examples} examples");
    running.stop().await;
}

fn sources(folder: &Path) -> Vec<String> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else {
            sources.push(fs::read_to_string(path).unwrap());
        }
    }
    sources
}
