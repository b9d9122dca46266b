//! edged ends between any two steps; afterwards an application is there as a whole, or nothing of it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use board::client::until;
use tempfile::TempDir;
use umec_tests::images;
use umec_tests::lab::{Lab, SOON};

use crate::facets::{EVERY_FACET, Empty, web, whole};

/// Steps of a deployment whose image is unpacked.
const MAKING: [&str; 7] = [
    "keep",
    "allow-traffic",
    "grant-account",
    "create-container",
    "attach-link",
    "start-container",
    "announce",
];
/// Steps of a removal.
const REMOVING: [&str; 8] = [
    "keep",
    "withdraw",
    "stop-container",
    "delete-container",
    "detach-link",
    "revoke-account",
    "deny-traffic",
    "forget",
];

/// A node whose edged can be told where to end.
struct Trap {
    lab: Lab,
    file: PathBuf,
    _folder: TempDir,
}

impl Trap {
    fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // edged's own user takes the file away when it has fired.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
        let file = folder.path().join("point");
        let lab = Lab::start_with(|command| {
            command.env("EDGED_FAULT_FILE", &file);
        })?;
        Ok(Self {
            lab,
            file,
            _folder: folder,
        })
    }

    /// Carries out a verb during which edged ends at the point, and waits until edged is back.
    fn spring(&self, point: &str, verb: &[&str]) -> anyhow::Result<()> {
        let before = self.lab.node.pid("edged")?;
        fs::write(&self.file, point)?;
        // Whether the verb had its answer before the end is a matter of luck.
        let answer = self.lab.node.verb(verb);
        until(SOON, || Ok((!self.file.exists()).then_some(())))
            .with_context(|| format!("{point} was never passed; {verb:?} gave {answer:?}"))?;
        until(SOON, || {
            Ok((self.lab.node.pid("edged")? != before).then_some(()))
        })?;
        until(SOON, || self.lab.node.verb(&["ps"]).map(Some)).map(drop)
    }
}

fn run<'a>(name: &'a str, image: &'a str) -> Vec<&'a str> {
    [&["run", "--name", name][..], &EVERY_FACET, &[image]].concat()
}

#[test]
fn a_deployment_that_was_cut_anywhere_is_whole_or_nothing() -> anyhow::Result<()> {
    let trap = Trap::start()?;
    let lab = &trap.lab;
    let image = web(lab)?;
    let empty = Empty::after_first(lab, &image)?;
    for step in MAKING {
        for moment in ["before", "after"] {
            let point = format!("{moment}:{step}");
            trap.spring(&point, &run("cut", &image))?;
            let checked = if point == "before:keep" {
                empty.again(lab)
            } else {
                whole(lab, "cut")
            };
            checked.with_context(|| point.clone())?;
            let _ = lab.node.verb(&["rm", "--force", "cut"]);
            empty
                .again(lab)
                .with_context(|| format!("removed after {point}"))?;
        }
    }
    Ok(())
}

#[test]
fn an_unpacking_that_was_cut_is_done_again() -> anyhow::Result<()> {
    let trap = Trap::start()?;
    let lab = &trap.lab;
    for moment in ["before", "after"] {
        let image = lab.image(moment, |layout| {
            let marker = layout.with_extension("marker");
            fs::write(&marker, moment)?;
            let image = images::busybox(layout, "exec httpd -f -p 8080 -h /srv")?;
            image.insert(&marker, "/marker")?;
            Ok(image)
        })?;
        let point = format!("{moment}:unpack-layer");
        trap.spring(&point, &run(moment, &image))?;
        whole(lab, moment).with_context(|| point.clone())?;
        let marker = lab.node.verb(&["exec", moment, "cat", "/marker"])?;
        ensure!(marker == moment, "{point}: {marker:?}");
    }
    Ok(())
}

#[test]
fn a_removal_that_was_cut_anywhere_leaves_nothing() -> anyhow::Result<()> {
    let trap = Trap::start()?;
    let lab = &trap.lab;
    let image = web(lab)?;
    let empty = Empty::after_first(lab, &image)?;
    for step in REMOVING {
        for moment in ["before", "after"] {
            let point = format!("{moment}:{step}");
            lab.node.verb(&run("cut", &image))?;
            trap.spring(&point, &["rm", "--force", "cut"])?;
            if point == "before:keep" {
                whole(lab, "cut").context("a removal that was never promised")?;
                lab.node.verb(&["rm", "--force", "cut"])?;
            }
            empty.again(lab).with_context(|| point.clone())?;
        }
    }
    Ok(())
}
