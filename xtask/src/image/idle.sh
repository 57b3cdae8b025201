# Run by idle.rs in a network namespace of its own: program, directory, user, capabilities.
program=$1 directory=$2 user=$3 capabilities=$4

mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
pod=$mount/weir-image-$$
mkdir "$pod" "$pod/init" "$pod/proxy"
proxy=
finish() {
    if [ -n "$proxy" ]; then
        kill "$proxy" 2>/dev/null || true
        wait "$proxy" 2>/dev/null || true
    fi
    echo $$ >"$mount/cgroup.procs"
    rmdir "$pod/init" "$pod/proxy" "$pod"
    rm -rf "$directory/state"
}
trap finish EXIT

ip link set lo up
mkdir -m 0755 "$directory/state"
echo $$ >"$pod/init/cgroup.procs"
setpriv --inh-caps=-all --bounding-set="$capabilities" -- \
    "$program" init --cgroup "$pod" --state "$directory/state" --proxy-uid "$user" >&2

echo $$ >"$pod/proxy/cgroup.procs"
setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all --bounding-set=-all \
    --no-new-privs -- "$program" proxy --state "$directory/state" >&2 &
proxy=$!
"$program" wait --timeout 30s >&2
# Ready is not yet at rest: a proof of interception later it is.
sleep 6
grep -E '^(VmRSS|RssAnon|Threads|Uid|Cap|NoNewPrivs)' "/proc/$proxy/status"
