"""Calls of Triton's inference protocol with its own client over REST.

Usage: triton_rest.py SCHEME HOST. Prints a line of JSON for each call: what was
called, how it came out, and what it answers.
"""

import hashlib
import json
import sys

import gevent.ssl
import numpy
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

SCHEME, HOST = sys.argv[1:]


def said(call, status, **more):
    print(json.dumps({"call": call, "status": status} | more), flush=True)


def tensor(length, binary=True):
    values = numpy.arange(length, dtype=numpy.float32)
    one = InferInput("LEVEL", [length], "FP32")
    one.set_data_from_numpy(values, binary_data=binary)
    return one


def answered(result):
    values, answer = result.as_numpy("LEVEL_OUT"), result.get_response()
    digest = hashlib.sha256(values.tobytes()).hexdigest()
    return {
        "model": answer["model_name"],
        "id": answer.get("id"),
        "shape": list(values.shape),
        "hash": digest,
    }


def infer(client, request, length, binary=True, **options):
    outputs = [InferRequestedOutput("LEVEL_OUT", binary_data=binary)]
    inputs = [tensor(length, binary)]
    result = client.infer("gauge", inputs, outputs=outputs, request_id=request, **options)
    said("infer", "OK", **answered(result))


def trusted(**_):
    """The client's own bundle would do for nobody's CA but the public ones."""
    return gevent.ssl.create_default_context()


options = {"ssl": True, "ssl_context_factory": trusted} if SCHEME == "https" else {}
with InferenceServerClient(HOST, **options) as client:
    said("live", "OK", live=client.is_server_live())
    infer(client, "r-1", 16)
    infer(client, "r-2", 16, binary=False)
    # More than any buffer.
    infer(client, "r-3", 1 << 20)
    for coding in ("gzip", "deflate"):
        codings = {
            "request_compression_algorithm": coding,
            "response_compression_algorithm": coding,
        }
        infer(client, f"r-{coding}", 65536, **codings)
    infer(client, "r-6", 8, model_version="1")
    later = client.async_infer("gauge", [tensor(32)], request_id="r-7")
    said("infer", "OK", **answered(later.get_result()))
    try:
        client.infer("none", [tensor(16)], request_id="r-8")
    except InferenceServerException as error:
        said("infer", "error", message=error.message())
