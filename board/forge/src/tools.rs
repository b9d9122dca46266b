//! The root that the boot chain and the image are made in, and QEMU runs from.

use crate::{Cache, DebianRoot, RootSpec};

/// Debian packages that the machine itself needs, and why.
pub const NEEDS: &[(&str, &str)] = &[
    ("mmdebstrap", "makes the roots in which everything is built"),
    ("debian-archive-keyring", "the keys of Debian's releases"),
    ("tar", "unpacks roots"),
    ("util-linux", "unshare: a root's mounts are a command's own"),
];

/// What is in the root, and why.
const PACKAGES: &[(&str, &str)] = &[
    ("ca-certificates", "the authorities that an image carries"),
    ("make", "builds the firmware and the kernel"),
    ("gcc", "tools that run while they are built"),
    ("libc6-dev", "headers for these tools"),
    (
        "gcc-aarch64-linux-gnu",
        "compiles the firmware and the kernel",
    ),
    ("libc6-dev-arm64-cross", "headers for trusted applications"),
    (
        "device-tree-compiler",
        "device trees, and fdtput for the tests",
    ),
    ("bison", "Kconfig"),
    ("flex", "Kconfig"),
    ("bc", "the kernel's time constants"),
    ("libelf-dev", "the kernel's objtool"),
    ("swig", "U-Boot's binman"),
    ("python3-dev", "U-Boot's binman"),
    ("python3-setuptools", "U-Boot's binman"),
    ("python3-pyelftools", "OP-TEE's layout"),
    ("python3-cryptography", "OP-TEE signs trusted applications"),
    ("libssl-dev", "TF-A's and U-Boot's tools"),
    ("libgnutls28-dev", "U-Boot's tools"),
    ("uuid-dev", "U-Boot's tools"),
    ("u-boot-tools", "mkimage"),
    ("arm-trusted-firmware-tools", "fiptool and cert_create"),
    ("mtools", "FAT file systems without mounting"),
    ("fdisk", "partition tables"),
    ("dosfstools", "FAT file systems"),
    ("e2fsprogs", "ext4"),
    ("erofs-utils", "the read-only root"),
    ("squashfs-tools", "the read-only root"),
    ("cpio", "the initrd"),
    ("zstd", "compresses it"),
    ("xz-utils", "unpacks sources"),
    ("patch", "Debian's patches"),
    ("rsync", "headers of the kernel"),
    ("kmod", "depmod, which the kernel's build asks for"),
    ("systemd", "systemd-measure, systemd-sysusers"),
    ("systemd-ukify", "unified kernel images"),
    ("sbsigntool", "signs them"),
    ("efitools", "lists of EFI signatures"),
    ("openssl", "keys and certificates"),
    ("opensc", "looks at keys in tokens"),
    ("softhsm2", "a token for tests"),
    ("libengine-pkcs11-openssl", "signs with keys in tokens"),
    ("qemu-system-arm", "a box without a board"),
    ("swtpm", "its TPM"),
    ("swtpm-tools", "makes that TPM"),
    ("tpm2-tools", "asks it from outside"),
    ("dpkg-dev", "reads packages"),
    ("file", "looks at programs"),
    ("xxd", "writes test data"),
    ("time", "measures"),
];

/// The tool root: Debian 13, so that QEMU, ukify and swtpm are new enough on a Debian 12 machine too.
///
/// # Errors
/// mmdebstrap's.
pub fn tools(cache: &Cache) -> anyhow::Result<DebianRoot> {
    RootSpec {
        name: "tool-root",
        suite: "trixie",
        architectures: &["amd64"],
        packages: PACKAGES,
    }
    .make(cache)
}
