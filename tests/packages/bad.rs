//! Packages that are refused: with file and field, and nothing of them stays.

use anyhow::{Context, ensure};

use crate::csar::{Csar, DEFINITIONS, IMAGE, MANIFEST, META};
use crate::desk::{Desk, sha256};

/// What is done to a package, and whether the digests and the signature are made anew afterwards.
enum Spoil {
    /// As it is.
    Open(fn(&mut Csar) -> anyhow::Result<()>),
    /// Behind a good signature.
    Sealed(fn(&mut Csar) -> anyhow::Result<()>),
    /// The file itself.
    Raw(fn(Vec<u8>) -> Vec<u8>),
}
use Spoil::{Open, Raw, Sealed};

/// How packages are spoilt, and the words that the problem has to have: file and field.
const CASES: &[(&str, Spoil, &[&str])] = &[
    (
        "wrong hash",
        Open(|csar| {
            csar.file(IMAGE)?.push(0);
            Ok(())
        }),
        &[IMAGE, "application.mf"],
    ),
    (
        "wrong signature",
        Open(|csar| csar.replace(MANIFEST, "A page.", "A pace.")),
        &[MANIFEST],
    ),
    (
        "no signature",
        Open(Csar::strip_signature),
        &[MANIFEST, "not signed"],
    ),
    (
        "a path that escapes",
        Sealed(|csar| {
            csar.add("../evil", b"x");
            Ok(())
        }),
        &["../evil"],
    ),
    (
        "an absolute path",
        Sealed(|csar| {
            csar.add("/etc/evil", b"x");
            Ok(())
        }),
        &["/etc/evil"],
    ),
    (
        "a name twice",
        Sealed(|csar| {
            csar.add("Application.YAML", b"x");
            Ok(())
        }),
        &["Application.YAML"],
    ),
    (
        "no TOSCA.meta",
        Open(|csar| {
            csar.remove(META);
            Ok(())
        }),
        &[META],
    ),
    (
        "TOSCA.meta without definitions",
        Sealed(|csar| csar.replace(META, "Entry-Definitions: application.yaml\n", "")),
        &[META, "Entry-Definitions"],
    ),
    (
        "no manifest",
        Open(|csar| {
            csar.remove(MANIFEST);
            Ok(())
        }),
        &[MANIFEST],
    ),
    (
        "an unlisted file",
        Open(|csar| {
            csar.add("extra.txt", b"x");
            Ok(())
        }),
        &["extra.txt", MANIFEST],
    ),
    (
        "a listed file that is missing",
        Open(|csar| {
            csar.remove(IMAGE);
            Ok(())
        }),
        &[IMAGE],
    ),
    (
        "manifest without product name",
        Sealed(|csar| csar.replace(MANIFEST, "  vnf_product_name: bad\n", "")),
        &[MANIFEST, "vnf_product_name"],
    ),
    (
        "manifest with another id",
        Sealed(|csar| csar.replace(MANIFEST, "vnfd_id: bad-1.0.0", "vnfd_id: other")),
        &[MANIFEST, "vnfd_id"],
    ),
    (
        "a zip bomb",
        Sealed(|csar| csar.add_zeros("zeros", 64 << 20)),
        &["zeros"],
    ),
    (
        "truncated",
        Raw(|mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        &["package"],
    ),
    (
        "no ZIP",
        Raw(|_| b"this is no package".to_vec()),
        &["package"],
    ),
    ("one byte", Raw(|_| b"P".to_vec()), &["package"]),
    (
        "bytes behind the end",
        Raw(|mut bytes| {
            bytes.extend(b"more");
            bytes
        }),
        &["package"],
    ),
    (
        "an unknown node type",
        Sealed(|csar| {
            csar.replace(
                DEFINITIONS,
                "tosca.nodes.nfv.VduCp",
                "tosca.nodes.nfv.Unheard",
            )
        }),
        &[DEFINITIONS, "/topology_template/node_templates/Connection"],
    ),
    (
        "a missing field",
        Sealed(|csar| {
            csar.replace(
                DEFINITIONS,
                "        mec_version:\n          - \"3.1.1\"\n",
                "",
            )
        }),
        &[DEFINITIONS, "mec_version"],
    ),
    (
        "an unknown field",
        Sealed(|csar| {
            csar.replace(
                DEFINITIONS,
                "        flavour_id:",
                "        flavor: \"x\"\n        flavour_id:",
            )
        }),
        &[DEFINITIONS, "flavor"],
    ),
    (
        "a field of another type",
        Sealed(|csar| {
            csar.replace(
                DEFINITIONS,
                "min_number_of_instances: 1",
                "min_number_of_instances: many",
            )
        }),
        &[DEFINITIONS, "min_number_of_instances"],
    ),
    (
        "no YAML",
        Sealed(|csar| {
            *csar.file(DEFINITIONS)? = b"{".to_vec();
            Ok(())
        }),
        &[DEFINITIONS],
    ),
    (
        "an image that is none",
        Sealed(|csar| {
            let old = sha256(csar.file(IMAGE)?);
            let junk = vec![7; 1024];
            let new = sha256(&junk);
            *csar.file(IMAGE)? = junk;
            csar.replace(DEFINITIONS, &old, &new)
        }),
        &[IMAGE],
    ),
];

/// The package is refused with these words, and can be announced and deleted like any other.
fn refused(
    desk: &Desk,
    case: &str,
    content: &[u8],
    checksum: &str,
    words: &[&str],
) -> anyhow::Result<()> {
    let check = || {
        let package = desk.announce(checksum)?;
        desk.put(&package, content)?.expect(202)?;
        let shown = desk.settled(&package)?;
        ensure!(shown["onboardingState"] == "CREATED", "{shown}");
        let problem = &shown["onboardingFailureDetails"];
        let status = problem["status"].as_u64().context("no status")?;
        ensure!((400..500).contains(&status), "{problem}");
        let detail = problem["detail"].as_str().context("no detail")?;
        for word in words {
            ensure!(detail.contains(word), "no {word:?} in {detail:?}");
        }
        desk.delete(&package, 204).map(drop)
    };
    check().with_context(|| case.to_owned())
}

#[test]
fn bad_packages_are_refused_with_file_and_field_and_leave_nothing() -> anyhow::Result<()> {
    let desk = Desk::start()?;
    let folder = desk.folder.path();
    let good = desk.package("bad", "")?;
    for (case, spoil, words) in CASES {
        let content = match spoil {
            Open(with) | Sealed(with) => {
                let mut csar = Csar::read(&good)?;
                with(&mut csar).with_context(|| (*case).to_owned())?;
                if matches!(spoil, Sealed(_)) {
                    csar.seal(folder)?;
                }
                csar.bytes()?
            }
            Raw(spoil) => spoil(good.clone()),
        };
        refused(&desk, case, &content, &sha256(&content), words)?;
        desk.is_empty().with_context(|| (*case).to_owned())?;
    }

    desk.keygen("stranger")?;
    let mut csar = Csar::read(&good)?;
    csar.sign(folder, "stranger")?;
    let content = csar.bytes()?;
    refused(
        &desk,
        "a stranger's signature",
        &content,
        &sha256(&content),
        &[MANIFEST, "not trusted"],
    )?;

    refused(
        &desk,
        "another checksum",
        &good,
        &"0".repeat(64),
        &["package at /checksum"],
    )?;

    let rule = "[[traffic_rules]]\ntraffic_rule_id = \"r\"\nfilter_type = \"FLOW\"\npriority = 1\n\
        traffic_filter = [{ tag = [\"gold\"] }]\naction = \"DROP\"\n";
    let content = desk.package("rule", rule)?;
    refused(
        &desk,
        "a rule that no kernel keeps",
        &content,
        &sha256(&content),
        &[DEFINITIONS, "/appTrafficRule/0"],
    )?;

    let pinned = format!("127.0.0.1:1/page@sha256:{}", "0".repeat(64));
    let content = desk.create("away", &pinned, "")?;
    refused(
        &desk,
        "an image that is nowhere",
        &content,
        &sha256(&content),
        &["127.0.0.1:1/page"],
    )?;
    desk.is_empty()?;

    // The same one unspoilt, and sealed by openssl, is taken: what was refused above was refused for its fault.
    let mut csar = Csar::read(&good)?;
    csar.seal(folder)?;
    let package = desk.onboard(&csar.bytes()?)?;
    let twin = desk.package("bad", "title = \"Twin\"\n")?;
    refused(
        &desk,
        "two with one appDId",
        &twin,
        &sha256(&twin),
        &[DEFINITIONS, "/appDId"],
    )?;
    ensure!(desk.get(crate::desk::ONBOARDED)?.as_array().map(Vec::len) == Some(1));
    desk.switch(&package, "DISABLED", 200)?;
    desk.delete(&package, 204)?;
    desk.is_empty()?;
    desk.node.stop()
}
