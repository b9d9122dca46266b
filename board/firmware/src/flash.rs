//! The flash image of QEMU's virt machine.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use board_forge::{Cache, Digest, Inputs, Made, tools};
use board_keys::{Keys, Name};

use crate::{certificates, op_tee, tf_a, u_boot};

/// Where the package begins in the flash, behind BL1 (`plat/qemu/qemu/include/platform_def.h`).
pub(crate) const PACKAGE_PLACE: usize = 0x4_0000;
/// U-Boot of the machine.
const U_BOOT: u_boot::Configuration = u_boot::Configuration {
    defconfig: "qemu_arm64_defconfig",
    fragment: "u-boot/qemu-aarch64.config",
};

/// The firmware of QEMU's virt machine.
#[derive(Debug, Clone)]
pub struct Firmware {
    /// What QEMU's `-bios` takes: BL1, and the package behind it.
    pub flash: PathBuf,
    /// Starts the processor; holds the hash of the root of trust's key. Not measured: it is what trust begins with.
    pub bl1: PathBuf,
    /// Loads, verifies and measures the others.
    pub bl2: PathBuf,
    /// The part of BL2 that BL2 measures: its code and read-only data.
    pub bl2_measured: PathBuf,
    /// The secure monitor.
    pub bl31: PathBuf,
    /// OP-TEE's header.
    pub tee_header: PathBuf,
    /// OP-TEE.
    pub tee_pager: PathBuf,
    /// Empty: OP-TEE is not paged.
    pub tee_pageable: PathBuf,
    /// U-Boot with the variables in it.
    pub u_boot: PathBuf,
    /// The package of all but BL1.
    pub fip: PathBuf,
    /// The variables in U-Boot: PK, KEK, db, dbx.
    pub seed: PathBuf,
    /// U-Boot's configuration.
    pub u_boot_config: PathBuf,
    /// True when the keys are a developer's; U-Boot then says so.
    pub development: bool,
    /// What names this very firmware.
    pub key: Digest,
}

/// One event of TF-A's log, all of which go into PCR 0 in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// The event's data in the log, without its NUL.
    pub event: &'static str,
    /// SHA-256 of what was loaded.
    pub digest: Digest,
}

impl Firmware {
    fn of(made: &Made, development: bool) -> Self {
        Self {
            flash: made.join("flash.bin"),
            bl1: made.join("bl1.bin"),
            bl2: made.join("bl2.bin"),
            bl2_measured: made.join("bl2.measured.bin"),
            bl31: made.join("bl31.bin"),
            tee_header: made.join("tee-header.bin"),
            tee_pager: made.join("tee-pager.bin"),
            tee_pageable: made.join("tee-pageable.bin"),
            u_boot: made.join("u-boot.bin"),
            fip: made.join(certificates::PACKAGE),
            seed: made.join("seed.var"),
            u_boot_config: made.join("u-boot.config"),
            development,
            key: made.key.clone(),
        }
    }

    /// What BL2 writes into the log, as it will be.
    ///
    /// # Errors
    /// A file of the firmware cannot be read.
    pub fn measured(&self) -> anyhow::Result<Vec<Measured>> {
        let of = |event, path| {
            Ok(Measured {
                event,
                digest: Digest::of_file(path)?,
            })
        };
        [
            ("BL_2", &self.bl2_measured),
            ("SECURE_RT_EL3", &self.bl31),
            ("SECURE_RT_EL1_OPTEE", &self.tee_header),
            ("SECURE_RT_EL1_OPTEE_EXTRA1", &self.tee_pager),
            ("BL_33", &self.u_boot),
        ]
        .into_iter()
        .map(|(event, path)| of(event, path))
        .collect()
    }
}

/// Builds the firmware of QEMU's virt machine: TF-A, OP-TEE, U-Boot; the compiled parts are the same for all keys.
///
/// # Errors
/// A source is not to be had, a build fails, an option was not taken, or a key cannot be used.
pub fn qemu_aarch64(cache: &Cache, keys: &Keys) -> anyhow::Result<Firmware> {
    let root = tools(cache)?;
    let tf_a = tf_a::make_qemu(cache, &root)?;
    let op_tee = op_tee::make(cache, &root)?;
    let u_boot = u_boot::make(cache, &root, U_BOOT, keys.development)?;
    let seed = keys.seed()?;
    let mut inputs = Inputs::new()
        .root("root", &root)
        .made("tf-a", &tf_a)
        .made("optee", &op_tee)
        .made("u-boot", &u_boot)
        .text("seed", Digest::of(&seed).as_str());
    for name in [
        Name::Rot,
        Name::TrustedWorld,
        Name::NonTrustedWorld,
        Name::Bl31,
        Name::Bl32,
        Name::Bl33,
        Name::Ta,
    ] {
        inputs = inputs.text(name.as_str(), &keys.fingerprint(name)?);
    }
    let made = cache.step("firmware", &inputs, |out| {
        let copy = |made: &Made, from: &str, to: &str| {
            fs::copy(made.join(from), out.join(to)).with_context(|| format!("there is no {from}"))
        };
        copy(&tf_a, "bl31.bin", "bl31.bin")?;
        copy(&op_tee, "tee-header_v2.bin", "tee-header.bin")?;
        copy(&op_tee, "tee-pageable_v2.bin", "tee-pageable.bin")?;
        copy(&u_boot, ".config", "u-boot.config")?;
        let write = |name: &str, bytes: &[u8]| fs::write(out.join(name), bytes);
        write("seed.var", &seed)?;
        write("u-boot.bin", &u_boot::with_seed(&u_boot, &seed)?)?;
        write(
            "tee-pager.bin",
            &op_tee::with_key(&op_tee, &keys.public_der(Name::Ta)?)?,
        )?;
        let root_of_trust = keys.public_der(Name::Rot)?;
        let bl1 = tf_a::with_root_of_trust(&tf_a, "bl1.bin", &root_of_trust)?;
        let bl2 = tf_a::with_root_of_trust(&tf_a, "bl2.bin", &root_of_trust)?;
        write("bl1.bin", &bl1)?;
        write("bl2.bin", &bl2)?;
        write("bl2.measured.bin", &tf_a::measured(&tf_a, &bl2)?)?;
        certificates::pack(&root, &tf_a, keys, out)?;
        let package = fs::read(out.join(certificates::PACKAGE))?;
        write("flash.bin", &flash(bl1, &package)?)?;
        Ok(())
    })?;
    Ok(Firmware::of(&made, keys.development))
}

fn flash(mut bl1: Vec<u8>, package: &[u8]) -> anyhow::Result<Vec<u8>> {
    if bl1.len() > PACKAGE_PLACE {
        bail!("BL1 has {} bytes and room for {PACKAGE_PLACE}", bl1.len());
    }
    bl1.resize(PACKAGE_PLACE, 0);
    bl1.extend(package);
    Ok(bl1)
}
