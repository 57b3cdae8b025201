#!/bin/busybox sh
# The first process of a machine of the kernel matrix: makes a small Linux of the bare kernel,
# runs the suite and powers off. Lines that begin with @weir-vm are read by xtask; the suite's own
# output goes between them. WEIR_VM, from the kernel's command line, says what to do.

/bin/busybox mkdir -p /proc /sys /dev /run /tmp /root /usr/bin
/bin/busybox --install -s /bin
# The host's own programs come first: busybox has an `ip` that lacks most of it.
export PATH=/usr/bin:/bin HOME=/root TERM=dumb RUST_BACKTRACE=1

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec </dev/null >/dev/console 2>&1

say() {
    echo "@weir-vm $*"
}

finish() {
    sync
    # The console is a serial line: what was written may still be on its way.
    sleep 1
    poweroff -f
}

read -r uptime _ </proc/uptime
say up "$uptime" "$(uname -r)"
if [ "$WEIR_VM" = probe ]; then
    finish
fi

for module in $WEIR_MODULES; do
    insmod "/weir/modules/$module.ko" || say problem "the module $module does not load"
done
ip link set lo up || say problem "there is no loopback"

# Its exit status repeats what it prints.
/weir/target/debug/weir doctor --json >/tmp/doctor
say doctor "$(tr -d '\n' </tmp/doctor)"

cd /weir/tests || say problem "the image has no /weir/tests"
export CARGO_MANIFEST_DIR=/weir/tests
set --
while IFS= read -r argument; do
    set -- "$@" "$argument"
done </weir/arguments
say suite
/weir/suite "$@"
say exit "$?"
finish
