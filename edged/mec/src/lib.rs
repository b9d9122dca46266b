//! The MEC interfaces over HTTP: tokens, readiness and the service registry.
