//! MEC 010-2, package management: the same packages in two trees, by their own name and by their descriptor's.

use serde_json::json;

use super::{Row, row};
use crate::bench::{Bench, Call, NOBODY};
use crate::packages::{Package, announcement};

const THERE: &str = "the collection is always there";
const NOTHING_NAMED: &str = "nothing in the body names a resource of the node";

/// Operations of a tree, and what it calls a package.
struct Tree {
    list: &'static str,
    create: &'static str,
    read: &'static str,
    change: &'static str,
    delete: &'static str,
    descriptor: &'static str,
    download: &'static str,
    upload: &'static str,
    name: fn(&Package) -> &str,
}

const BY_PACKAGE: Tree = Tree {
    list: "mec010-2-package-management/listPackages",
    create: "mec010-2-package-management/createPackage",
    read: "mec010-2-package-management/readPackage",
    change: "mec010-2-package-management/changePackage",
    delete: "mec010-2-package-management/deletePackage",
    descriptor: "mec010-2-package-management/readPackageDescriptor",
    download: "mec010-2-package-management/downloadPackage",
    upload: "mec010-2-package-management/uploadPackage",
    name: |package| &package.id,
};

const BY_DESCRIPTOR: Tree = Tree {
    list: "mec010-2-package-management/listOnboardedPackages",
    create: "mec010-2-package-management/createOnboardedPackage",
    read: "mec010-2-package-management/readOnboardedPackage",
    change: "mec010-2-package-management/changeOnboardedPackage",
    delete: "mec010-2-package-management/deleteOnboardedPackage",
    descriptor: "mec010-2-package-management/readOnboardedPackageDescriptor",
    download: "mec010-2-package-management/downloadOnboardedPackage",
    upload: "mec010-2-package-management/uploadOnboardedPackage",
    name: |package| &package.descriptor,
};

pub fn rows() -> Vec<Row> {
    let mut all = subscriptions();
    for tree in [&BY_PACKAGE, &BY_DESCRIPTOR] {
        all.extend(resources(tree));
        all.extend(content(tree));
    }
    all
}

fn create(bench: &Bench) -> Call {
    let announcement = announcement(bench, &"0".repeat(64));
    bench.call([]).json(&announcement)
}

fn resources(tree: &'static Tree) -> Vec<Row> {
    vec![
        row(tree.list, |bench| Ok(bench.call([]))).never(404, THERE),
        row(tree.create, |bench| Ok(create(bench)))
            .never(404, NOTHING_NAMED)
            .by(409, |bench| {
                let call = create(bench);
                bench.made("mec010-2-package-management/createPackage", &call)?;
                Ok(call)
            }),
        row(tree.read, |bench| {
            Ok(bench.call([(tree.name)(&bench.package()?)]))
        }),
        row(tree.change, |bench| {
            let package = bench.package()?;
            let state = bench.other_state(&package)?;
            let call = bench.call([(tree.name)(&package)]);
            Ok(call.json(&json!({"operationalState": state})))
        })
        .by(409, |bench| {
            let call = bench.call([(tree.name)(&bench.disabled_package()?)]);
            Ok(call.json(&json!({"operationalState": "DISABLED"})))
        }),
        row(tree.delete, |bench| {
            Ok(bench.call([&bench.empty_package()?]))
        })
        .by(409, |bench| {
            bench.running()?;
            Ok(bench.call([(tree.name)(&bench.package()?)]))
        })
        .after(|bench, call, _| bench.gone("mec010-2-package-management/readPackage", call)),
    ]
}

fn content(tree: &'static Tree) -> Vec<Row> {
    let download = |bench: &Bench| -> anyhow::Result<Call> {
        let call = bench.call([(tree.name)(&bench.package()?)]);
        Ok(call.accept("application/zip"))
    };
    vec![
        row(tree.descriptor, |bench| {
            Ok(bench.call([(tree.name)(&bench.package()?)]))
        })
        .by(409, |bench| Ok(bench.call([&bench.empty_package()?]))),
        row(tree.download, download)
            .by(206, move |bench| {
                Ok(download(bench)?.header("Range", "bytes=0-9"))
            })
            .by(409, |bench| {
                let call = bench.call([&bench.empty_package()?]);
                Ok(call.accept("application/zip"))
            })
            .by(416, move |bench| {
                Ok(download(bench)?.header("Range", "bytes=999999999999-"))
            }),
        row(tree.upload, |bench| {
            let call = bench.call([&bench.empty_package()?]);
            Ok(call.bytes("application/zip", b"PK".to_vec()))
        })
        // So many come already, and slowly.
        .by(503, |bench| {
            bench.arrivals()?;
            let call = bench.call([&bench.empty_package()?]);
            Ok(call.bytes("application/zip", b"PK".to_vec()))
        })
        .by(409, |bench| {
            let call = bench.call([(tree.name)(&bench.package()?)]);
            Ok(call.bytes("application/zip", b"PK".to_vec()))
        }),
    ]
}

fn subscribe(bench: &Bench) -> Call {
    bench.call([]).json(&json!({
        "callbackUri": NOBODY, "subscriptionType": "AppPackageChangeSubscription",
    }))
}

fn subscription(bench: &Bench) -> anyhow::Result<String> {
    bench.renewed(
        "mec010-2-package-management/createSubscription",
        "mec010-2-package-management/deleteSubscription",
        &subscribe(bench),
    )
}

fn subscriptions() -> Vec<Row> {
    vec![
        row("mec010-2-package-management/listSubscriptions", |bench| {
            subscription(bench)?;
            Ok(bench.call([]))
        })
        .never(404, THERE),
        row("mec010-2-package-management/createSubscription", |bench| {
            Ok(subscribe(bench))
        })
        .never(404, NOTHING_NAMED),
        row("mec010-2-package-management/readSubscription", |bench| {
            Ok(bench.call([&subscription(bench)?]))
        }),
        row("mec010-2-package-management/deleteSubscription", |bench| {
            Ok(bench.call([&subscription(bench)?]))
        })
        .after(|bench, call, _| bench.gone("mec010-2-package-management/readSubscription", call)),
    ]
}
