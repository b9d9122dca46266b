//! Whom a token lets in (RFC 6750), and that nobody comes near what is another's.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use board::process;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING as ES256, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use ring::{hmac, rand};
use serde_json::{Value, json};

use crate::bench::{Bench, Call};
use crate::http::{Answer, Request};
use crate::table::{How, rows};

/// Every so many characters of a token, one is changed.
const STEP: usize = 9;

/// The node's own key, as only somebody on the node has it.
fn own_key(bench: &Bench) -> anyhow::Result<EcdsaKeyPair> {
    let path = bench.lab.node.line.dir.join("state/edged/token.key");
    let pem = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body)?;
    EcdsaKeyPair::from_pkcs8(&ES256, &der, &SystemRandom::new())
        .map_err(|error| anyhow::anyhow!("{error}"))
}

fn other_key() -> anyhow::Result<EcdsaKeyPair> {
    let random = SystemRandom::new();
    EcdsaKeyPair::generate_pkcs8(&ES256, &random)
        .ok()
        .and_then(|der| EcdsaKeyPair::from_pkcs8(&ES256, der.as_ref(), &random).ok())
        .context("no key")
}

/// Header and claims, as they are signed.
fn unsigned(algorithm: &str, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": algorithm});
    let part = |value: &Value| BASE64.encode(value.to_string());
    format!("{}.{}", part(&header), part(claims))
}

fn signed(key: &EcdsaKeyPair, claims: &Value) -> anyhow::Result<String> {
    let text = unsigned("ES256", claims);
    let signature = key.sign(&rand::SystemRandom::new(), text.as_bytes());
    let signature = signature.ok().context("not signed")?;
    Ok(format!("{text}.{}", BASE64.encode(signature)))
}

#[test]
fn anybody_verifies_what_a_token_says_of_an_application() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let answer = Request::new("GET", "/api/v1/trust/keys").send(&bench.authority)?;
    let set = answer.expect(200)?;
    let set: Value = serde_json::from_slice(&set.body)?;
    let key = set.pointer("/keys/0").context("no key")?;
    let part = |name: &str| -> anyhow::Result<Vec<u8>> {
        let text = key.get(name).and_then(Value::as_str).context("no part")?;
        Ok(BASE64.decode(text)?)
    };
    let point = [vec![4], part("x")?, part("y")?].concat();
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        bench.one.id,
        bench.secret()?
    );
    let mut asked =
        Request::new("POST", "/token").header("Content-Type", "application/x-www-form-urlencoded");
    asked.body = form.into_bytes();
    let answer = asked.send(&bench.authority)?.expect(200)?;
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let token = answer.get("access_token").and_then(Value::as_str);
    let token = token.context("no token")?;
    let (signed, signature) = token.rsplit_once('.').context("no signature")?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(signed.as_bytes(), &BASE64.decode(signature)?)
        .map_err(|_| anyhow::anyhow!("the published key did not sign it"))?;
    let said = claims(token)?;
    ensure!(said.get("keys") == Some(&json!("software")), "{said}");
    ensure!(said.get("box").is_none(), "{said}");
    let shown = bench.lab.inspect("one")?;
    let pinned = shown.pointer("/pinned/manifest");
    let app = json!({"instance": bench.one.id, "image": pinned.context("no digest")?});
    ensure!(said.get("app") == Some(&app), "{said} for {shown}");

    // Without a TPM there is nothing to prove, and that is what the box says.
    let ask = |nonce: &str, token: &str| {
        let asked = Request::new("POST", "/api/v1/trust/quote").json(&json!({ "nonce": nonce }));
        asked.bearer(token).send(&bench.authority)
    };
    ask(&"0f".repeat(16), token)?.expect(409)?;
    ask("0f", token)?.expect(400)?;
    ask(&"0f".repeat(16), "forged")?.expect(401)?;
    a_day_s_certificate(&bench, token)?;
    let status = Request::new("GET", "/api/v1/trust/status");
    status.bearer(token).send(&bench.authority)?.expect(403)?;
    Ok(())
}

/// The application makes a key with openssl, and has the box vouch for it under its own name, whatever it asks for.
fn a_day_s_certificate(bench: &Bench, token: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let openssl = |words: &[&str]| {
        let mut openssl = Command::new("openssl");
        process::output(openssl.current_dir(folder.path()).args(words))
    };
    let request = ["req", "-new", "-nodes", "-subj", "/CN=bank.example"];
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    openssl(&[&request[..], &key, &["-keyout", "key", "-out", "request"]].concat())?;
    let ask = |body: Vec<u8>| {
        let mut asked = Request::new("POST", "/api/v1/certificates").bearer(token);
        asked.body = body;
        asked.send(&bench.authority)
    };
    let answer = ask(std::fs::read(folder.path().join("request"))?)?.expect(200)?;
    std::fs::write(folder.path().join("chain"), &answer.body)?;
    let ca = bench.lab.node.line.ca.to_string_lossy().into_owned();
    let name = "one.app.edge.mec.internal";
    openssl(&["verify", "-CAfile", &ca, "-verify_hostname", name, "chain"])?;
    let other = openssl(&[
        "verify",
        "-CAfile",
        &ca,
        "-verify_hostname",
        "bank.example",
        "chain",
    ]);
    ensure!(other.is_err(), "it is good for bank.example");
    let day = (24 * 3600 + 60).to_string();
    let ends = openssl(&["x509", "-noout", "-in", "chain", "-checkend", &day]);
    ensure!(ends.is_err(), "it lasts longer than a day");
    ask(b"no request".to_vec())?.expect(400)?;
    ask(vec![b'x'; 9000])?.expect(413)?;
    Ok(())
}

/// The claims of a token.
fn claims(token: &str) -> anyhow::Result<Value> {
    let part = token.split('.').nth(1).context("no claims")?;
    Ok(serde_json::from_slice(&BASE64.decode(part)?)?)
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value;
    changed
}

/// Tokens that nobody may get in with.
fn bad(bench: &Bench) -> anyhow::Result<Vec<(String, String)>> {
    let good = &bench.one.token;
    let (own, other) = (own_key(bench)?, other_key()?);
    let claims = claims(good)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let unsigned_none = unsigned("none", &claims);
    let mut all = vec![
        ("another key", signed(&other, &claims)?),
        (
            "past its end",
            signed(&own, &with(&claims, "exp", json!(now - 1)))?,
        ),
        ("without an end", {
            let mut endless = claims.clone();
            endless.as_object_mut().context("claims")?.remove("exp");
            signed(&own, &endless)?
        }),
        (
            "another audience",
            signed(&own, &with(&claims, "aud", json!("elsewhere")))?,
        ),
        (
            "another issuer",
            signed(&own, &with(&claims, "iss", json!("elsewhere")))?,
        ),
        (
            "another scope",
            signed(&own, &with(&claims, "scope", json!("everything")))?,
        ),
        ("unsigned", format!("{unsigned_none}.")),
        ("unsigned, two parts", unsigned_none),
        ("not a token", "sesame".to_owned()),
        ("three empty parts", "..".to_owned()),
    ];
    // The public key is no secret: used as the key of an HMAC it must not sign.
    let public = own.public_key().as_ref().to_vec();
    for key in [public.clone(), BASE64.encode(&public).into_bytes()] {
        let text = unsigned("HS256", &claims);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
        all.push((
            "HMAC with the public key",
            format!("{text}.{}", BASE64.encode(tag)),
        ));
    }
    let mut all: Vec<_> = all
        .into_iter()
        .map(|(what, token)| (what.to_owned(), token))
        .collect();
    // The last character holds bits that mean nothing.
    for place in (0..good.len() - 1).step_by(STEP) {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        all.push((format!("changed at {place}"), String::from_utf8(bytes)?));
    }
    Ok(all)
}

fn services_of(bench: &Bench) -> String {
    let id = &bench.one.id;
    format!("/mec_service_mgmt/v1/applications/{id}/services")
}

/// 401 with the challenge of RFC 6750, 3: an error code only where a token was there at all.
fn refused(answer: &Answer, had_token: bool) -> anyhow::Result<()> {
    ensure!(answer.status == 401, "not refused: {}", answer.shown());
    let challenge = answer.header("www-authenticate").context("no challenge")?;
    ensure!(challenge.starts_with("Bearer"), "{challenge}");
    ensure!(
        challenge.contains("error=\"invalid_token\"") == had_token
            && challenge.contains("error=") == had_token,
        "{challenge}"
    );
    ensure!(answer.media_type() == Some("application/problem+json"));
    Ok(())
}

#[test]
fn a_bad_token_is_refused_as_rfc_6750_says() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let path = services_of(&bench);
    let get = || Request::new("GET", &path);
    get()
        .bearer(&bench.one.token)
        .send(&bench.authority)?
        .expect(200)?;
    // The scheme's name has no case (RFC 9110, 11.1).
    let loud = format!("BEARER {}", bench.one.token);
    get()
        .header("Authorization", &loud)
        .send(&bench.authority)?
        .expect(200)?;
    refused(&get().send(&bench.authority)?, false).context("without a token")?;
    let basic = get().header("Authorization", "Basic b25lOnR3bw==");
    refused(&basic.send(&bench.authority)?, false).context("another scheme")?;
    for (what, token) in bad(&bench)? {
        let post = Request::new("POST", &path).json(&crate::bench::service());
        for request in [get(), post] {
            let answer = request.bearer(&token).send(&bench.authority)?;
            refused(&answer, true).with_context(|| format!("{what}: {token}"))?;
        }
    }
    let left = get().bearer(&bench.one.token).send(&bench.authority)?;
    ensure!(left.json()? == json!([]), "registered: {}", left.shown());
    // A token ends with its instance.
    bench.lab.node.verb(&["rm", "--force", "two"])?;
    let revoked = get().bearer(&bench.two.token).send(&bench.authority)?;
    refused(&revoked, true).context("of an instance that is gone")?;
    bench.lab.node.stop()
}

/// What the owner sees of a resource and of all that it is in.
fn seen(bench: &Bench, template: &str, call: &Call) -> anyhow::Result<Vec<Value>> {
    let mut seen = Vec::new();
    for operation in bench.contract.operations() {
        let is_around = template == operation.template
            || template.starts_with(&format!("{}/", operation.template));
        if operation.method != "GET" || !is_around {
            continue;
        }
        let read = Call {
            values: call.values.clone(),
            token: Some(bench.all.clone()),
            ..Call::default()
        };
        let answer = bench.send(operation, &read)?;
        if answer.media_type() == Some("application/json") {
            seen.push(answer.json()?);
        }
    }
    Ok(seen)
}

/// Another instance's token on one operation: refused, nothing shown, nothing changed.
fn kept_out(bench: &Bench, name: &str, call: &Call) -> anyhow::Result<()> {
    let operation = bench.contract.operation(name)?;
    let before = seen(bench, &operation.template, call)?;
    let wrong = call.clone().token(&bench.two.token);
    let answer = bench.send(operation, &wrong)?.expect(403)?;
    bench.contract.check(operation, &answer)?;
    let after = seen(bench, &operation.template, call)?;
    ensure!(before == after, "changed: {before:?} became {after:?}");
    Ok(())
}

#[test]
fn a_list_of_all_shows_an_instance_only_its_own() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let body = json!({
        "appInsId": bench.one.id, "requestType": 0, "fixedAllocation": "100000", "allocationDirection": "10",
    });
    let call = bench.call([]).json(&body).token(&bench.one.token);
    bench.made("mec015-bandwidth/createAllocation", &call)?;
    let list = |token: &str| -> anyhow::Result<Value> {
        let call = bench.call([]).token(token);
        let answer = bench.done("mec015-bandwidth/listAllocations", &call, 200)?;
        answer.json()
    };
    ensure!(list(&bench.one.token)?[0]["appInsId"] == bench.one.id.as_str());
    ensure!(list(&bench.two.token)? == json!([]), "two sees it");
    bench.lab.node.stop()
}

#[test]
fn another_instances_token_reads_and_changes_nothing() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    let (mut tried, mut faults) = (0, String::new());
    for row in rows() {
        let is_for_everybody = row
            .answers
            .iter()
            .any(|(status, how)| *status == 403 && matches!(how, How::Never(_)));
        if is_for_everybody || row.operation == "common/issueToken" {
            continue;
        }
        tried += 1;
        if let Err(error) = row
            .good(&bench)
            .and_then(|call| kept_out(&bench, row.operation, &call))
        {
            writeln!(faults, "{}: {error:#}", row.operation)?;
        }
    }
    println!("tokens: {tried} operations refused another instance");
    ensure!(faults.is_empty(), "another instance got in:\n{faults}");
    bench.lab.node.stop()
}
