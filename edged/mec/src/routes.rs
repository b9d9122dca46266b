//! All interfaces on one router, below the prefix.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use mec_api::app_support;
use mec_api::{bandwidth, lifecycle, package_management, service_management};

use crate::app_support::AppSupport;
use crate::bandwidth::Bandwidth;
use crate::lifecycle::Lifecycle;
use crate::package_management::PackageManagement;
use crate::service_management::ServiceManagement;
use crate::{Gate, Mec, Platform, Problem, Tokens, authorize};
use crate::{docs, node_api, subscribe};

/// All paths, under the configured prefix.
pub fn router<P: Platform>(mec: Arc<Mec<P>>, tokens: Arc<Tokens>) -> Router {
    let prefix = mec.facts.prefix.clone();
    let gate = Gate::new(
        mec.platform.clone(),
        Arc::clone(&tokens),
        &mec.facts.app_host,
        &prefix,
    );
    let interfaces =
        interfaces(&mec).route_layer(axum::middleware::from_fn_with_state(gate, authorize::<P>));
    let paths = node_api::open(mec, tokens)
        .merge(docs::router(&prefix))
        .merge(interfaces);
    let paths = if prefix.is_empty() {
        paths
    } else {
        Router::new().nest(&prefix, paths)
    };
    paths
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("this path does not take this method")
        })
        // Every interface bounds its own bodies; packages are large and streamed.
        .layer(DefaultBodyLimit::disable())
}

/// The generated interfaces, each at its base path.
fn interfaces<P: Platform>(mec: &Arc<Mec<P>>) -> Router {
    let bandwidth = Arc::new(Bandwidth::new(Arc::clone(mec)));
    let instances = Arc::new(Lifecycle::new(Arc::clone(mec)));
    let services = Arc::new(ServiceManagement::new(Arc::clone(mec)));
    let support = Arc::new(AppSupport::new(Arc::clone(mec)));
    let packages = Arc::new(PackageManagement::new(Arc::clone(mec)));
    Router::new()
        .nest(
            package_management::BASE,
            package_management::router(packages),
        )
        .nest(app_support::BASE, app_support::router(support))
        .nest(bandwidth::BASE, bandwidth::router(bandwidth))
        .nest(lifecycle::BASE, lifecycle::router(instances))
        .nest(
            service_management::BASE,
            service_management::router(services),
        )
        .merge(node_api::closed(Arc::clone(mec)))
        .merge(subscribe::sockets(Arc::clone(mec)))
}
