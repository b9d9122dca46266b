#!/bin/sh
# Runs a test program of this crate on another kernel, in a virtual machine: what this machine's kernel lacks (GRE) is
# proven there, and that the rules do not depend on this one.
#
#   apt-get install qemu-system-x86 kmod cpio busybox
#   apt-get download linux-image-6.1.0-NN-cloud-amd64 && dpkg-deb -x linux-image-*.deb KERNEL
#   cargo test -p edged-guardian --no-run
#   edged/guardian/tests/other-kernel.sh KERNEL TEST-PROGRAM... (as cargo names them, target/debug/deps/actions-…)
#
# Ends with the code of the tests. Nothing of the machine but its programs is in the virtual one; it has no network.
set -eu
kernel=$(realpath "$1")
shift
version=$(ls "$kernel/lib/modules")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root/bin" "$root/sbin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/run" "$root/etc"

# A program with its libraries, where it is here.
take() {
    mkdir -p "$root/$(dirname "$1")"
    cp -L "$1" "$root/$1"
    for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        mkdir -p "$root/$(dirname "$library")"
        cp -L "$library" "$root/$library"
    done
}
tests=
for program in "$@"; do
    program=$(realpath "$program")
    take "$program"
    # Test programs know the guardian by its path in the target folder.
    take "$(dirname "$(dirname "$program")")/edged-guardian"
    tests="$tests $program"
done
for program in nft nsenter unshare; do
    take "$(command -v $program)"
done
take "$(realpath "$(command -v ip)")"
ln -sf "$(realpath "$(command -v ip)")" "$root/bin/ip"
cp -L "$(command -v busybox)" "$root/bin/busybox"
for name in sh mount mkdir cat sleep modprobe poweroff; do
    ln -sf busybox "$root/bin/$name"
done
# The kernel asks for its modules by this name.
ln -sf ../bin/busybox "$root/sbin/modprobe"
mkdir -p "$root/lib/modules/$version/kernel/drivers"
for part in net lib crypto drivers/net; do
    cp -r "$kernel/lib/modules/$version/kernel/$part" "$root/lib/modules/$version/kernel/$part"
done
cp "$kernel/lib/modules/$version"/modules.builtin* "$kernel/lib/modules/$version/modules.order" "$root/lib/modules/$version"
depmod -b "$root" "$version"
echo "root:x:0:0::/:/bin/sh" > "$root/etc/passwd"
cat > "$root/init" <<END
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin RUST_TEST_THREADS=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
ip link set lo up
code=0
for program in $tests; do
    \$program --nocapture || code=1
done
echo "tests ended with \$code"
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initrd.gz"
timeout 900 qemu-system-x86_64 -accel tcg -cpu max -m 1500 -smp 1 -nographic -nic none -no-reboot \
    -kernel "$kernel/boot/vmlinuz-$version" -initrd "$work/initrd.gz" \
    -append "console=ttyS0 quiet panic=-1" < /dev/null | tee "$work/log"
grep -q "tests ended with 0" "$work/log"
