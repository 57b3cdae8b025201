"""The pods of the test, and the provider that they call: made by podman, looked at in the kernel."""

import json
import os
import subprocess
import time
import urllib.request

import yaml

import kubelet

WEIR = "localhost/weir:0.1.0"
APP = "localhost/weir-pod-app:latest"
POD = "weir-pod"
PROVIDER = "weir-provider"
# Where pods are: its resolver gives the provider's address, as a cluster's would.
NETWORK = "weir-pods"
# The same in a cluster without IPv4.
NETWORK_6 = "weir-pods-6"
SUBNET_6 = "fd77:6569:72::/64"
HOST = "api.openai.com"
CONFIG = "weir-config"
# Reached only by what hangs; an emulated machine takes its time.
PATIENCE = 300


def run(*words, **options):
    done = subprocess.run(words, text=True, capture_output=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def podman(*words, **options):
    return run("podman", *words, **options)


def forget(*words):
    """Removes what an earlier run may have left."""
    subprocess.run(["podman", *words], capture_output=True)


def eventually(what, condition):
    deadline = time.monotonic() + PATIENCE
    pause = 0.02
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise RuntimeError(f"it never came to this: {what}")
        # Asking takes podman, which on an emulated machine is most of what is to be waited for.
        time.sleep(pause)
        pause = min(pause * 1.5, 1)


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
    """The application's manifest, injected with `options` and played."""

    def __init__(
        self, directory, provider, *options, on_proxy_down="closed", network=NETWORK
    ):
        self.network = network
        plain = os.path.join(directory, "application.yaml")
        with open(plain) as file:
            injected = podman(
                *["run", "--rm", "--interactive", "--network", "none", WEIR],
                *["inject", "-f", "-", "--image", WEIR, "--config", CONFIG, *options],
                stdin=file,
            )
        pod, self.containers = kubelet.plan(yaml.safe_load(injected))
        self.manifest = os.path.join(directory, "manifest.yaml")
        with open(self.manifest, "w") as file:
            yaml.safe_dump_all([configuration(provider, on_proxy_down), pod], file)
        # A kubelet writes a pod's hosts once. podman would rewrite the file whenever a container
        # of the pod ends, and what looks a name up meanwhile finds it empty.
        podman(
            *["kube", "play", "--start=false", "--no-hosts", "--network", network, self.manifest]
        )
        self.times = {}

    def container(self, name):
        return f"{POD}-{name}"

    @property
    def sidecar(self):
        """weir's manifest of it."""
        return next(it.manifest for it in self.containers if it.name == "weir-proxy")

    def init(self):
        """Runs the init container to its end; podman repeats its exit status."""
        return podman("start", "--attach", self.container("weir-init"))

    def start(self):
        """Starts the containers, each when those before it let it."""
        begun = time.monotonic()
        for one in self.containers:
            if one.role == "init":
                podman("start", "--attach", self.container(one.name))
                self.times["init"] = time.monotonic() - begun
            elif one.name == "weir-proxy":
                self.start_proxy()
                self.times["ready"] = time.monotonic() - begun
            else:
                podman("start", self.container(one.name))
                self.times["application"] = time.monotonic() - begun
        self.calls(1)
        self.times["call"] = time.monotonic() - begun

    def start_proxy(self):
        podman("start", self.container("weir-proxy"))
        proxy = next(it for it in self.containers if it.name == "weir-proxy")
        if proxy.role == "sidecar":
            eventually("the startup probe succeeds", lambda: self.answers(*proxy.startup))
        else:
            podman("exec", self.container("weir-proxy"), *proxy.hook)

    def answers(self, path, port):
        """Whether a probe succeeds: the kubelet asks from the node, at the pod's address."""
        try:
            address = self.address()
            host = f"[{address}]" if ":" in address else address
            urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5).close()
        except OSError:
            return False
        return True

    def infra(self):
        return podman("pod", "inspect", "--format", "{{.InfraContainerID}}", POD)

    def address(self):
        """Its address, which its first container was given."""
        networks = json.loads(podman("inspect", self.infra()))[0]["NetworkSettings"]["Networks"]
        return networks[self.network]["IPAddress"] or networks[self.network]["GlobalIPv6Address"]

    def end(self):
        """Ends it as a kubelet does; gives the sidecar's exit status and how long it took."""
        begun = time.monotonic()
        for together in kubelet.end_order(self.containers):
            for one in together:
                self.signal(one.name, "TERM")
            for one in together:
                podman("wait", self.container(one.name))
        status = podman("wait", self.container("weir-proxy"))
        return status, time.monotonic() - begun

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

    def load(self, threads, calls):
        """Calls from many threads at once, beside the application's; gives how many passed."""
        words = ["python3", "/app/load.py", str(threads), str(calls)]
        return int(podman("exec", self.container("app"), *words))

    def records(self):
        out = self.logs("weir-proxy")[0]
        records = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        return [it for it in records if it["host"] == HOST]

    def pid(self, name):
        return podman("inspect", "--format", "{{.State.Pid}}", self.container(name))

    def status(self, name):
        """What the kernel says of its first process."""
        with open(f"/proc/{self.pid(name)}/status") as file:
            lines = [line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line]
        return {name: " ".join(value.split()) for name, value in lines}

    def processor(self, name):
        """What a container's first process has had of the processor so far, in seconds."""
        with open(f"/proc/{self.pid(name)}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        # Fields 14 and 15 of proc_pid_stat(5): of all its threads, also of those that have ended.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cgroup(self):
        """The pod's cgroup v2 directory: what the application and the pod's first container share."""
        with open("/proc/mounts") as mounts:
            mount = next(it.split()[1] for it in mounts if it.split()[2] == "cgroup2")
        paths = []
        for container in (self.container("app"), self.infra()):
            pid = podman("inspect", "--format", "{{.State.Pid}}", container)
            with open(f"/proc/{pid}/cgroup") as file:
                paths.append(next(it.strip()[3:] for it in file if it.startswith("0::")))
        return mount + os.path.commonpath(paths)

    def files(self):
        """Where the volumes are."""
        names = podman("volume", "ls", "--quiet").split()
        return [podman("volume", "inspect", "--format", "{{.Mountpoint}}", it) for it in names]

    def remove(self):
        podman("pod", "rm", "--force", "--time", "0", POD)
        for volume in podman("volume", "ls", "--quiet").split():
            podman("volume", "rm", "--force", volume)


def configuration(provider, on_proxy_down):
    """What the operator of the cluster has decided."""
    with open(provider.ca) as file:
        ca = file.read()
    weir = {
        "capture": {"on_proxy_down": on_proxy_down},
        "tls": {"upstream_roots": ["system", "provider.pem"]},
        "telemetry": {"exchange_log": "stdout"},
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG},
        "data": {"weir.yaml": yaml.safe_dump(weir), "provider.pem": ca},
    }


class Provider:
    """The emulator of the providers, in a container outside of the pod."""

    def __init__(self, directory):
        self.directory = os.path.join(directory, "provider")
        os.makedirs(self.directory, exist_ok=True)
        for name in os.listdir(self.directory):
            os.remove(os.path.join(self.directory, name))
        self.ca = os.path.join(self.directory, "ca.pem")
        self.ledger = os.path.join(self.directory, "ledger.jsonl")
        forget("rm", "--force", PROVIDER)
        forget("network", "rm", "--force", NETWORK, NETWORK_6)
        podman("network", "create", NETWORK)
        # With --ipv6 it would be given IPv4 too.
        podman("network", "create", "--subnet", SUBNET_6, NETWORK_6)
        networks = [f"--network={it}:alias={HOST}" for it in (NETWORK, NETWORK_6)]
        podman(
            *["run", "--detach", "--name", PROVIDER, *networks],
            *["--volume", f"{self.directory}:/provider", APP],
            *["weir-emulator", "--listen", "[::]:443", "--name", HOST],
            *["--ca-out", "/provider/ca.pem", "--ledger", "/provider/ledger.jsonl"],
            *["--ready-file", "/provider/ready", "--unique-ids"],
        )
        ready = os.path.join(self.directory, "ready")
        eventually("the provider is ready", lambda: os.path.exists(ready))

    def served(self):
        """How many calls it has answered."""
        with open(self.ledger) as file:
            return sum(1 for line in file if line.strip())

    def remove(self):
        podman("rm", "--force", "--time", "0", PROVIDER)
        podman("network", "rm", "--force", NETWORK, NETWORK_6)
