"""What the pod test does and checks, as root on a machine with podman.

Run by xtask on the host, in namespaces of its own, or by the first system of a virtual machine.
Lines that begin with @weir-pod are read by xtask. Containers are started in the order of the kubelet:
init containers to their end, the sidecar, its probe, then the application.
"""

import argparse
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time

WEIR = "localhost/weir:0.1.0"
APP = "localhost/weir-pod-app:latest"
POD = "weir-pod"
# Reached only by what hangs; an emulated machine takes its time.
PATIENCE = 180
PROVIDER = "weir-provider"
# Where pods are.
NETWORK = "podman-default-kube-network"
failures = []


def say(*words):
    print("@weir-pod", *words, flush=True)


def run(*words, **options):
    done = subprocess.run(words, text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def podman(*words, **options):
    return run("podman", *words, **options)


def check(name, is_so, seen=""):
    if is_so:
        say("ok", name)
    else:
        failures.append(name)
        say("FAILED", name, "|", str(seen).replace("\n", " \\n "))


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise RuntimeError(f"it never came to this: {what}")
        time.sleep(0.02)


class Kernel:
    """What the kernel holds of weir for one cgroup."""

    def __init__(self, cgroup):
        shown = run("bpftool", "--json", "cgroup", "show", cgroup)
        # A cgroup without programs is shown as nothing at all.
        programs = json.loads(shown) if shown else []
        self.programs = {it["id"]: it["name"] for it in programs if it["name"].startswith("weir_")}
        self.maps = set()
        for program in self.programs:
            about = json.loads(run("bpftool", "--json", "prog", "show", "id", str(program)))
            self.maps.update(about["map_ids"])

    def left(self):
        def there(kind, number):
            words = ["bpftool", kind, "show", "id", str(number)]
            return subprocess.run(words, capture_output=True).returncode == 0

        left = [f"program {it}" for it in self.programs if there("prog", it)]
        return left + [f"map {it}" for it in self.maps if there("map", it)]


class Pod:
    def __init__(self, directory, provider, on_proxy_down="closed"):
        with open(os.path.join(directory, "pod.yaml")) as file:
            template = file.read()
        with open(provider.ca) as file:
            ca = "".join(f"    {line}" for line in file)
        self.manifest = os.path.join(directory, "manifest.yaml")
        with open(self.manifest, "w") as file:
            file.write(
                template.format(
                    name=POD,
                    weir=WEIR,
                    app=APP,
                    on_proxy_down=on_proxy_down,
                    provider_ip=provider.ip,
                    provider_ca=ca.rstrip(),
                    cgroup="/sys/fs/cgroup",
                )
            )
        podman("kube", "play", "--start=false", self.manifest)
        self.times = {}

    def container(self, name):
        return f"{POD}-{name}"

    def init(self):
        """Runs the init container to its end; podman repeats its exit status."""
        return podman("start", "--attach", self.container("weir-init"))

    def start(self):
        begun = time.monotonic()
        self.init()
        self.times["init"] = time.monotonic() - begun
        self.start_proxy()
        self.times["ready"] = time.monotonic() - begun
        podman("start", self.container("app"))
        self.times["application"] = time.monotonic() - begun
        self.calls(1)
        self.times["call"] = time.monotonic() - begun

    def start_proxy(self):
        podman("start", self.container("weir-proxy"))
        # What the kubelet does with the startup probe, or with postStart in the classic form.
        podman("exec", self.container("weir-proxy"), "/weir", "wait", "--timeout", f"{PATIENCE}s")

    def signal(self, name, signal):
        podman("kill", "--signal", signal, self.container(name))

    def logs(self, name):
        words = ["podman", "logs", self.container(name)]
        done = subprocess.run(words, text=True, capture_output=True, check=True)
        return done.stdout, done.stderr

    def lines(self):
        return [it for it in self.logs("app")[0].splitlines() if it.startswith("call ")]

    def calls(self, count):
        """Waits for so many calls, and gives them."""
        return eventually(
            f"{count} calls, with {self.logs('app')}",
            lambda: len(self.lines()) >= count and self.lines(),
        )

    def call(self):
        """Has the application call once more; gives its line."""
        before = len(self.lines())
        self.signal("app", "USR1")
        return self.calls(before + 1)[before]

    def records(self):
        out = self.logs("weir-proxy")[0]
        records = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return [it for it in records if it["host"] == "api.openai.com"]

    def pid(self, name):
        return podman("inspect", "--format", "{{.State.Pid}}", self.container(name))

    def cgroup(self):
        """The pod's cgroup v2 directory: above the application's."""
        with open("/proc/mounts") as mounts:
            mount = next(it.split()[1] for it in mounts if it.split()[2] == "cgroup2")
        with open(f"/proc/{self.pid('app')}/cgroup") as file:
            path = next(it.strip()[3:] for it in file if it.startswith("0::"))
        return os.path.dirname(mount + path)

    def remove(self):
        podman("pod", "rm", "--force", "--time", "0", POD)
        for volume in podman("volume", "ls", "--quiet").split():
            podman("volume", "rm", "--force", volume)


class Provider:
    """The emulator of the providers, in a container outside of the pod."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "provider")
        os.makedirs(self.directory, exist_ok=True)
        for name in os.listdir(self.directory):
            os.remove(os.path.join(self.directory, name))
        self.ca = os.path.join(self.directory, "ca.pem")
        self.ledger = os.path.join(self.directory, "ledger.jsonl")
        subprocess.run(["podman", "rm", "--force", PROVIDER], capture_output=True)
        if subprocess.run(["podman", "network", "exists", NETWORK]).returncode != 0:
            podman("network", "create", NETWORK)
        podman(
            *["run", "--detach", "--name", PROVIDER, "--network", NETWORK],
            *["--volume", f"{self.directory}:/provider", APP],
            *["weir-emulator", "--listen", "0.0.0.0:443", "--name", "api.openai.com"],
            *["--ca-out", "/provider/ca.pem", "--ledger", "/provider/ledger.jsonl"],
            *["--ready-file", "/provider/ready", "--unique-ids"],
        )
        ready = os.path.join(self.directory, "ready")
        eventually("the provider is ready", lambda: os.path.exists(ready))
        networks = json.loads(podman("inspect", PROVIDER))[0]["NetworkSettings"]["Networks"]
        self.ip = networks[NETWORK]["IPAddress"]

    def served(self):
        """How many calls it has answered."""
        with open(self.ledger) as file:
            return sum(1 for line in file if line.strip())

    def remove(self):
        podman("rm", "--force", "--time", "0", PROVIDER)


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


def closed(directory, provider):
    """The whole life of a pod that fails closed."""
    pod = Pod(directory, provider)
    pod.start()
    first = pod.lines()
    check("the first call of the application passes", are_ok(first), first)
    records = eventually("a record", pod.records)
    check("it is metered, with tokens", are_metered(records) and len(records) == 1, records)

    with open(f"/proc/{pod.pid('weir-proxy')}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    for field in ("Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "VmRSS"):
        say("sidecar", field, " ".join(status[field].split()))
    none = all(int(status[it], 16) == 0 for it in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    check("the sidecar has no capability and can get none", none and status["NoNewPrivs"] == "1")
    check("the sidecar is user 1337", status["Uid"].split() == ["1337"] * 4, status["Uid"])
    seen = podman("exec", pod.container("app"), "sh", "-c", "ls /run/weir /trust 2>&1 || true")
    check("the application cannot see the secret", "capture.json" not in seen, seen)

    cgroup = pod.cgroup()
    kernel = Kernel(cgroup)
    check("nine programs are attached to the pod's cgroup", len(kernel.programs) == 9, vars(kernel))

    pod.signal("app", "USR2")
    pod.calls(len(pod.lines()) + 3)
    pod.init()
    pod.calls(len(pod.lines()) + 3)
    pod.signal("app", "USR2")
    time.sleep(1)
    lines = pod.lines()
    check("weir init again, amid calls, harms none", are_ok(lines), lines)
    upgraded = Kernel(cgroup)
    replaced = len(upgraded.programs) == 9 and not set(upgraded.programs) & set(kernel.programs)
    check("it replaced the programs and kept the maps", replaced, (vars(kernel), vars(upgraded)))

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

    # The classic form: both are told at once, and the application is not yet done.
    before = len(pod.lines())
    pod.signal("weir-proxy", "TERM")
    pod.signal("app", "TERM")
    told = time.monotonic()
    podman("wait", pod.container("app"))
    last = pod.lines()[before:]
    check("the last calls after SIGTERM pass", len(last) == 3 and are_ok(last), last)
    ended = podman("wait", pod.container("weir-proxy"))
    took = time.monotonic() - told
    check("the sidecar ends well after the application", ended == "0", (ended, pod.logs("weir-proxy")[1]))
    say("note", f"the sidecar ended {took:.1f} s after the signal")

    passed = sum(1 for line in pod.lines() if " ok " in line)
    records = pod.records()
    ids = {it["id"] for it in records}
    exact = len(records) == passed == len(ids) and are_metered(records)
    check("each call has exactly one record", exact, (passed, len(records)))
    say("note", f"{passed} calls, {len(records)} records")

    kernel, upgraded = Kernel(cgroup), kernel
    pod.remove()
    # podman leaves the v2 directory of a pod where containers are limited by v1.
    if os.path.isdir(cgroup) and os.path.isdir("/sys/fs/cgroup/unified"):
        for above, below, _files in os.walk(cgroup, topdown=False):
            os.rmdir(above)
        say("note", "the engine had left the pod's empty cgroup, which was removed")
    eventually("programs and maps end with the pod", lambda: not kernel.left())
    left = kernel.left() + upgraded.left()
    check("no program and no map is left", not left, left)
    check("no cgroup is left", not os.path.exists(cgroup), cgroup)
    check("no volume is left", podman("volume", "ls", "--quiet") == "")


def opened(directory, provider):
    """A pod that fails open, its sidecar killed."""
    pod = Pod(directory, provider, "open")
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


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--directory", required=True)
    arguments.add_argument("--startups", type=int, default=0)
    given = arguments.parse_args()
    podman("load", "--input", os.path.join(given.directory, "weir.tar"))
    # The first container of a pod runs the same image, and nothing in it.
    changes = []
    for line in ('CMD ["/bin/sleep", "infinity"]', "ENV PATH=/usr/local/bin:/usr/bin:/bin"):
        changes += ["--change", line]
    archive = os.path.join(given.directory, "app.tar")
    with open(archive, "rb") as file:
        tag = f"localhost/weir-pod-app:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if subprocess.run(["podman", "image", "exists", tag]).returncode != 0:
        podman("import", *changes, archive, tag)
    podman("tag", tag, APP)
    say("up", os.uname().release, podman("--version"))
    subprocess.run(["podman", "pod", "rm", "--force", "--time", "0", POD], capture_output=True)
    provider = Provider(given.directory)
    try:
        if given.startups:
            startups(given.directory, provider, given.startups)
        else:
            closed(given.directory, provider)
            opened(given.directory, provider)
    finally:
        if sys.exc_info()[0]:
            for name in ("weir-init", "weir-proxy", "app"):
                logs = subprocess.run(["podman", "logs", f"{POD}-{name}"], capture_output=True)
                print(name, logs, flush=True)
        subprocess.run(["podman", "pod", "rm", "--force", "--time", "0", POD], capture_output=True)
        provider.remove()
    say("exit", 1 if failures else 0)
    return 1 if failures else 0


sys.exit(main())
