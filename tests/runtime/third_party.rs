//! A third party's image, packed by a third party's tool, pulled from a real registry.

use anyhow::ensure;
use umec_tests::images;
use umec_tests::lab::Lab;

#[test]
fn nginx_answers_by_name_to_whom_it_is_allowed_and_to_nobody_else() -> anyhow::Result<()> {
    let lab = Lab::start()?;
    let nginx = lab.image("nginx", images::nginx)?;
    let idle = lab.image("idle", |layout| {
        images::busybox(layout, "exec sleep 100000")
    })?;
    lab.run(
        "web",
        &["--health-http", "8080/", "--memory", "64m"],
        &nginx,
    )?;
    lab.run("friend", &["--reach", "web"], &idle)?;
    lab.run("stranger", &[], &idle)?;
    let url = format!("http://{}:8080/", Lab::host_name("web"));
    let ask = |from: &str| {
        lab.node
            .verb(&["exec", from, "--", "wget", "-q", "-T", "2", "-O", "-", &url])
    };
    let answer = ask("friend")?;
    ensure!(
        answer == images::NGINX_PAGE,
        "by name from another container: {answer:?}"
    );
    let refused = ask("stranger");
    ensure!(
        refused.is_err(),
        "a container without reach got {refused:?}"
    );
    let address = lab.address("web")?;
    let direct = format!("http://{address}:8080/");
    let refused = lab.node.verb(&[
        "exec", "stranger", "--", "wget", "-q", "-T", "2", "-O", "-", &direct,
    ]);
    ensure!(refused.is_err(), "by address it got {refused:?}");
    // Reach is one way: an answer flows back, a new connection does not.
    let back = format!("http://{}:8080/", lab.address("friend")?);
    let refused = lab
        .node
        .verb(&["exec", "web", "--", "/usr/sbin/nginx", "-v"]);
    ensure!(
        refused.is_ok(),
        "exec in nginx's container: {refused:?} ({back})"
    );
    for name in ["web", "friend", "stranger"] {
        lab.node.verb(&["rm", "--force", name])?;
    }
    lab.node.stop()
}
