#!/bin/sh
# Runs weir's kernel suite on this machine's kernel: suite.sh BUNDLE [TEST-ARGUMENT…], as root.
#
# BUNDLE is the archive that `cargo xtask vm --bundle` makes. It is a root directory of its own, with
# the libraries of the system that built it, so that it runs on older ones too. Mounts are made in a
# mount namespace of this run and go with it; what stays is /opt/weir-suite, and nothing outside it.
set -eu

PATH=$PATH:/usr/sbin:/sbin
root=/opt/weir-suite

if [ "$(id -u)" != 0 ]; then
    echo "the suite needs root: sudo $0 $*" >&2
    exit 1
fi
if [ $# = 0 ] || [ ! -f "$1" ]; then
    echo "usage: $0 BUNDLE [TEST-ARGUMENT…]; make BUNDLE with \`cargo xtask vm --bundle\`" >&2
    exit 2
fi
bundle=$1
shift

# The suite joins network namespaces with one, and gives addresses to the other.
modprobe --all veth dummy

rm -rf "$root"
mkdir -p "$root"
tar --extract --file "$bundle" --directory "$root"

echo "weir's kernel suite on Linux $(uname -r)"
exec unshare --mount --propagation private sh -s -- "$root" "$@" <<'INSIDE'
set -eu
root=$1
shift
mount --bind "$root" "$root"
for tree in proc sys dev; do
    mount --rbind "/$tree" "$root/$tree"
done
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
# The machine's own variables end here.
inside() {
    chroot "$root" /bin/busybox env -i PATH=/usr/bin:/bin HOME=/root TERM=dumb \
        RUST_BACKTRACE=1 CARGO_MANIFEST_DIR=/weir/tests \
        ${WEIR_TEST_CONNECTIONS:+"WEIR_TEST_CONNECTIONS=$WEIR_TEST_CONNECTIONS"} "$@"
}
inside /bin/busybox --install -s /bin
failed=0
inside /weir/target/debug/weir doctor </dev/null || failed=1
# Not the script that this shell is reading.
inside /weir/suite "$@" </dev/null || failed=1
exit "$failed"
INSIDE
