//! What the page about ingress-nginx has of tunnels, in a configuration of nginx as the
//! controller writes it. The controller itself is not run.

use std::collections::BTreeSet;

use crate::client::ask;
use crate::gateway::Gateway;
use crate::matrix::{judged, outcomes};
use crate::setup::Setup;
use crate::shapes::shapes;
use crate::upstream::Upstream;

/// By the ConfigMap of the page, the question has the client's `Upgrade`, which nginx leaves out
/// otherwise. Then keystile refuses it.
const QUESTION: &str = "proxy_set_header Upgrade \"$http_upgrade\";";
const WITHOUT_UPGRADE: &str = "";

/// The question is for `read` on each path, so all of `/admin` is reached by this key: here, only
/// what comes through a tunnel counts, which asks for it with a forged owner.
const TUNNELLED: &str = "x-keystile-owner";

#[test]
fn no_tunnel_opens_through_ingress_nginx() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let (upstreams, shapes) = (Upstream::all(&setup.tools), shapes());
    let numbers = shapes.iter().enumerate().filter(|(_, shape)| shape.tunnel);
    let numbers: Vec<usize> = numbers.map(|(at, _)| at).collect();
    let start = |question: &str| {
        let text = include_str!("ingress.conf").replace(QUESTION, question);
        let service = upstreams[0].address;
        let edit = |_: &str, _: String| text.clone();
        Gateway::Nginx.start_edited(&setup.tools, setup.keystile.address, service, edit)
    };
    let mut gateways = [start(QUESTION), start(WITHOUT_UPGRADE)]
        .map(|gateway| (gateway, numbers.clone()))
        .into_iter()
        .collect::<Vec<_>>();
    let outcomes = outcomes(&setup, &upstreams, &mut gateways, &shapes);
    let mut tunnels = [BTreeSet::new(), BTreeSet::new()];
    for ((number, at), outcome) in &outcomes {
        let found = judged(Gateway::Nginx, &shapes[*at], outcome, &setup);
        if found.iter().any(|problem| problem.starts_with(TUNNELLED)) {
            tunnels[*number].insert(&shapes[*at].name);
        }
    }
    let [with, without] = tunnels;
    assert!(with.is_empty(), "{with:?}");
    assert!(
        without.len() > 5,
        "tunnels must be seen to open: {without:?}"
    );
    let (gateway, _) = &gateways[0];
    let key = format!("X-API-Key: {}", setup.words["reader"]);
    let websocket = [
        key.as_str(),
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for (lines, status) in [(&websocket[..1], 200), (&websocket, 101)] {
        let answer = ask(gateway.address, "GET /things", lines);
        assert_eq!(answer.status, status, "{answer:?}");
    }
}
