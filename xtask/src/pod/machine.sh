# Run by systemd in the machine of the pod test, from the archive that is its second disk.
read -r uptime _ </proc/uptime
echo "@weir-vm up $uptime $(uname -r)"
# The console is a serial line: what was written may still be on its way.
trap 'sleep 1' EXIT
if grep -q 'WEIR_VM="probe"' /proc/cmdline; then
    exit
fi
export CONTAINERS_CONF=/pod/machine.conf PYTHONDONTWRITEBYTECODE=1
while IFS= read -r argument; do
    set -- "$@" "$argument"
done </pod/arguments
/usr/bin/python3 -u /pod/scenario.py --directory /pod "$@"
