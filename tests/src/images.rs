//! Images for tests: other people's programs, packed by umoci.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use board::image::Image;
use board::process;
use ring::digest::{SHA256, digest};

/// Names a folder with the packages of [`nginx`], where apt-get has no network.
pub const DEBS: &str = "BOARD_DEBS";
/// Names a folder that keeps images from one test to the next: where a machine is emulated, making them is most of a
/// test's time.
pub const KEPT: &str = "BOARD_IMAGES";
/// The tag of every image.
const TAG: &str = "1";
/// Debian's nginx and the libraries it needs.
const NGINX: [&str; 7] = [
    "nginx",
    "libc6",
    "libcrypt1",
    "libpcre2-8-0",
    "libssl3",
    "zlib1g",
    "nginx-common",
];
/// Runs without root, writes only to tmpfs, logs to its standard streams.
const NGINX_CONF: &str = "\
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server { listen 8080; listen [::]:8080; root /srv; }
}
";

const PASSWD: &str = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";

/// What nginx of the tests serves.
pub const NGINX_PAGE: &str = "nginx of Debian speaking\n";

/// busybox with every applet, and one page for its httpd. Its program is `command`, run by sh.
pub fn busybox(layout: &Path, command: &str) -> anyhow::Result<Image> {
    kept(layout, &format!("busybox {command}"), || {
        let root = layout.with_extension("root");
        write_busybox(&root)?;
        pack_shell(layout, &root, command)
    })
}

/// What `make` puts into `layout`; made once where images are kept. Each caller gets a copy of its own.
fn kept(
    layout: &Path,
    name: &str,
    make: impl FnOnce() -> anyhow::Result<Image>,
) -> anyhow::Result<Image> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let Some(folder) = std::env::var_os(KEPT).map(PathBuf::from) else {
        return make();
    };
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let copy = |from: &Path, to: &Path| {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        process::output(Command::new("cp").arg("-R").arg(from).arg(to)).map(drop)
    };
    let place = folder.join(URL_SAFE.encode(digest(&SHA256, name.as_bytes())));
    if place.exists() {
        copy(&place, layout)?;
        return Ok(Image::there(layout, TAG));
    }
    let image = make()?;
    // Whole or not there.
    let aside = place.with_extension("new");
    copy(&image.layout, &aside)?;
    fs::rename(&aside, &place)?;
    Ok(image)
}

/// The same with this machine's curl and the libraries it names: the static busybox has no resolver that works.
pub fn curl(layout: &Path, command: &str) -> anyhow::Result<Image> {
    kept(layout, &format!("curl {command}"), || {
        let root = layout.with_extension("root");
        write_busybox(&root)?;
        write_curl(&root)?;
        pack_shell(layout, &root, command)
    })
}

fn write_curl(root: &Path) -> anyhow::Result<()> {
    let program = Path::new("/usr/bin/curl");
    let libraries = process::output(Command::new("ldd").arg(program))?;
    let paths = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(Path::new);
    for path in paths.chain([program]) {
        let to = root.join(path.strip_prefix("/")?);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        // Links are followed: what is asked for by a short name is there by it.
        fs::copy(path, &to)?;
    }
    Ok(())
}

fn write_busybox(root: &Path) -> anyhow::Result<()> {
    let bin = root.join("bin");
    fs::create_dir_all(&bin)?;
    fs::copy("/bin/busybox", bin.join("busybox"))?;
    let applets = process::output(Command::new("/bin/busybox").arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        let link = bin.join(applet);
        if !link.exists() {
            std::os::unix::fs::symlink("busybox", link)?;
        }
    }
    fs::create_dir_all(root.join("srv"))?;
    fs::write(root.join("srv/index.html"), "busybox speaking\n")?;
    fs::create_dir_all(root.join("etc"))?;
    fs::write(root.join("etc/passwd"), PASSWD)?;
    Ok(())
}

fn pack_shell(layout: &Path, root: &Path, command: &str) -> anyhow::Result<Image> {
    let image = Image::new(layout, TAG)?;
    image.insert(root, "/")?;
    image.configure(&[
        "--config.env=PATH=/bin:/usr/bin",
        "--config.user=65534:65534",
        "--config.entrypoint=/bin/sh",
        "--config.entrypoint=-c",
        &format!("--config.cmd={command}"),
    ])?;
    Ok(image)
}

/// nginx out of Debian's own packages, as a third party would pack it.
pub fn nginx(layout: &Path) -> anyhow::Result<Image> {
    let (debs, root) = (layout.with_extension("debs"), layout.with_extension("root"));
    fs::create_dir_all(&debs)?;
    fs::create_dir_all(root.join("usr/lib"))?;
    // Since Debian 13 libraries are in /usr/lib alone, and a link leads there from where programs name the loader.
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    let debs = if let Some(there) = std::env::var_os(DEBS) {
        PathBuf::from(there)
    } else {
        // As root apt-get would hand the folder to its own user; it is ours already.
        process::output(
            Command::new("apt-get")
                .current_dir(&debs)
                .args(["-q", "-o", "APT::Sandbox::User=root", "download"])
                .args(NGINX),
        )?;
        debs
    };
    for deb in fs::read_dir(&debs)? {
        process::output(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(deb?.path())
                .arg(&root),
        )?;
    }
    for folder in ["usr/share/doc", "usr/share/man", "usr/share/locale"] {
        if root.join(folder).exists() {
            fs::remove_dir_all(root.join(folder))?;
        }
    }
    fs::create_dir_all(root.join("srv"))?;
    fs::write(root.join("srv/index.html"), NGINX_PAGE)?;
    fs::write(root.join("etc/nginx/nginx.conf"), NGINX_CONF)?;
    fs::write(root.join("etc/passwd"), PASSWD)?;
    let image = Image::new(layout, TAG)?;
    image.insert(&root, "/")?;
    image.configure(&[
        "--config.user=65534:65534",
        "--config.entrypoint=/usr/sbin/nginx",
        "--config.exposedports=8080/tcp",
    ])?;
    Ok(image)
}
