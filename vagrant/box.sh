#!/bin/sh
# Makes a box for vagrant-libvirt from Debian's packages alone: box.sh SUITE [BOX], as root.
#
#   vagrant/box.sh bookworm
#   vagrant box add --name weir/bookworm target/vm/bookworm.box
#
# For machines that reach a Debian mirror and no box catalogue. Needs debootstrap, mkfs.ext4
# (e2fsprogs) and qemu-img (qemu-utils); no loop device, no mount of the image, no boot loader: the
# box carries its kernel beside the disk, and its own Vagrantfile says to boot that.
# MIRROR, KEYRING and KERNEL_PACKAGE may be set.
set -eu

suite=${1:?usage: box.sh SUITE [BOX], such as: box.sh bookworm}
box=${2:-target/vm/$suite.box}
mirror=${MIRROR:-http://deb.debian.org/debian}
keyring=${KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
kernel=${KERNEL_PACKAGE:-linux-image-cloud-amd64}
# What the disk may grow to; the file holds only what is used.
disk_gib=4

if [ "$(id -u)" != 0 ]; then
    echo "debootstrap needs root: sudo $0 $*" >&2
    exit 1
fi
for tool in debootstrap mkfs.ext4 qemu-img; do
    command -v "$tool" >/dev/null || {
        echo "$tool is missing: apt-get install debootstrap e2fsprogs qemu-utils" >&2
        exit 1
    }
done

mkdir -p "$(dirname "$box")"
box=$(realpath "$box")
work=$(mktemp -d "$box.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# initramfs-tools is named because the kernel accepts others, and debootstrap resolves no choice.
debootstrap --variant=minbase --keyring="$keyring" \
    --include="$kernel,initramfs-tools,systemd-sysv,dbus,udev,kmod,openssh-server,sudo,iproute2" \
    "$suite" "$root" "$mirror"

# The user that Vagrant expects, with the key that is no secret: Vagrant replaces it at the first
# `vagrant up`.
chroot "$root" useradd --create-home --shell /bin/bash vagrant
install -d -m 0700 "$root/home/vagrant/.ssh"
cat >"$root/home/vagrant/.ssh/authorized_keys" <<'KEY'
ssh-rsa AAAAB3NzaC1yc2EAAAABIwAAAQEA6NF8iallvQVp22WDkTkyrtvp9eWW6A8YVr+kz4TjGYe7gHzIw+niNltGEFHzD8+v1I2YJ6oXevct1YeS0o9HZyN1Q9qgCgzUFtdOKLv6IedplqoPkcmF0aYet2PkEDo3MlTBckFXPITAMzF8dJSIFo9D8HfdOV0IAdx4O7PtixWKn5y2hMNG0zQPyUecp4pzC6kivAIhyfHilFR61RGL+GPXQ2MWZWFYbAGjyiYJnAmCP3NOTd0jMZEnDkbUvxhMmBYSdETk1rRgm+R4LOzFUGaHqHDLKLX+FIPKcF96hrucXzcWyLbIbEgE98OHlnVYCzRdK8jlqm8tehUc9c9WhQ== vagrant insecure public key
KEY
chmod 0600 "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 0440 "$root/etc/sudoers.d/vagrant"
# Lookups of a client's name would wait for a resolver that is not there.
echo 'UseDNS no' >>"$root/etc/ssh/sshd_config"

echo "$suite" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
install -d "$root/etc/systemd/network"
cat >"$root/etc/systemd/network/80-dhcp.network" <<'NETWORK'
[Match]
Name=en* eth*

[Network]
DHCP=ipv4
NETWORK
chroot "$root" systemctl enable systemd-networkd.service ssh.service
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*_*
# Each machine makes its own, once.
cat >"$root/etc/systemd/system/ssh-keys.service" <<'UNIT'
[Unit]
Description=SSH keys of this machine
Before=ssh.service
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable ssh-keys.service
: >"$root/etc/machine-id"

content=$work/box
install -d "$content"
cp -L "$root"/boot/vmlinuz-* "$content/vmlinuz"
cp -L "$root"/boot/initrd.img-* "$content/initrd.img"
mkfs.ext4 -q -d "$root" "$work/disk" "${disk_gib}G"
qemu-img convert -f raw -O qcow2 -c "$work/disk" "$content/box.img"

cat >"$content/metadata.json" <<METADATA
{"provider": "libvirt", "format": "qcow2", "virtual_size": $disk_gib}
METADATA
cat >"$content/Vagrantfile" <<'VAGRANTFILE'
Vagrant.configure("2") do |config|
  config.vm.provider "libvirt" do |libvirt|
    libvirt.kernel = File.expand_path("vmlinuz", __dir__)
    libvirt.initrd = File.expand_path("initrd.img", __dir__)
    libvirt.cmd_line = "root=/dev/vda rw console=ttyS0 net.ifnames=0"
  end
end
VAGRANTFILE
tar --create --gzip --file "$box" --directory "$content" .
echo "$box: vagrant box add --name weir/$suite $box"
