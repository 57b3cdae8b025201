#!/usr/bin/python3
"""runc without limits on resources, which a machine without CAP_SYS_RESOURCE cannot set."""

import json
import os
import sys

RUNC = "/usr/sbin/runc"


def without_limits(path, of):
    with open(path) as file:
        spec = json.load(file)
    of(spec).pop("rlimits", None)
    with open(path, "w") as file:
        json.dump(spec, file)


words = sys.argv[1:]
for option, value in zip(words, words[1:]):
    if option in ("--bundle", "-b"):
        without_limits(os.path.join(value, "config.json"), lambda spec: spec["process"])
    elif option in ("--process", "-p"):
        without_limits(value, lambda spec: spec)
os.execv(RUNC, [RUNC, *words])
