//! The pages name the routes, codes and metrics that the service has, and the reference names
//! all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::service::Running;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The cells of each row of a page's tables, without the marks of code.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| {
        line.starts_with("| `") || line.starts_with("| 4") || line.starts_with("| 5")
    });
    rows.map(|row| {
        let cells = row.trim_matches('|').split(" | ");
        cells
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    })
    .collect()
}

#[tokio::test]
async fn the_reference_has_every_route_and_no_other() {
    let running = Running::start().await;
    let document: Value = serde_json::from_str(&running.document).unwrap();
    let mut served = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            served.insert((method.to_uppercase(), path.clone()));
        }
    }
    let page = read("docs/reference/http.md");
    let documented: BTreeSet<(String, String)> = rows(&page)
        .into_iter()
        .filter(|cells| cells.get(1).is_some_and(|path| path.starts_with('/')))
        .map(|cells| (cells[0].clone(), cells[1].clone()))
        .collect();
    assert_eq!(documented, served);
    running.stop().await;
}

/// Each page of the book, and those about the service.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs"), root().join("adapters/serve")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    pages
}

#[tokio::test]
async fn the_pages_name_no_other_route() {
    let running = Running::start().await;
    let document: Value = serde_json::from_str(&running.document).unwrap();
    let served: BTreeSet<&String> = document["paths"].as_object().unwrap().keys().collect();
    let mut count = 0;
    for (page, text) in pages() {
        for rest in text.split("/v1/").skip(1) {
            let is_part = |c: &char| c.is_ascii_alphanumeric() || "/{}$_".contains(*c);
            let route: String = rest.chars().take_while(is_part).collect();
            let parts = route.trim_end_matches('/').split('/');
            // An id, as a placeholder, a variable of a shell or itself.
            let is_id = |part: &str| part.starts_with(['$', '1']) || part == "ID";
            let parts: Vec<&str> = parts
                .map(|part| if is_id(part) { "{id}" } else { part })
                .collect();
            let route = format!("/v1/{}", parts.join("/"));
            let is_served = served
                .iter()
                .any(|path| **path == route || path.starts_with(&format!("{route}/")));
            let is_for_envoy = route.starts_with("/v1/authorize/envoy/");
            assert!(is_served || is_for_envoy, "{}: {route}", page.display());
            count += 1;
        }
    }
    assert!(count >= 60, "only {count} routes in the pages");
    running.stop().await;
}

/// `row("name", …, 401, 403)` in the source of the core's codes.
fn denials() -> BTreeSet<(String, String)> {
    let source = read("src/decision/denial_code.rs");
    let rows = source.split("=> row(\"").skip(1);
    rows.map(|row| {
        let (name, rest) = row.split_once('"').unwrap();
        let (statuses, _) = rest.split_once("),\n").unwrap();
        let statuses: Vec<&str> = statuses.rsplit(", ").take(2).collect();
        (name.to_owned(), format!("{}, {}", statuses[1], statuses[0]))
    })
    .collect()
}

#[test]
fn the_reference_has_every_denial_with_its_statuses_and_no_other() {
    let page = read("docs/reference/errors.md");
    let denials = denials();
    assert!(denials.len() >= 15, "{denials:?}");
    let documented: BTreeSet<(String, String)> = rows(&page)
        .into_iter()
        .filter(|cells| cells.len() == 5 && cells[1].contains(", "))
        .map(|cells| (cells[0].clone(), cells[1].clone()))
        .collect();
    assert_eq!(documented, denials);
}

/// The codes in the source: the argument after the title of a problem, and those in the bodies
/// of rejections.
#[test]
fn the_reference_has_every_other_code() {
    let page = read("docs/reference/errors.md");
    let documented: BTreeSet<String> = rows(&page)
        .into_iter()
        .filter(|cells| cells[0].parse::<u16>().is_ok())
        .map(|cells| cells[1].clone())
        .filter(|code| !code.starts_with("KEYSTILE_"))
        .collect();
    let mut codes = BTreeSet::new();
    let rejection = read("adapters/http/src/rejection.rs");
    let rejection = rejection.split("mod tests").next().unwrap();
    for body in rejection.split(r#""code":""#).skip(1) {
        codes.insert(body.split('"').next().unwrap().to_owned());
    }
    for folder in ["adapters/serve/src", "adapters/http/src"] {
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let source = fs::read_to_string(&path).unwrap();
                let source = source.split("mod tests").next().unwrap();
                for problem in source.split("StatusCode::").skip(1) {
                    let texts: Vec<&str> = problem.split('"').take(4).collect();
                    if let [start, _, between, code] = texts[..]
                        && start.trim_end().ends_with(',')
                        && between.trim() == ","
                    {
                        codes.insert(code.to_owned());
                    }
                }
            }
        }
    }
    assert!(codes.len() >= 12, "{codes:?}");
    assert_eq!(documented, codes);
}

#[tokio::test]
async fn the_page_on_alerts_has_every_metric_and_no_other() {
    let running = Running::start().await;
    // So that each counter has a value.
    let ask = serde_json::json!({ "requires": "read" });
    running
        .call("acme_invented", "POST /v1/verify", Some(&ask))
        .await;
    let served = running.ask("GET /metrics", &[], None).await.body;
    let served: BTreeSet<&str> = served
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let page = read("docs/operations/alerts.md");
    let documented: BTreeSet<String> = rows(&page)
        .into_iter()
        .map(|cells| cells[0].split('{').next().unwrap().to_owned())
        .filter(|name| name.starts_with("keystile_") && !name.contains(' '))
        .map(|name| name.trim_end_matches("_total").to_owned())
        .collect();
    let documented: BTreeSet<&str> = documented.iter().map(String::as_str).collect();
    assert_eq!(documented, served);
    running.stop().await;
}
