//! What the operator reads: every answer against a file, and the exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::pedantic
)] // It is all test, its helpers too.

mod fake;

use edged_console::{Standing, Streams, execute_line};
use fake::Fake;

async fn answer(line: &str, input: &[u8]) -> (u8, String, String) {
    answer_to(Standing::Operator, line, input).await
}

async fn answer_to(standing: Standing, line: &str, input: &[u8]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let streams = Streams {
        input,
        out: &mut out,
        err: &mut err,
    };
    let status = execute_line(&Fake::default(), standing, line, streams).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(out), text(err))
}

/// `UPDATE_GOLDEN=1 cargo test -p edged-console` writes the files anew; the diff is then for a person to read.
async fn golden(file: &str, lines: &[&str]) {
    let mut got = String::new();
    for line in lines {
        let (code, out, err) = answer(line, b"").await;
        got.push_str(&format!("$ {line}\n{out}"));
        if !err.is_empty() {
            got.push_str(&format!("--- standard error\n{err}"));
        }
        got.push_str(&format!("--- exit {code}\n\n"));
    }
    let path = format!("{}/tests/golden/{file}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    assert_eq!(
        got,
        std::fs::read_to_string(&path).unwrap(),
        "{path} differs"
    );
}

#[tokio::test]
async fn answers_about_updates_are_as_written() {
    let lines = [
        "update --help",
        "update install --help",
        "update status",
        "update status -o json",
        "update install",
        "update install https://a.example/5.update",
        "update install 5.update",
        "update confirm",
        "update rollback",
    ];
    golden("updates", &lines).await;
}

#[tokio::test]
async fn tables_are_as_written() {
    let lines = [
        "ps",
        "ps --color",
        "images",
        "stats",
        "status",
        "logs web",
        "logs -t --tail 1 web",
        "run r.io/team/web:1",
        "run -d r.io/team/web:1",
        "pull r.io/web:2",
        "stop web worker",
        "rm -f web",
        "rmi r.io/web:1",
        "start worker",
    ];
    golden("tables", &lines).await;
}

#[tokio::test]
async fn packages_are_as_written() {
    let lines = [
        "package --help",
        "package trust --help",
        "package ls",
        "package ls -o json",
        "package inspect web-1.0.0",
        "package inspect nobody",
        "package install web.csar",
        "package install",
        "package enable web-1.0.0",
        "package disable -o json web-1.0.0 nobody",
        "package rm web-1.0.0",
        "package trust ls",
        "package trust ls -o json",
        "package trust add works c.pem",
        "package trust add works -",
        "package trust rm works",
    ];
    golden("packages", &lines).await;
}

#[tokio::test]
async fn whose_images_are_taken_is_as_written() {
    let lines = [
        "trust keys --help",
        "trust keys list",
        "trust keys list -o json",
        "trust keys add team",
        "trust keys add team --until 2028-02-29",
        "trust keys add team --until tomorrow",
        "trust keys add team cosign.pub",
        "trust keys remove team",
        "trust keys issue --for 30m --name jo",
        "trust keys issue --for long",
        "trust keys issue jo.pub",
        "trust keys authority",
        "trust keys authority 192.0.2.7 2001:db8::7",
        "trust keys authority pole.example",
        "trust policy show",
        "trust policy set",
        "trust policy set policy.json",
    ];
    golden("image-trust", &lines).await;
}

#[tokio::test]
async fn json_is_as_written() {
    let lines = [
        "ps -o json",
        "-o json images",
        "stats -o json",
        "status -o json",
        "inspect web",
        "logs -o json web",
        "run -o json r.io/web:1",
        "stop -o json web nobody",
    ];
    golden("json", &lines).await;
}

#[tokio::test]
async fn help_is_as_written() {
    let lines = [
        "--help",
        "run --help",
        "exec --help",
        "logs --help",
        "load --help",
    ];
    golden("help", &lines).await;
}

#[tokio::test]
async fn failures_say_what_to_do() {
    let lines = [
        "",
        "pz",
        "run",
        "run NGINX",
        "run -m lots nginx",
        "ps 'x",
        "logs nobody",
        "inspect nobody -o json",
        "rm web worker",
        "run --name slow --wait 3 r.io/web",
        "run --name broken r.io/web",
        "load",
        "load image.tar",
        "exec nobody true",
        "exec web nothing",
        "exec web",
    ];
    golden("failures", &lines).await;
}

#[tokio::test]
async fn services_and_rules_are_as_written() {
    let lines = [
        "service ls",
        "service ls --color",
        "service inspect camera",
        "service rm camera-0 nobody-0",
        "rule ls",
        "rule ls web --color",
        "rule ls idle",
        "rule ls worker -o json",
        "rule inspect web no-telnet",
        "rule enable web no-telnet",
        "rule disable web no-telnet mirror",
        "dns ls",
        "dns ls web -o json",
        "dns inspect web maps",
        "dns disable web maps -o json",
        "dns enable nobody maps",
        "rule ls nobody",
        "rule enable web",
        "rule enable web a/b",
        "rule set web no-telnet rule.json",
        "dns set web tiles",
        "rule --help",
        "rule set --help",
        "service --help",
    ];
    golden("rules", &lines).await;
}

#[tokio::test]
async fn a_rule_is_set_from_the_whole_input() {
    let rule = br#"{"trafficRuleId": "no-telnet", "state": "INACTIVE"}"#;
    let (code, out, _) = answer("rule set web no-telnet", rule).await;
    assert_eq!((code, out.as_str()), (0, "no-telnet\n"));
    let (_, out, _) = answer("rule set web no-telnet - -o json", rule).await;
    assert!(out.contains("INACTIVE"), "{out}");
    let (code, out, err) = answer("dns set web maps", b"{").await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("hint: nothing has changed"), "{err}");
    let (code, _, err) = answer("rule set web no-telnet", &[b' '; (64 << 10) + 1]).await;
    assert_eq!(code, 1);
    assert!(err.contains("longer than 65536 bytes"), "{err}");
}

#[tokio::test]
async fn exec_ends_with_the_command_s_code() {
    for (line, code) in [
        ("exec web exit 0", 0),
        ("exec web -- exit 42", 42),
        ("exec web exit 255", 255),
        ("exec web killed", 143),
        ("exec web nothing", 127),
        ("exec nobody exit 0", 125),
    ] {
        assert_eq!(answer(line, b"").await.0, code, "{line}");
    }
}

#[tokio::test]
async fn exec_passes_words_and_input_untouched() {
    let (code, out, err) = answer("exec web args -o json 'a b' -- --help", b"").await;
    assert_eq!((code, out.as_str()), (0, ""));
    assert_eq!(
        err,
        "[\"args\", \"-o\", \"json\", \"a b\", \"--\", \"--help\"]\n"
    );
    let (code, out, _) = answer("exec -i web cat", b"in\0put").await;
    assert_eq!((code, out.as_str()), (0, "in\0put"));
    let (code, out, _) = answer("exec web cat", b"not asked for").await;
    assert_eq!((code, out.as_str()), (0, ""));
}

#[tokio::test]
async fn load_reads_the_whole_input() {
    let (code, out, _) = answer("load", &[1; 100_000]).await;
    assert_eq!((code, out.as_str()), (0, "r.io/bytes:100000-100000\n"));
}

#[tokio::test]
async fn a_commissioner_may_look_and_commission_and_nothing_else() {
    let may =
        async |line| answer_to(Standing::Commissioner, line, b"ssh-ed25519 AAAA jo@desk\n").await;
    // A part of the fake box has failed, which status says and ends with 1; it answers all the same.
    assert!(may("status").await.1.contains("edged"));
    for line in ["trust pcrs", "commission --site pole-7"] {
        assert_eq!(may(line).await.0, 0, "{line}");
    }
    for line in [
        "ps",
        "run r.io/web:1",
        "access",
        "reboot",
        "exec web sh",
        "trust keys add me",
        "trust keys remove me",
        "trust policy set",
    ] {
        let (code, out, err) = may(line).await;
        assert!(code != 0 && out.is_empty(), "{line}: {out}");
        assert!(err.contains("commission"), "{line}: {err}");
    }
}

#[tokio::test]
async fn a_guest_does_what_an_operator_does_and_gives_nobody_a_way_in() {
    let may = async |line| answer_to(Standing::Guest, line, b"ssh-ed25519 AAAA jo@desk\n").await;
    for line in [
        "ps",
        "run r.io/web:1",
        "reboot",
        "trust keys list",
        "trust keys authority",
        "trust policy show",
        "package trust ls",
        "update confirm",
    ] {
        assert_eq!(may(line).await.0, 0, "{line}");
    }
    for (line, why) in [
        ("trust keys issue --for 7d", "would never end"),
        ("trust keys add me", "whose software"),
        ("trust keys remove me", "whose software"),
        ("trust policy set", "whose software"),
        ("package trust add me", "whose software"),
        ("package trust rm me", "whose software"),
        ("access", "outlive"),
        ("access --lifetime 1", "outlive"),
        ("commission", "recovery key"),
    ] {
        let (code, out, err) = may(line).await;
        assert_eq!((code, out.as_str()), (1, ""), "{line}");
        assert!(
            err.contains(why) && err.contains("hint: come with a key"),
            "{line}: {err}"
        );
    }
    // What exec itself ends with where the command did not run.
    let (code, _, err) = may("exec web sh").await;
    assert!(code == 125 && err.contains("secrets"), "{code}: {err}");
}

#[tokio::test]
async fn trust_says_what_holds_and_fails_where_something_is_broken() {
    let (code, out, _) = answer("trust status", b"").await;
    assert_eq!(code, 1);
    assert!(
        out.starts_with("off      identity\n         software keys\n         do: fit a TPM\n"),
        "{out}"
    );
    let (_, out, _) = answer("trust status -o json", b"").await;
    assert!(out.contains(r#""do": "fit a TPM""#), "{out}");
    let (code, out, _) = answer("trust attest --nonce 0011223344556677", b"").await;
    assert_eq!(code, 0);
    assert!(out.contains("\"plain\": false"), "{out}");
    for bad in [
        "trust attest",
        "trust attest --nonce 00",
        "trust attest --nonce 001122334455667x",
    ] {
        assert_eq!(answer(bad, b"").await.0, 2, "{bad}");
    }
    let (code, out, _) = answer("trust keys", b"").await;
    assert_eq!((code, out.lines().count()), (0, 2));
}

#[tokio::test]
async fn a_commissioned_box_shows_its_site_its_operators_and_the_recovery_key() {
    let (code, out, _) = answer("commission --site pole-7", b"ssh-ed25519 AAAA jo@desk\n").await;
    assert_eq!(code, 0);
    for part in ["pole-7.mec.internal", "jo@desk", "cbdefghi-jklnrtuv"] {
        assert!(out.contains(part), "{out}");
    }
    let huge = vec![b'a'; (64 << 10) + 1];
    assert_eq!(answer("commission", &huge).await.0, 1);
    assert_eq!(answer("commission --site Pole.7", b"").await.0, 2);
}
