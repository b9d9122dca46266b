//! `/token`: the one operation without a token, and with errors of its own form (RFC 6749, 5.2).

use super::{Row, row};
use crate::bench::{Bench, Call};

const FORM: &str = "application/x-www-form-urlencoded";

fn form(bench: &Bench, grant: &str, secret: &str) -> Call {
    let form = format!(
        "grant_type={grant}&client_id={}&client_secret={secret}",
        bench.one.id
    );
    let call = bench.call([]).bytes(FORM, form.into_bytes());
    Call {
        token: None,
        ..call
    }
}

pub fn rows() -> Vec<Row> {
    vec![
        row("common/issueToken", |bench| {
            Ok(form(bench, "client_credentials", &bench.secret()?))
        })
        .by(400, |bench| Ok(form(bench, "password", &bench.secret()?)))
        .by(401, |bench| {
            Ok(form(bench, "client_credentials", "guessed"))
        })
        .never(
            429,
            "a secret has 256 bits: guessing is no danger, and every try costs one hash",
        ),
    ]
}
