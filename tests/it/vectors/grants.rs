//! Rights of new keys: from a request, from a template, from another key.

use keystile::{
    EndpointRules, Error, IssueRequest, Issued, KeyFormat, KeyRecord, Millis, Networks, PepperRing,
    PermissionSet, RateLimit, ScopeTemplate, SysRng, UnixMillis, delegate, issue,
};
use serde::Deserialize;

use crate::vectors::case::replay;
use crate::vectors::form::snake;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    ask: Ask,
    source: Option<KeyRecord>,
    now: UnixMillis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    template: Option<Template>,
    owner: Option<String>,
    environment: Option<String>,
    permissions: Option<Vec<String>>,
    endpoints: Option<Vec<String>>,
    networks: Option<Vec<String>>,
    rate_limit: Option<RateLimit>,
    uses: Option<u64>,
    expires_in_ms: Option<u64>,
    never_expires: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Template {
    Preset(String),
    Own(ScopeTemplate),
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Granted {
    rights: Option<Rights>,
    error: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Rights {
    owner: Option<String>,
    environment: Option<String>,
    permissions: PermissionSet,
    allowed_endpoints: Option<EndpointRules>,
    allowed_networks: Option<Networks>,
    rate_limit: Option<RateLimit>,
    remaining_uses: Option<u64>,
    scope_type: Option<String>,
    expires_at: Option<UnixMillis>,
}

#[test]
fn p4_grants() {
    replay("grants.json", |_, input: Input| {
        match input.ask.made().and_then(|request| input.grant(&request)) {
            Ok(issued) => {
                let source = input.source.as_ref();
                assert!(source.is_none_or(|source| issued.record.is_within(source)));
                Granted {
                    rights: Some(Rights::of(issued.record)),
                    error: None,
                }
            }
            Err(error) => Granted {
                rights: None,
                error: Some(snake(error.kind())),
            },
        }
    });
}

impl Input {
    fn grant(&self, request: &IssueRequest) -> Result<Issued, Error> {
        let format = KeyFormat::structured("acme")?;
        let none = PepperRing::none();
        match &self.source {
            None => issue(&format, &none, request, &mut SysRng, self.now),
            Some(source) => delegate(source, &format, &none, request, &mut SysRng, self.now),
        }
    }
}

impl Ask {
    fn made(&self) -> Result<IssueRequest, Error> {
        let mut request = IssueRequest::new("Acme Ltd")?
            .template(self.template.as_ref().map(Template::made))
            .owner(self.owner.as_deref())?
            .environment(self.environment.as_deref())?
            .rate_limit(self.rate_limit)
            .uses(self.uses)?
            .expires_in(self.expires_in_ms.map(Millis::new))?;
        request.permissions = self
            .permissions
            .as_ref()
            .map(PermissionSet::new)
            .transpose()?;
        request.endpoints = self
            .endpoints
            .as_ref()
            .map(EndpointRules::new)
            .transpose()?;
        request.networks = self.networks.as_ref().map(Networks::new).transpose()?;
        Ok(match self.never_expires {
            Some(true) => request.never_expires(),
            _ => request,
        })
    }
}

impl Template {
    pub(crate) fn made(&self) -> ScopeTemplate {
        match self {
            Self::Preset(name) => ScopeTemplate::preset(name).unwrap(),
            Self::Own(template) => template.clone(),
        }
    }
}

impl Rights {
    fn of(record: KeyRecord) -> Self {
        Self {
            owner: record.owner.map(String::from),
            environment: record.environment.map(|name| name.to_string()),
            permissions: record.permissions,
            allowed_endpoints: record.allowed_endpoints,
            allowed_networks: record.allowed_networks,
            rate_limit: record.rate_limit,
            remaining_uses: record.remaining_uses,
            scope_type: record.scope_type.map(|name| name.to_string()),
            expires_at: record.expires_at,
        }
    }
}
