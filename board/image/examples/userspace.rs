//! Makes the user space alone: `cargo run -p board-image --example userspace -- PROGRAMS`.

use std::path::PathBuf;

use anyhow::Context;
use board_image::userspace::{Settings, userspace};

fn main() -> anyhow::Result<()> {
    let programs: PathBuf = std::env::args_os()
        .nth(1)
        .context("name the folder of the programs")?
        .into();
    let settings = Settings {
        board: "qemu-aarch64".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        site: "edge".to_owned(),
        development: true,
        without_tpm: std::env::var_os("WITHOUT_TPM").is_some(),
        commission_keys: Vec::new(),
        upstreams: Vec::new(),
    };
    let made = userspace(&board_forge::Cache::open()?, &programs, &settings)?;
    print!("{}", std::fs::read_to_string(&made.sizes)?);
    println!("{}\n{}", made.root.display(), made.initrd.display());
    Ok(())
}
