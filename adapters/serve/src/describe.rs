//! What the OpenAPI document has beside the descriptions of the handlers.

use keystile::CredentialSources;
use serde_json::{Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, RefOr, Required, Server};

use crate::authorize;
use crate::security::secure;

#[derive(utoipa::OpenApi)]
#[openapi(paths(authorize::envoy))]
struct ByHand;

/// Completes the document that the handlers give, for a service that reads keys from these
/// sources: what generators of clients need, too.
pub(crate) fn describe(mut api: OpenApi, sources: &CredentialSources) -> Value {
    api.merge(ByHand::openapi());
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, method, operation);
        }
        let needed = [
            "/v1/keys",
            "/v1/keys/revoke",
            "/v1/keys/suspend",
            "/v1/keys/change",
        ];
        let may_be_left_out = !needed.contains(&path.as_str());
        let body = item
            .post
            .as_mut()
            .and_then(|post| post.request_body.as_mut());
        if let Some(RefOr::T(body)) = body.filter(|_| may_be_left_out) {
            body.required = Some(Required::False);
        }
    }
    // Relative to where the document is: it does not know the address of the service.
    api.servers = Some(vec![Server::new("/")]);
    api.info.title = "keystile".to_owned();
    api.info.description = Some(
        "Issue, verify, rotate and revoke API keys, and authorize requests for gateways. \
         Errors are JSON with error, message and a stable code."
            .to_owned(),
    );
    // If these are not set, the document contains those of utoipa.
    api.info.contact = None;
    api.info.license = Some(utoipa::openapi::License::new(env!("CARGO_PKG_LICENSE")));
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api.components.get_or_insert_default();
    // All keys are strings, so this does not fail.
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    tidy(&mut document);
    secure(&mut document, sources);
    document
}

/// Corrects what the schemas of the handlers have beyond what is valid: a default of `null` for
/// a value that must not be null, and a parameter that may be null, which no header can be.
fn tidy(document: &mut Value) {
    without_null_defaults(document);
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(|paths| paths.values_mut());
    let operations = items.filter_map(Value::as_object_mut);
    for operation in operations.flat_map(|item| item.values_mut()) {
        let parameters = operation.get_mut("parameters");
        let parameters = parameters.and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            let Some(kind) = parameter.pointer_mut("/schema/type") else {
                continue;
            };
            if let Some(one) = kind.as_array().and_then(|kinds| kinds.first()).cloned() {
                *kind = one;
            }
        }
    }
}

fn without_null_defaults(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("default").is_some_and(Value::is_null) {
                members.remove("default");
            }
            members.values_mut().for_each(without_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null_defaults),
        _ => {}
    }
}

/// The operations of a path, with the name of their method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", &mut item.get),
        ("head", &mut item.head),
        ("post", &mut item.post),
        ("put", &mut item.put),
        ("patch", &mut item.patch),
        ("delete", &mut item.delete),
        ("options", &mut item.options),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete(path: &str, method: &str, operation: &mut Operation) {
    // By default the id is the name of the handler. Generated clients need unique ones.
    match path {
        "/v1/authorize/envoy/{path}" => operation.operation_id = Some(format!("envoy_{method}")),
        "/v1/keys/revoke" => operation.operation_id = Some("revoke_keys".to_owned()),
        "/v1/keys/suspend" => operation.operation_id = Some("suspend_keys".to_owned()),
        "/v1/keys/change" => operation.operation_id = Some("change_keys".to_owned()),
        "/v1/templates" => operation.operation_id = Some("list_templates".to_owned()),
        "/v1/templates/{name}" => operation.operation_id = Some(format!("{method}_template")),
        "/v1/templates/{name}/apply" => {
            operation.operation_id = Some("apply_template".to_owned());
        }
        "/v1/keys/{id}/events" => operation.operation_id = Some("events_of_key".to_owned()),
        "/v1/events" => operation.operation_id = Some("events".to_owned()),
        _ => {}
    }
    // An empty list: it needs no key. Without one, that would be an omission.
    operation.security.get_or_insert_default();
    let body = operation.request_body.as_mut();
    let (Some(example), Some(RefOr::T(body))) = (example(path, method), body) else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
}

/// A body that the service accepts.
fn example(path: &str, method: &str) -> Option<Value> {
    Some(match (method, path) {
        ("post", "/v1/keys") => json!({
            "client_name": "Acme Ltd",
            "environment": "live",
            "permissions": ["invoices:read"],
            "rate_limit": { "limit": 1000, "window_ms": 3_600_000 },
        }),
        ("patch", "/v1/keys/{id}") => json!({ "client_name": "Acme Corp" }),
        ("post", "/v1/keys/{id}/rotate") => json!({ "overlap_seconds": 86_400 }),
        ("post", "/v1/keys/{id}/suspend" | "/v1/keys/{id}/resume") => {
            json!({ "reason": "an unpaid invoice" })
        }
        ("post", "/v1/keys/{id}/revoke") => json!({ "reason": "leaked in a log" }),
        ("post", "/v1/keys/revoke" | "/v1/keys/suspend") => {
            json!({ "owner": "acme", "reason": "the account was closed" })
        }
        ("post", "/v1/keys/change") => json!({
            "owner": "acme",
            "change": { "rate_limit": { "limit": 5000, "window_ms": 3_600_000 } },
            "dry_run": true,
        }),
        ("put", "/v1/templates/{name}") => json!({
            "permissions": ["invoices:read"],
            "rate_limit": { "limit": 1000, "window_ms": 3_600_000 },
            "expires_in_seconds": 31_536_000,
        }),
        ("post", "/v1/templates/{name}/apply") => json!({ "dry_run": true }),
        ("post", "/v1/verify") => json!({ "requires": "invoices:read" }),
        ("post", "/v1/keys/{id}/explain") => json!({
            "requires": "invoices:read",
            "method": "GET",
            "path": "/api/invoices/7",
            "ip": "192.0.2.7",
        }),
        _ => return None,
    })
}
