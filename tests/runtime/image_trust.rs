//! Whose images a node takes, and whom it makes an operator: asked of the verbs, with images of umoci's and keys of the
//! test's own.

use std::fs;
use std::process::Command;

use anyhow::ensure;
use board::client::until;
use board::image::maker;
use board::process;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

/// Nothing from anywhere but what a known key signed.
const CLOSED: &str =
    r#"{"default":{"signature":{"keys":["*"]}},"local":{"signature":{"keys":["*"]}},"rules":[]}"#;

#[test]
fn a_node_makes_nothing_new_of_what_a_removed_key_signed_and_keeps_what_runs() -> anyhow::Result<()>
{
    let lab = Lab::start()?;
    let page = |layout: &std::path::Path| images::busybox(layout, "exec httpd -f -p 8080 -h /srv");
    let unsigned = lab.image("before", page)?;
    lab.run("before", &["--health-http", "8080/"], &unsigned)?;
    let init = lab.init_of("before")?;

    let policy = lab.folder.path().join("policy.json");
    fs::write(&policy, CLOSED)?;
    let set = lab
        .node
        .verb(&["trust", "policy", "set", &policy.to_string_lossy()])?;
    ensure!(lab.node.verb(&["trust", "policy", "show"])? == set, "{set}");
    let refused = |words: &[&str], sentence: &str| -> anyhow::Result<()> {
        let error = lab.node.verb(words).err().map(|error| format!("{error:#}"));
        let says = error.as_deref().is_some_and(|text| text.contains(sentence));
        ensure!(says, "{words:?}: {error:?}");
        Ok(())
    };
    let again = lab.image("again", page)?;
    refused(&["pull", &again], "no key is trusted yet")?;

    let image = page(&lab.folder.path().join("signed"))?;
    let archive = lab.folder.path().join("signed.tar");
    image.signed_archive(&archive, "umec-test/signed:1")?;
    let (file, key) = (
        archive.to_string_lossy().into_owned(),
        maker(&archive).to_string_lossy().into_owned(),
    );
    refused(&["load", &file], "no key is trusted yet")?;
    lab.node.verb(&["trust", "keys", "add", "maker", &key])?;
    let known = lab.node.verb(&["trust", "keys", "list"])?;
    ensure!(known.contains("maker"), "{known}");
    refused(&["pull", &again], "nobody signed it")?;
    refused(&["run", "--name", "again", &again], "nobody signed it")?;
    lab.node.verb(&["load", &file])?;
    let images = lab.node.verb(&["images", "-o", "json"])?;
    ensure!(images.contains("\"signedBy\": \"maker\""), "{images}");
    lab.run("signed", &["--health-http", "8080/"], "umec-test/signed:1")?;
    lab.get("signed", 8080, "/")?;

    // Neither the policy nor a key that went is asked for what runs, and nothing new is made without them.
    lab.node.verb(&["trust", "keys", "remove", "maker"])?;
    let new = ["run", "--name", "new", "umec-test/signed:1"];
    refused(&new, "signed by maker, a key that is trusted no more")?;
    refused(
        &["run", "--name", "new", &unsigned],
        "pull or load it again, signed",
    )?;
    for name in ["before", "signed"] {
        lab.node.verb(&["stop", name])?;
        lab.node.verb(&["start", name])?;
        lab.wait_ready(name)?;
    }
    ensure!(lab.init_of("before")? != init, "it was not started anew");
    refused(&["load", &file], "no key is trusted yet")?;
    lab.node.kill("edged")?;
    until(SOON, || lab.node.verb(&["ps"]).map(Some))?;
    for name in ["before", "signed"] {
        lab.wait_ready(name)?;
        lab.get(name, 8080, "/")?;
    }
    refused(&new, "a key that is trusted no more")?;

    // The key comes back, under another name, and what is here is enough.
    lab.node.verb(&["trust", "keys", "add", "again", &key])?;
    lab.node.verb(&new)?;
    lab.wait_ready("new")?;
    lab.node.stop()
}

#[test]
fn whoever_is_given_a_certificate_is_an_operator_and_whoever_is_not_is_nobody() -> anyhow::Result<()>
{
    let lab = Lab::start()?;
    let key = lab.folder.path().join("guest");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "guest@desk", "-f"]);
    process::output(keygen.arg(&key))?;
    let says = || {
        let ssh = &lab.node.line.ssh;
        let mut client = Command::new("ssh");
        client.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]);
        client.arg("-i").arg(&key);
        client.args(["-p", &ssh.port.to_string()]);
        let known = format!("UserKnownHostsFile={}", ssh.known_hosts.display());
        client.args(["-o", &known]);
        let to = format!("{}@{}", ssh.user, ssh.host);
        process::output(
            client
                .args([&to, "trust", "keys", "list"])
                .env_remove("SSH_AUTH_SOCK"),
        )
    };
    ensure!(says().is_err(), "a stranger is let in");
    let public = key.with_extension("pub");
    let public = public.to_string_lossy();
    let words = ["trust", "keys", "issue", "--for", "1h", &public];
    let certificate = lab.node.verb(&words)?;
    fs::write(lab.folder.path().join("guest-cert.pub"), certificate)?;
    let listed = says()?;
    ensure!(listed.contains("NAME"), "{listed}");
    lab.node.stop()
}
