//! Where the service reads keys from, which paths it takes, and how it names whose key it was.

use keystile::{CredentialSources, Millis, PathProfile, RateLimit};

use crate::head::values;
use crate::keys;
use crate::service::Running;

const GATE: &str = "GET /v1/authorize/envoy/api/data";

/// The status and the code of a gateway's request with these headers.
async fn judged(running: &Running, headers: &[&str]) -> (u16, String) {
    let headers: Vec<String> = headers.iter().map(|line| (*line).to_owned()).collect();
    let answer = running.ask(GATE, &headers, None).await;
    let problem: Option<serde_json::Value> = serde_json::from_str(&answer.body).ok();
    let code = problem.map(|problem| problem["code"].as_str().unwrap().to_owned());
    (answer.status, code.unwrap_or_default())
}

/// O9: a user's token beside the key changes nothing.
#[tokio::test]
async fn a_users_token_beside_the_key_is_not_a_second_key() {
    let running = Running::start().await;
    let key = &running.keys["key"];
    for length in [60, 900, 8_000] {
        let token = "eyJhbGciOi.".repeat(length / 11);
        let bearer = format!("Authorization: Bearer {token}");
        let own = format!("X-API-Key: {key}");
        assert_eq!(judged(&running, &[&own, &bearer]).await.0, 200);
        let swapped = [
            format!("X-API-Key: {token}"),
            format!("Authorization: Bearer {key}"),
        ];
        assert_eq!(judged(&running, &[&swapped[0], &swapped[1]]).await.0, 200);
        let alone = judged(&running, &[&bearer]).await;
        assert_eq!(alone, (401, "invalid_key".to_owned()));
    }
    let both = [
        format!("X-API-Key: {key}"),
        format!("Authorization: Bearer {}", running.keys["reader"]),
    ];
    let (status, code) = judged(&running, &[&both[0], &both[1]]).await;
    assert_eq!((status, &*code), (400, "conflicting_credentials"));
    running.stop().await;
}

#[tokio::test]
async fn a_token_in_authorization_is_no_guess_and_one_in_a_key_header_is() {
    let limit = RateLimit::new(3, Millis::from_hours(1)).unwrap();
    let running = Running::with(|settings| settings.invalid_keys = Some(limit)).await;
    let client = "X-Forwarded-For: 192.0.2.1";
    for _ in 0..10 {
        let alien = judged(
            &running,
            &[client, "Authorization: Bearer eyJhbGciOi.e30.c2ln"],
        )
        .await;
        assert_eq!(alien, (401, "invalid_key".to_owned()));
    }
    for _ in 0..3 {
        let guess = judged(&running, &[client, "X-API-Key: eyJhbGciOi.e30.c2ln"]).await;
        assert_eq!(guess, (401, "invalid_key".to_owned()));
    }
    let limited = judged(&running, &[client, "X-API-Key: eyJhbGciOi.e30.c2ln"]).await;
    assert_eq!(limited, (429, "too_many_invalid_keys".to_owned()));
    running.stop().await;
}

#[tokio::test]
async fn only_the_sources_that_are_set_are_read() {
    let sources = CredentialSources::none().with_header("X-Acme-Key").unwrap();
    let sources = sources.with_scheme("Api-Key").unwrap();
    let running = Running::with(|settings| settings.sources = sources).await;
    let key = &running.keys["key"];
    for (header, status) in [
        (format!("x-acme-key: {key}"), 200),
        (format!("Authorization: api-key {key}"), 200),
        (format!("Authorization: Bearer {key}"), 401),
        (format!("X-API-Key: {key}"), 401),
    ] {
        assert_eq!(judged(&running, &[&header]).await.0, status, "{header}");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_encoded_slash_is_data_only_where_that_is_set() {
    for (profile, expected) in [
        (PathProfile::Strict, 403),
        (PathProfile::EncodedSlashIsData, 200),
    ] {
        let running = Running::with(|settings| settings.path_profile = profile).await;
        let headers = [format!("X-API-Key: {}", running.keys["key"])];
        for (path, status) in [
            ("/@scope%2Fpackage", expected),
            ("/a%2F..%2Fb", 403),
            ("/a%2F%2Fb", 403),
        ] {
            let request = format!("GET /v1/authorize/envoy{path}");
            let answer = running.ask(&request, &headers, None).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn a_parser_of_lists_sees_one_value_in_each_name() {
    let running = Running::start().await;
    let request = keys::request("Acme, Inc; \"root\"")
        .owner(r"a=b,(c)<d>'\")
        .unwrap();
    let (key, _) = running.issue(request).await;
    let answer = running
        .ask(GATE, &[format!("X-API-Key: {key}")], None)
        .await;
    let client = values(&answer.head, "x-keystile-client");
    assert_eq!(client, ["Acme%2C Inc%3B %22root%22"]);
    let owner = values(&answer.head, "x-keystile-owner");
    assert_eq!(owner, ["a%3Db%2C%28c%29%3Cd%3E%27%5C"]);
    running.stop().await;
}

/// What a client is told, and what the document says, are the sources that are set.
#[tokio::test]
async fn a_401_and_the_document_name_the_sources_that_are_set() {
    let own = CredentialSources::none().with_header("X-Acme-Key").unwrap();
    let own = own.with_scheme("Api-Key").unwrap();
    for (sources, missing, invalid, schemes) in [
        (
            CredentialSources::new(),
            "Bearer",
            "Bearer error=\"invalid_token\"",
            ["bearer", "key_header"],
        ),
        (own, "Api-Key", "Api-Key", ["key_header", "scheme"]),
    ] {
        let running = Running::with(|settings| settings.sources = sources).await;
        let wrong = ["X-Acme-Key: a", "X-API-Key: a", "Authorization: Api-Key a"];
        for (headers, expected) in [(&[][..], missing), (&wrong, invalid)] {
            let headers: Vec<String> = headers.iter().map(|line| (*line).to_owned()).collect();
            // A route for gateways, and one for a holder.
            for route in [GATE, "GET /v1/self"] {
                let answer = running.ask(route, &headers, None).await;
                assert_eq!(answer.status, 401, "{route}: {answer:?}");
                let challenge = values(&answer.head, "www-authenticate");
                assert_eq!(challenge, [expected], "{route}");
            }
        }
        let document: serde_json::Value = serde_json::from_str(&running.document).unwrap();
        let named = &document["components"]["securitySchemes"];
        let named: Vec<&String> = named.as_object().unwrap().keys().collect();
        assert_eq!(named, schemes);
        let taken = document["paths"]["/v1/keys"]["get"]["security"].as_array();
        assert_eq!(taken.unwrap().len(), 2);
        running.stop().await;
    }
}
