//! A third party's image, packed by a third party's tool, pulled from a real registry.

use anyhow::{Context, ensure};
use umec_tests::images;
use umec_tests::lab::Lab;

#[test]
fn nginx_answers_by_name_to_whom_it_is_allowed_and_to_nobody_else() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let nginx = lab.image("nginx", images::nginx)?;
    let curl = lab.image("curl", |layout| {
        images::curl(layout, "while :; do sleep 100000; done")
    })?;
    let web = ["--health-http", "8080/", "--memory", "64m"];
    lab.run("web", &web, &nginx)?;
    lab.run("friend", &["--reach", "web"], &curl)?;
    lab.run("stranger", &[], &curl)?;
    let ask = |from: &str, url: &str| {
        let words = ["exec", from, "--", "curl", "-sSf", "--max-time", "2", url];
        lab.node.verb(&words)
    };

    let by_name = format!("http://{}:8080/", Lab::host_name("web"));
    let answer = ask("friend", &by_name)?;
    ensure!(answer == images::NGINX_PAGE, "by name: {answer:?}");
    let six = lab.node.dig(&Lab::host_name("web"), "AAAA")?;
    let six = six.first().context("no IPv6 address")?;
    let answer = ask("friend", &format!("http://[{six}]:8080/"))?;
    ensure!(answer == images::NGINX_PAGE, "over IPv6: {answer:?}");

    // The stranger learns the address, and no packet of its gets there.
    let by_address = format!("http://{}:8080/", lab.address("web")?);
    for url in [&by_name, &by_address, &format!("http://[{six}]:8080/")] {
        let refused = ask("stranger", url);
        ensure!(
            refused.is_err(),
            "a container without reach got {refused:?}"
        );
    }
    for name in ["web", "friend", "stranger"] {
        lab.node.verb(&["rm", "--force", name])?;
    }
    lab.node.stop()
}
