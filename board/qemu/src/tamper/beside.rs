//! What somebody lays onto the boot partition beside the signed images: nobody signs that partition.

use std::fs;

use anyhow::Context;
use board_forge::{Bind, Cache, debs, output, run};
use board_image::disk::VARIABLES;
use board_keys::{Keys, Name, Variable, Variables};
use edged_slot::{Slot, next};

use super::BYPASSED;
use super::image::{IMAGE, Images, unsign};
use crate::folder::INSIDE;

/// Where the images of every boot manager find their credentials (systemd-stub(7)).
const GLOBAL: &str = "::/loader/credentials";
/// Where a boot manager looks when nobody told it what to start (UEFI 2.10, 3.5.1.1).
const REMOVABLE: &str = "::/EFI/BOOT/BOOTAA64.EFI";
/// The package with the empty add-on, and the add-on in it.
const STUB_PACKAGE: &str = "systemd-boot-efi";
const STUB: &str = "usr/lib/systemd/boot/efi/addonaa64.efi.stub";

impl Images<'_> {
    /// Lays a file beside each image, as systemd-stub(7) takes it from there: a credential (here a password for root), or
    /// an extension of the root.
    pub fn plant_beside(&self, name: &str) -> anyhow::Result<()> {
        for path in &self.paths {
            self.plant(&format!("{path}.extra.d/{name}"), BYPASSED.as_bytes())?;
        }
        Ok(())
    }

    /// A credential that systemd-stub takes for whichever image it is in.
    pub fn plant_global_credential(&self) -> anyhow::Result<()> {
        let path = format!("{GLOBAL}/passwd.hashed-password.root.cred");
        self.plant(&path, BYPASSED.as_bytes())
    }

    /// Scripts and lists of U-Boot's other boot methods, of the EFI shell, and a program without a signature.
    pub fn plant_boot_methods(&self, program: &[u8]) -> anyhow::Result<()> {
        let echo = format!("echo {BYPASSED}\n");
        fs::write(self.folder.path.join("script"), &echo)?;
        let mut make = self.command("mkimage")?;
        make.args(["-A", "arm64", "-T", "script", "-C", "none", "-d", "script"]);
        run(make.arg("boot.scr"))?;
        let script = fs::read(self.folder.path.join("boot.scr"))?;
        for path in ["::/boot.scr", "::/boot.scr.uimg", "::/boot/boot.scr"] {
            self.plant(path, &script)?;
        }
        let list = format!(
            "timeout 1\ndefault it\nmenu title {BYPASSED}\nlabel it\n  kernel /Image\n  append console=ttyAMA0 {BYPASSED}\n"
        );
        self.plant("::/extlinux/extlinux.conf", list.as_bytes())?;
        self.plant("::/startup.nsh", echo.as_bytes())?;
        self.plant("::/uEnv.txt", format!("bootcmd={echo}").as_bytes())?;
        self.plant("::/Image", program)?;
        self.plant(REMOVABLE, program)
    }

    /// The first image without its signature.
    pub fn program(&self) -> anyhow::Result<Vec<u8>> {
        let mut program = self.read(self.paths.first().context("there is no image")?)?;
        unsign(&mut program)?;
        Ok(program)
    }

    /// Writes U-Boot's file of variables anew: secure boot is off in it, its keys are somebody else's, and db has those of
    /// this box as well, so that the kernel inside an image would be taken too. The images are signed by somebody else.
    pub fn plant_keys(&self, keys: &Keys) -> anyhow::Result<()> {
        self.sign_by_somebody_else()?;
        fs::copy(keys.certificate(Name::Db), self.folder.path.join("db.crt"))?;
        let list = |name: &str| -> anyhow::Result<Vec<u8>> {
            let mut make = self.command("cert-to-efi-sig-list")?;
            run(make.args([&format!("{name}.crt"), "list.esl"]))?;
            Ok(fs::read(self.folder.path.join("list.esl"))?)
        };
        let (foreign, own) = (list("foreign")?, list("db")?);
        let all = vec![
            Variable::global("SecureBoot", vec![0]),
            Variable::global("SetupMode", vec![1]),
            Variable::key("PK", foreign.clone()),
            Variable::key("KEK", foreign.clone()),
            Variable::key("db", [foreign, own].concat()),
            Variable::key("dbx", Vec::new()),
        ];
        self.plant(&format!("::/{VARIABLES}"), &Variables(all).encode()?)
    }

    /// The second half of the file that says what starts next is of another file, which says that B does.
    pub fn tear_variables(&self) -> anyhow::Result<()> {
        let (mut torn, other) = (next::file(None), next::file(Some(Slot::B)));
        let half = torn.len() / 2;
        torn.truncate(half);
        torn.extend(other.get(half..).unwrap_or_default());
        self.plant(&format!("::/{VARIABLES}"), &torn)
    }

    /// Lays an add-on with words for the kernel's command line beside an image; nobody signed it.
    pub fn plant_add_on(&self, cache: &Cache, image: &str) -> anyhow::Result<()> {
        let debs = debs(cache, &["trixie"], "arm64", &[STUB_PACKAGE])?;
        let package = debs
            .packages
            .iter()
            .find(|package| package.name == STUB_PACKAGE)
            .with_context(|| format!("the package {STUB_PACKAGE} was not downloaded"))?;
        let binds = [
            self.folder.bind(),
            Bind::read(&debs.folder, "/work/packages"),
        ];
        let mut unpack = self.root.command(INSIDE, &binds, "dpkg-deb")?;
        unpack.arg("--extract");
        unpack.arg(format!("/work/packages/{}", package.file));
        run(unpack.arg("unpacked"))?;
        let mut make = self.command("ukify")?;
        make.args(["build", "--efi-arch=aa64", "--output=add-on.efi"]);
        make.arg(format!("--stub=unpacked/{STUB}"));
        run(make.arg(format!("--cmdline={BYPASSED} ignore_loglevel")))?;
        let add_on = fs::read(self.folder.path.join("add-on.efi"))?;
        self.plant(&format!("{image}.extra.d/words.addon.efi"), &add_on)
    }

    /// Writes a file onto the partition, with the folders above it.
    fn plant(&self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let places = path.match_indices('/').skip(1);
        for folder in places.filter_map(|(end, _)| path.get(..end)) {
            if output(self.mtools("mdir")?.args(["-b", folder])).is_err() {
                run(self.mtools("mmd")?.arg(folder))?;
            }
        }
        fs::write(self.folder.path.join(IMAGE), bytes)?;
        self.put(path)
    }
}
