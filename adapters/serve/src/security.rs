//! Where the OpenAPI document says that keys are read from: the sources that are set.

use keystile::CredentialSources;
use serde_json::{Map, Value, json};

/// What an operation has in its description if it takes a key.
const KEY: &str = "key_header";
const BEARER: &str = "bearer";

/// Replaces the default sources in a document by these.
pub(crate) fn secure(document: &mut Value, sources: &CredentialSources) {
    let schemes = schemes(sources);
    let alternatives: Vec<Value> = schemes
        .iter()
        .map(|(name, _)| json!({ name: [] }))
        .collect();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    let items = paths.into_iter().flat_map(|paths| paths.values_mut());
    let operations = items.filter_map(Value::as_object_mut);
    for operation in operations.flat_map(|item| item.values_mut()) {
        let security = operation.get_mut("security");
        let Some(security) = security.and_then(Value::as_array_mut) else {
            continue;
        };
        let takes_key = |one: &Value| one.get(KEY).is_some() || one.get(BEARER).is_some();
        if security.iter().any(takes_key) {
            security.retain(|one| !takes_key(one));
            security.splice(0..0, alternatives.iter().cloned());
        }
    }
    let components = document.get_mut("components");
    if let Some(components) = components.and_then(Value::as_object_mut) {
        let schemes: Map<_, _> = schemes.into_iter().collect();
        components.insert("securitySchemes".to_owned(), Value::Object(schemes));
    }
}

/// The security schemes with their names, which do not depend on those of the headers. Tools take
/// the first one, so headers of their own come before the schemes of `Authorization`.
fn schemes(sources: &CredentialSources) -> Vec<(String, Value)> {
    let mut schemes = Vec::new();
    let headers = sources.names().filter(|name| *name != "Authorization");
    for (number, header) in (1..).zip(headers) {
        let scheme = json!({ "type": "apiKey", "in": "header", "name": header });
        schemes.push((numbered(KEY, number), scheme));
    }
    let others = sources.schemes().filter(|name| *name != "Bearer");
    if sources.schemes().any(|name| name == "Bearer") {
        let scheme = json!({ "type": "http", "scheme": "bearer" });
        schemes.push((BEARER.to_owned(), scheme));
    }
    for (number, name) in (1..).zip(others) {
        let scheme = json!({ "type": "http", "scheme": name.to_ascii_lowercase() });
        schemes.push((numbered("scheme", number), scheme));
    }
    schemes
}

fn numbered(name: &str, number: u32) -> String {
    match number {
        1 => name.to_owned(),
        _ => format!("{name}_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secured(sources: &CredentialSources) -> Value {
        let key = json!([{ "key_header": [] }, { "bearer": [] }]);
        let may = json!([{ "key_header": [] }, { "bearer": [] }, {}]);
        let mut document = json!({
            "components": {},
            "paths": { "/a": {
                "get": { "security": key },
                "post": { "security": may },
                "put": { "security": [] },
            } },
        });
        secure(&mut document, sources);
        document
    }

    #[test]
    fn the_document_names_the_sources_that_are_set() {
        let default = secured(&CredentialSources::new());
        let expected = json!({
            "key_header": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            "bearer": { "type": "http", "scheme": "bearer" },
        });
        assert_eq!(default["components"]["securitySchemes"], expected);
        let usual = &default["paths"]["/a"]["get"]["security"];
        assert_eq!(
            usual,
            &json!([{ "key_header": [] }, { "bearer": [] }]),
            "in this order"
        );
        let own = CredentialSources::none().with_header("X-Acme-Key").unwrap();
        let own = own.with_scheme("Api-Key").unwrap();
        let own = own.with_scheme("Token").unwrap();
        let document = secured(&own);
        let expected = json!({
            "key_header": { "type": "apiKey", "in": "header", "name": "X-Acme-Key" },
            "scheme": { "type": "http", "scheme": "api-key" },
            "scheme_2": { "type": "http", "scheme": "token" },
        });
        assert_eq!(document["components"]["securitySchemes"], expected);
        let any = [
            json!({ "key_header": [] }),
            json!({ "scheme": [] }),
            json!({ "scheme_2": [] }),
        ];
        let operations = &document["paths"]["/a"];
        assert_eq!(operations["get"]["security"], json!(any));
        assert_eq!(
            operations["post"]["security"].as_array().unwrap()[3],
            json!({})
        );
        assert_eq!(operations["put"]["security"], json!([]));
    }
}
