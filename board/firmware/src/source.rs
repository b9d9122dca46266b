//! The sources, pinned: Debian's source packages, with Debian's patches.

use board_forge::SourceFile;

/// A program's source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Its folder below `/work`.
    pub folder: &'static str,
    /// What its authors released.
    pub released: SourceFile,
    /// Debian's patches, among them those of security updates.
    pub debian: Option<SourceFile>,
}

/// U-Boot 2025.01-3.2.
pub(crate) const U_BOOT: Source = Source {
    folder: "u-boot",
    released: SourceFile {
        pool: "main/u/u-boot/u-boot_2025.01.orig.tar.bz2",
        sha256: "cdef7d507c93f1bbd9f015ea9bc21fa074268481405501945abc6f854d5b686f",
    },
    debian: Some(SourceFile {
        pool: "main/u/u-boot/u-boot_2025.01-3.2.debian.tar.xz",
        sha256: "de97388eddd65475e8904633ffd8997650736423d5926464b2660a1d6f7ab193",
    }),
};

/// OP-TEE 4.10.0-2.
pub(crate) const OP_TEE: Source = Source {
    folder: "optee",
    released: SourceFile {
        pool: "main/o/optee-os/optee-os_4.10.0.orig.tar.gz",
        sha256: "18633691cb075ff2249422251f1cd77c30439a95b564b46682dea1fb6580a5af",
    },
    debian: Some(SourceFile {
        pool: "main/o/optee-os/optee-os_4.10.0-2.debian.tar.xz",
        sha256: "4f0bad3d39b5623da371845a337bfcae826916e871c54f35017c9931178f01d4",
    }),
};

/// TF-A 2.12.1+dfsg-1.
pub(crate) const TF_A: Source = Source {
    folder: "tf-a",
    released: SourceFile {
        pool: "main/a/arm-trusted-firmware/arm-trusted-firmware_2.12.1+dfsg.orig.tar.xz",
        sha256: "332c08d71867b7f0dce0bce4cb2abd80f19cb3e0a2de6fe07245c111189d6fb7",
    },
    debian: Some(SourceFile {
        pool: "main/a/arm-trusted-firmware/arm-trusted-firmware_2.12.1+dfsg-1.debian.tar.xz",
        sha256: "b553d2ae6149784736979ee1bb6e391a579edc1551ec57618a486b6a1783cbe9",
    }),
};

/// Mbed TLS 3.6.6, which TF-A verifies with; Debian's changes to it concern its own packages.
pub(crate) const MBED_TLS: Source = Source {
    folder: "mbedtls",
    released: SourceFile {
        pool: "main/m/mbedtls/mbedtls_3.6.6.orig.tar.bz2",
        sha256: "8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a",
    },
    debian: None,
};
