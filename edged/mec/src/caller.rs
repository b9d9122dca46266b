//! Who asks: a bearer token read once (RFC 6750), and what it lets its bearer do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use edged_model::InstanceId;

use crate::{Access, Application, Picture, Platform, Problem, Tokens};

/// Requests of one caller at once: more than any client library's pool, and a fraction of a listener's connections,
/// so that no application can take all of them.
pub const REQUESTS_AT_ONCE: usize = 64;
/// Seconds after which a caller over its bound is asked to come back.
const COME_BACK_S: u32 = 1;
/// Longest Host: a name of 253 characters and a port.
const HOST_MAX: usize = 260;

/// How requests of a listener come; put among the extensions of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS: the application network, or by an operator's explicit choice.
    Http,
    /// With TLS.
    Https,
}

/// A caller whose bearer token is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    access: Access,
    /// What the caller reached us by, the prefix included and without a last slash: every link begins with it.
    origin: Arc<str>,
}

impl Caller {
    /// A caller with this access that came by `origin` (`http://10.80.0.1:8080/prefix`).
    pub fn new(access: Access, origin: impl Into<Arc<str>>) -> Self {
        Self {
            access,
            origin: origin.into(),
        }
    }

    /// What the caller reached us by: kept with whatever makes links later.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// The absolute URI of a path of ours (`/mec_service_mgmt/v1/services`) as the caller reaches it.
    pub fn href(&self, path: impl std::fmt::Display) -> String {
        format!("{}{path}", self.origin)
    }

    /// The application that asks; `None` for whoever holds a token for everything.
    pub fn instance(&self) -> Option<&InstanceId> {
        match &self.access {
            Access::Instance(id) => Some(id),
            Access::All => None,
        }
    }

    /// Whether the caller may act for an instance; says nothing about whether it exists.
    pub fn may_act_for(&self, instance: &InstanceId) -> bool {
        self.instance().is_none_or(|own| own == instance)
    }

    /// The application of a path, where it exists and the caller may act for it. Another one's token learns nothing
    /// about what exists.
    ///
    /// # Errors
    /// 403 for another instance's token, 404 where there is no such application.
    pub fn application<'a>(
        &self,
        picture: &'a Picture,
        id: &str,
    ) -> Result<&'a Application, Problem> {
        let known = id.parse::<InstanceId>().ok();
        if let Some(own) = self.instance()
            && known.as_ref() != Some(own)
        {
            return Err(foreign());
        }
        known
            .and_then(|id| picture.applications.get(&id))
            .ok_or_else(|| Problem::not_found(format!("there is no application instance {id:?}")))
    }

    /// Whether the caller is an orchestrator or an operator: packages and life cycles are theirs.
    ///
    /// # Errors
    /// 403 for an application's token.
    pub fn orchestrator(&self) -> Result<(), Problem> {
        match self.access {
            Access::All => Ok(()),
            Access::Instance(_) => Err(Problem::forbidden(
                "an application's token does not manage packages and instances; use an orchestrator's",
            )
            .challenged(SCOPE)),
        }
    }
}

/// The challenge for a good token with too small a scope (RFC 6750, 3.1).
const SCOPE: &str = "Bearer realm=\"mec\", error=\"insufficient_scope\"";

fn foreign() -> Problem {
    Problem::forbidden("this token is for another application instance").challenged(SCOPE)
}

/// What the authorization of every request needs.
#[derive(Debug, Clone)]
pub struct Gate<P> {
    platform: P,
    tokens: Arc<Tokens>,
    /// Host and port where a request names none.
    host: Arc<str>,
    prefix: Arc<str>,
    underway: Arc<Mutex<HashMap<Option<InstanceId>, usize>>>,
}

impl<P: Platform> Gate<P> {
    /// A gate of these tokens; links lead below `prefix` on the host of the request, or on `host` where it names none.
    pub fn new(platform: P, tokens: Arc<Tokens>, host: &str, prefix: &str) -> Self {
        Self {
            platform,
            tokens,
            host: host.into(),
            prefix: prefix.into(),
            underway: Arc::default(),
        }
    }

    /// What a request came by. A Host that is none is not repeated.
    fn origin(&self, request: &Request) -> Arc<str> {
        let scheme = match request.extensions().get() {
            Some(Scheme::Https) => "https",
            Some(Scheme::Http) | None => "http",
        };
        let named = request.headers().get(header::HOST);
        let named = named
            .and_then(|value| value.to_str().ok())
            .filter(|host| host.len() <= HOST_MAX)
            .and_then(|host| host.parse::<Authority>().ok())
            .filter(|authority| !authority.as_str().contains('@'));
        let host = named.as_ref().map_or(&*self.host, Authority::as_str);
        format!("{scheme}://{host}{}", self.prefix).into()
    }

    fn access(&self, headers: &HeaderMap) -> Result<Access, Problem> {
        let header = headers.get(header::AUTHORIZATION);
        let words = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '));
        // The name of a scheme has no case (RFC 9110, 11.1).
        let bearer = words.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, bearer)) = bearer else {
            return Err(Problem::unauthorized(
                "a bearer token is needed; get one at /token",
                "Bearer realm=\"mec\"",
            ));
        };
        let refused = || {
            Problem::unauthorized(
                "the token is expired, forged, revoked or for another box; get one at /token",
                "Bearer realm=\"mec\", error=\"invalid_token\"",
            )
        };
        let access = self.tokens.verify(bearer.trim()).ok_or_else(refused)?;
        // A token ends with its instance, whatever its own expiry says.
        if let Access::Instance(id) = &access
            && !self.platform.picture().applications.contains_key(id)
        {
            return Err(refused());
        }
        Ok(access)
    }

    /// Takes one of the caller's places.
    fn enter(&self, caller: &Caller) -> Result<Place, Problem> {
        let key = caller.instance().cloned();
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        let count = underway.entry(key.clone()).or_default();
        if *count >= REQUESTS_AT_ONCE {
            return Err(Problem::too_many_requests(
                "this caller has 64 requests under way; wait for answers first",
                COME_BACK_S,
            ));
        }
        *count += 1;
        Ok(Place {
            key,
            underway: Arc::clone(&self.underway),
        })
    }
}

/// A place among the requests under way, given back when it is dropped.
struct Place {
    key: Option<InstanceId>,
    underway: Arc<Mutex<HashMap<Option<InstanceId>, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = underway.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                underway.remove(&self.key);
            }
        }
    }
}

/// Lets a request in whose token is good, with its [`Caller`] among the extensions.
pub async fn authorize<P: Platform>(
    State(gate): State<Gate<P>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let access = gate.access(request.headers())?;
    let caller = Caller::new(access, gate.origin(&request));
    let _place = gate.enter(&caller)?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
