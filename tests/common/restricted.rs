//! Requests with a key that is restricted to some endpoints.

use keystile::{Denial, DenialCode, Request};

use crate::common::service::{Service, client};

/// Why a key that is restricted to these rules is refused for this request, or `None` if
/// it is allowed.
pub(crate) fn refusal(rules: &[&str], method: &str, path: &str) -> Option<DenialCode> {
    let mut service = Service::structured();
    let issued = service.issue(&client().endpoints(rules).unwrap());
    let request = Request::new().endpoint(method, path);
    let decision = service.ask_once(issued.key.expose(), &issued.record, &request);
    decision.denial().map(Denial::code)
}

/// Asserts that each path is refused as not canonical, under the given rules and under
/// `/*`.
pub(crate) fn refused_as_not_canonical<I: IntoIterator<Item = S>, S: AsRef<str>>(
    rules: &[&str],
    paths: I,
) {
    let mut service = Service::structured();
    let restricted = service.issue(&client().endpoints(rules).unwrap());
    let to_all = service.issue(&client().endpoints(["/*"]).unwrap());
    let unrestricted = service.issue(&client());
    for path in paths {
        for issued in [&restricted, &to_all, &unrestricted] {
            let request = Request::new().endpoint("GET", path.as_ref());
            let decision = service.ask_once(issued.key.expose(), &issued.record, &request);
            let code = decision.denial().map(Denial::code);
            assert_eq!(
                code,
                Some(DenialCode::PathNotCanonical),
                "{:?}",
                path.as_ref()
            );
        }
    }
}

/// All texts of a slash followed by up to `longest` of these parts.
pub(crate) fn paths(parts: &[&str], longest: usize) -> Vec<String> {
    let mut all = vec![String::from("/")];
    let mut from = 0;
    for _ in 0..longest {
        let to = all.len();
        for at in from..to {
            all.extend(
                parts
                    .iter()
                    .map(|part| format!("{}{part}", all[at]))
                    .collect::<Vec<_>>(),
            );
        }
        from = to;
    }
    all
}
