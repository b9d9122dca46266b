//! Two packages, one of them refused, and one signer.

use edged_console::{ErrorKind, PackageDetail, PackageView, PlatformError, SignerView};
use edged_model::Bytes;

pub fn good() -> PackageView {
    PackageView {
        id: "5a1c".to_owned(),
        app_d_id: Some("web-1.0.0".to_owned()),
        name: "web".to_owned(),
        version: "1.0.0".to_owned(),
        provider: Some("Example Works".to_owned()),
        onboarding_state: "ONBOARDED".to_owned(),
        enabled: true,
        in_use: true,
        size: Bytes(3 << 20),
        image: Some("package.mec.internal/web:5a1c".parse().unwrap()),
        signer: Some("CN=Example Works".to_owned()),
        failure: None,
    }
}

pub fn list() -> Vec<PackageView> {
    let refused = PackageView {
        id: "77e0".to_owned(),
        app_d_id: None,
        name: "camera".to_owned(),
        version: String::new(),
        provider: None,
        onboarding_state: "CREATED".to_owned(),
        enabled: false,
        in_use: false,
        size: Bytes(0),
        image: None,
        signer: None,
        failure: Some("application.mf: the signature is not right".to_owned()),
    };
    vec![good(), refused]
}

pub fn detail(package: &str) -> Result<PackageDetail, PlatformError> {
    known(package)?;
    Ok(PackageDetail {
        view: good(),
        descriptor: Some(serde_json::json!({"appDId": "web-1.0.0"})),
        files: [("application.yaml".to_owned(), "SHA-256 00ff".to_owned())].into(),
    })
}

pub fn known(package: &str) -> Result<(), PlatformError> {
    if matches!(package, "web-1.0.0" | "5a1c") {
        return Ok(());
    }
    let message = format!("there is no package {package:?}");
    Err(PlatformError::new(ErrorKind::NotFound, message).with_hint("package ls lists them"))
}

pub fn signer(name: &str) -> SignerView {
    SignerView {
        name: name.to_owned(),
        fingerprints: vec!["ab".repeat(32)],
    }
}
