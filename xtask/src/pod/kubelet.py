"""A kubelet's part in a pod, for podman.

podman's `kube play` makes a pod's containers as the manifest has them, but it knows no native
sidecar, no probe over HTTP, and few fields of a pod in variables. What an API server and a kubelet
do about those is done here: what is filled in, and in which order containers start and end.
"""

import copy
import os
import re
from dataclasses import dataclass, field


@dataclass
class Container:
    """One container of the manifest, and when it is started."""

    name: str
    # "init" runs to its end, a "sidecar" is there for those after it, an "application" is neither.
    role: str
    # The path and port that say whether those after it may start.
    startup: tuple = None
    # The command of its postStart hook, which those after it wait for.
    hook: list = None
    manifest: dict = field(default_factory=dict, repr=False)


def plan(pod):
    """The pod as podman can play it, and its containers in the order of their start."""
    pod = copy.deepcopy(pod)
    spec = pod["spec"]
    fields = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": "default",
        "spec.nodeName": os.uname().nodename,
    }
    for volume in spec.get("volumes", []):
        # podman 5 would give each container memory of its own, which is then not shared.
        volume.get("emptyDir", {}).pop("medium", None)
    containers = []
    for one in spec.pop("initContainers", None) or []:
        is_sidecar = one.pop("restartPolicy", None) == "Always"
        containers.append(planned(one, "sidecar" if is_sidecar else "init", fields))
    containers += [planned(one, "application", fields) for one in spec["containers"]]
    spec["containers"] = [one.manifest for one in containers]
    # Nobody reads them here, and podman 4 allows them no more characters than a label has.
    pod["metadata"].pop("annotations", None)
    # Who restarts what is decided here.
    spec["restartPolicy"] = "Never"
    return pod, containers


def planned(manifest, role, fields):
    for variable in manifest.get("env", []):
        source = variable.pop("valueFrom", None)
        if source:
            variable["value"] = fields[source["fieldRef"]["fieldPath"]]
    values = {it["name"]: it["value"] for it in manifest.get("env", [])}
    for variable in manifest.get("env", []):
        of_another = lambda found: values.get(found[1], found[0])
        variable["value"] = re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", of_another, variable["value"])
    probes = {kind: manifest.pop(f"{kind}Probe", None) for kind in ("startup", "readiness", "liveness")}
    get = (probes["startup"] or {}).get("httpGet")
    after = manifest.pop("lifecycle", {}).get("postStart")
    return Container(
        name=manifest["name"],
        role=role,
        startup=get and (get["path"], get["port"]),
        hook=after and after["exec"]["command"],
        manifest=manifest,
    )


def end_order(containers):
    """Who is told to end at once, one list after the other: sidecars when nobody needs them."""
    yield [it for it in containers if it.role == "application"]
    for sidecar in reversed([it for it in containers if it.role == "sidecar"]):
        yield [sidecar]
