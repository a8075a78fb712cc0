//! What the annotations of the page about ingress-nginx do, in a configuration of nginx as the
//! controller writes it. The controller itself is not run.

use std::collections::BTreeSet;
use std::path::Path;

use crate::gateway::Gateway;
use crate::matrix::{judged, outcomes};
use crate::setup::Setup;
use crate::shapes::shapes;
use crate::upstream::Upstream;

/// What the template writes, and what it writes with the annotation.
const CONNECTION: &str = "proxy_set_header Connection $connection_upgrade;";
const ANNOTATION: &str = "nginx.ingress.kubernetes.io/connection-proxy-header";

/// The question is for `read` on each path, so all of `/admin` is reached by this key: here, only
/// what comes through a tunnel counts, which asks for it with a forged owner.
const TUNNELLED: &str = "x-keystile-owner";

#[test]
fn with_the_annotation_no_tunnel_opens_through_ingress_nginx() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let (upstreams, shapes) = (Upstream::all(&setup.tools), shapes());
    let numbers = shapes.iter().enumerate().filter(|(_, shape)| shape.tunnel);
    let numbers: Vec<usize> = numbers.map(|(at, _)| at).collect();
    let start = |value: &str| {
        let line = format!("proxy_set_header Connection {value};");
        let text = include_str!("ingress.conf").replace(CONNECTION, &line);
        let service = upstreams[0].address;
        let edit = |_: &str, _: String| text.clone();
        Gateway::Nginx.start_edited(&setup.tools, setup.keystile.address, service, edit)
    };
    let mut gateways = [start(&annotated()), start("$connection_upgrade")]
        .map(|gateway| (gateway, numbers.clone()))
        .into_iter()
        .collect::<Vec<_>>();
    let outcomes = outcomes(&setup, &upstreams, &mut gateways, &shapes);
    let (mut passed, mut tunnels) = ([0; 2], [BTreeSet::new(), BTreeSet::new()]);
    for ((number, at), outcome) in &outcomes {
        passed[*number] += outcome.count();
        let found = judged(Gateway::Nginx, &shapes[*at], outcome, &setup);
        if found.iter().any(|problem| problem.starts_with(TUNNELLED)) {
            tunnels[*number].insert(&shapes[*at].name);
        }
    }
    let [with, without] = tunnels;
    assert!(with.is_empty(), "{with:?}");
    assert!(passed[0] > 10, "requests must still pass: {passed:?}");
    assert!(!without.is_empty(), "the tunnel must be seen to open");
}

/// The value of the annotation on the page.
fn annotated() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gateways/ingress-nginx.md");
    let page = std::fs::read_to_string(page).unwrap();
    let line = page.lines().find(|line| line.contains(ANNOTATION));
    let (_, value) = line
        .and_then(|line| line.split_once(": "))
        .expect("the annotation");
    value.trim_matches('"').to_owned()
}
