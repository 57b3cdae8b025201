"""What the pod test does and checks, as root on a machine with podman.

Run by xtask on the host, in namespaces of its own, or by systemd in a virtual machine. Lines that
begin with @weir-pod are read by xtask.
"""

import argparse
import hashlib
import os
import re
import statistics
import subprocess
import sys
import time

from pods import APP, NETWORK_6, POD, PROVIDER, Kernel, Pod, Provider, eventually, forget, podman, run

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# Calls at once, and one after the other: as many connections as a busy worker pool has.
THREADS, CALLS = 32, 8
# How long the sidecar is watched at rest, in seconds.
REST = 10
failures = []


def say(*words):
    print("@weir-pod", *words, flush=True)


def check(name, is_so, seen=""):
    if is_so:
        say("ok", name)
    else:
        failures.append(name)
        say("FAILED", name, "|", str(seen).replace("\n", " \\n "))


def are_ok(lines):
    return all(re.fullmatch(r"call \d+ ok \d+", line) for line in lines)


def are_metered(records):
    return all(
        it["decision"] == "intercept"
        and it["status"] == 200
        and it["tokens_provenance"] == "measured"
        and it["input_tokens"] > 0
        and it["output_tokens"] > 0
        for it in records
    )


def kib(text):
    """The number in a line such as `14336 kB`."""
    return int(text.split()[0])


def closed(directory, provider):
    """The whole life of a pod that fails closed, its sidecar native."""
    pod = Pod(directory, provider)
    pod.start()
    first = pod.lines()
    check("the first call of the application passes", are_ok(first), first)
    records = eventually("a record", pod.records)
    check("it is metered, with tokens", are_metered(records) and len(records) == 1, records)
    rights(pod)

    cgroup = pod.cgroup()
    kernel = Kernel(cgroup)
    check("nine programs are attached to the pod's cgroup", len(kernel.programs) == 9, vars(kernel))

    pod.signal("app", "USR2")
    pod.calls(len(pod.lines()) + 3)
    pod.init()
    pod.calls(len(pod.lines()) + 3)
    pod.signal("app", "USR2")
    # What is under way then is one call, and it ends before this one begins.
    pod.call()
    lines = pod.lines()
    check("weir init again, amid calls, harms none", are_ok(lines), lines)
    upgraded = Kernel(cgroup)
    replaced = len(upgraded.programs) == 9 and not set(upgraded.programs) & set(kernel.programs)
    check("it replaced the programs and kept the maps", replaced, (vars(kernel), vars(upgraded)))
    loaded = resources(pod)

    pod.signal("weir-proxy", "KILL")
    podman("wait", pod.container("weir-proxy"))
    line = pod.call()
    check("without the sidecar calls fail", "failed" in line and "refused" in line, line)
    pod.start_proxy()
    line = pod.call()
    check("a restarted sidecar serves an application that went on", are_ok([line]), line)

    # Another application in the place of the first.
    podman("restart", "--time", "0", pod.container("app"))
    line = pod.call()
    check("a restarted application is served", are_ok([line]), line)

    before = len(pod.lines())
    last_calls(pod, before)
    passed = sum(1 for line in pod.lines() if " ok " in line) + loaded
    records = pod.records()
    ids = {it["id"] for it in records}
    exact = len(records) == passed == len(ids) and are_metered(records)
    check("each call has exactly one record", exact, (passed, len(records)))
    say("note", f"{passed} calls, {len(records)} records")

    deleted(pod, cgroup, [Kernel(cgroup), kernel, upgraded])


def rights(pod):
    """What the sidecar may do, and what the application may see."""
    status = pod.status("weir-proxy")
    for field in ("Uid", *CAPABILITIES, "NoNewPrivs", "Seccomp"):
        say("sidecar /proc/1/status:", field, status[field])
    none = all(int(status[it], 16) == 0 for it in CAPABILITIES)
    check("the sidecar has no capability and can get none", none and status["NoNewPrivs"] == "1")
    check("the sidecar is user 1337", status["Uid"].split() == ["1337"] * 4, status["Uid"])
    seen = podman("exec", pod.container("app"), "sh", "-c", "ls /run/weir /trust 2>&1 || true")
    check("the application cannot see the secret", "capture.json" not in seen, seen)


def resources(pod):
    """What the sidecar takes at rest and with many calls at once; gives how many of those passed."""
    requests = pod.sidecar["resources"]["requests"]
    rest = pod.status("weir-proxy")
    idle = pod.processor("weir-proxy")
    time.sleep(REST)
    idle = (pod.processor("weir-proxy") - idle) / REST
    promised = requests["cpu"]
    is_so = promised.endswith("m") and idle * 1000 <= int(promised[:-1])
    say("processor", f"at rest {idle * 1000:.1f} m")
    check("at rest it takes no more of the processor than it is promised", is_so, (idle, promised))

    begun, busy = time.monotonic(), pod.processor("weir-proxy")
    passed = pod.load(THREADS, CALLS)
    took, busy = time.monotonic() - begun, pod.processor("weir-proxy") - busy
    say("processor", f"{busy * 1000 / max(passed, 1):.2f} ms for each streamed call")
    check(f"{THREADS} clients at once are served", passed == THREADS * CALLS, passed)
    after = pod.status("weir-proxy")
    say("note", f"{passed} streams from {THREADS} threads in {took:.1f} s")
    for name, status in (("before", rest), ("after", after)):
        say("memory", name, *(f"{it} {status[it]}" for it in ("VmRSS", "RssAnon", "VmHWM")))
    promised = requests["memory"]
    most = kib(after["VmHWM"])
    is_so = promised.endswith("Mi") and most <= int(promised[:-2]) * 1024
    check("the sidecar took no more memory than it is promised", is_so, (most, promised))
    return passed


def last_calls(pod, before):
    """Ends the application, which has calls still to make."""
    ended, took = pod.end()
    last = pod.lines()[before:]
    check("the last calls after SIGTERM pass", len(last) == 3 and are_ok(last), last)
    check("the sidecar ends by itself after the application", ended == "0", pod.logs("weir-proxy")[1])
    say("note", f"the pod ended {took:.1f} s after the signal, of which 3 s are the application's")


def deleted(pod, cgroup, kernels):
    """Deletes the pod, and looks for what it left."""
    files = pod.files()
    pod.remove()
    # podman leaves the v2 directory of a pod where containers are limited by v1.
    if os.path.isdir(cgroup) and os.path.isdir("/sys/fs/cgroup/unified"):
        for above, below, _files in os.walk(cgroup, topdown=False):
            os.rmdir(above)
        say("note", "the engine had left the pod's empty cgroup, which was removed")
    last = kernels[0]
    eventually("programs and maps end with the pod", lambda: not last.left())
    left = [it for kernel in kernels for it in kernel.left()]
    check("no program and no map is left", not left, left)
    check("no cgroup is left", not os.path.exists(cgroup), cgroup)
    files = [it for it in files if os.path.exists(it)]
    pins = [it for it in run("find", "/sys/fs/bpf").splitlines() if "weir" in it.lower()]
    volumes = podman("volume", "ls", "--quiet")
    check("no volume, file or pin is left", not (files or pins or volumes), (files, pins, volumes))


def classic(directory, provider):
    """A pod for clusters without native sidecars: both are told to end at once."""
    pod = Pod(directory, provider, "--sidecar", "classic")
    pod.start()
    check("a classic sidecar is ready before the application", are_ok(pod.lines()), pod.lines())
    last_calls(pod, len(pod.lines()))
    pod.remove()


def narrow(directory, provider):
    """A pod whose init container has capabilities, and is not privileged."""
    pod = Pod(directory, provider, "--init-privileges", "narrow")
    pod.start()
    kernel = Kernel(pod.cgroup())
    pod.init()
    upgraded = Kernel(pod.cgroup())
    replaced = len(upgraded.programs) == 9 and not set(upgraded.programs) & set(kernel.programs)
    lines = [*pod.lines(), pod.call()]
    check("capabilities are enough for the init container", replaced and are_ok(lines), lines)
    pod.remove()


def six(directory, provider):
    """A pod that has no IPv4."""
    pod = Pod(directory, provider, network=NETWORK_6)
    pod.start()
    address = pod.address()
    check("without IPv4 the sidecar is ready", ":" in address, address)
    records = eventually("a record", pod.records)
    check("without IPv4 calls are metered", are_ok(pod.lines()) and are_metered(records), records)
    pod.signal("weir-proxy", "KILL")
    podman("wait", pod.container("weir-proxy"))
    line = pod.call()
    check("without IPv4 and without the sidecar calls fail", "refused" in line, line)
    pod.remove()


def opened(directory, provider):
    """A pod that fails open, its sidecar killed."""
    pod = Pod(directory, provider, on_proxy_down="open")
    pod.start()
    pod.signal("weir-proxy", "KILL")
    podman("wait", pod.container("weir-proxy"))
    served = provider.served()
    line = pod.call()
    direct = are_ok([line]) and provider.served() == served + 1 and len(pod.records()) == 1
    check("open, calls go direct without the sidecar", direct, (line, pod.records()))
    pod.remove()


def startups(directory, provider, count):
    """Starts the pod again and again: how long it takes, and what becomes of the first call."""
    times = []
    failed = uninspected = 0
    for number in range(count):
        served = provider.served()
        pod = Pod(directory, provider)
        pod.start()
        lines = pod.lines()
        failed += sum(1 for line in lines if not are_ok([line]))
        eventually("the call's record", lambda: len(pod.records()) >= provider.served() - served)
        uninspected += provider.served() - served - len(pod.records())
        times.append(pod.times)
        pod.remove()
        if (number + 1) % 10 == 0:
            say("note", f"{number + 1} of {count}")
    for what, name in (
        ("init", "weir init has ended"),
        ("ready", "the sidecar is ready"),
        ("application", "the application is started"),
        ("call", "its first call has ended"),
    ):
        all_ms = sorted(it[what] * 1000 for it in times)
        median, high = statistics.median(all_ms), all_ms[min(len(all_ms) - 1, len(all_ms) * 95 // 100)]
        say("time", f"{name}: median {median:.0f} ms, 95th {high:.0f} ms, most {all_ms[-1]:.0f} ms")
    waited = sorted((it["ready"] - it["init"]) * 1000 for it in times)
    say("time", f"of it the sidecar, to ready: median {statistics.median(waited):.0f} ms")
    say("note", f"{count} starts: {failed} calls failed, {uninspected} passed uninspected")
    check("no call failed and none passed uninspected", failed == 0 and uninspected == 0)


def load_images(directory):
    podman("load", "--input", os.path.join(directory, "weir.tar"))
    # The first container of a pod runs the same image, and nothing in it.
    changes = []
    for line in ('CMD ["/bin/sleep", "infinity"]', "ENV PATH=/usr/local/bin:/usr/bin:/bin"):
        changes += ["--change", line]
    archive = os.path.join(directory, "app.tar")
    with open(archive, "rb") as file:
        tag = f"localhost/weir-pod-app:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if subprocess.run(["podman", "image", "exists", tag]).returncode != 0:
        podman("import", *changes, archive, tag)
    podman("tag", tag, APP)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--directory", required=True)
    arguments.add_argument("--startups", type=int, default=0)
    given = arguments.parse_args()
    with open("/proc/1/comm") as file:
        first = file.read().strip()
    alone = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    say("up", f"{os.uname().release}, {podman('--version')}, cgroup {'v2 alone' if alone else 'v1 and v2'}")
    say("note", f"the first process is {first}")
    load_images(given.directory)
    say("note", "the images are loaded")
    forget("pod", "rm", "--force", "--time", "0", POD)
    provider = Provider(given.directory)
    try:
        if given.startups:
            startups(given.directory, provider, given.startups)
        else:
            for part in (closed, classic, narrow, six, opened):
                begun = time.monotonic()
                part(given.directory, provider)
                say("note", f"{part.__name__}: {time.monotonic() - begun:.0f} s")
    finally:
        if sys.exc_info()[0]:
            for name in (f"{POD}-weir-init", f"{POD}-weir-proxy", f"{POD}-app", PROVIDER):
                print(name, subprocess.run(["podman", "logs", name], capture_output=True), flush=True)
        forget("pod", "rm", "--force", "--time", "0", POD)
        provider.remove()
    say("exit", 1 if failures else 0)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
