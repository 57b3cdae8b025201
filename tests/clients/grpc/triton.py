"""Calls of Triton's inference protocol with its own client over gRPC.

Usage: triton.py HOST. Prints a line of JSON for each call: what was called, how it
came out, and what it answers.
"""

import hashlib
import json
import queue
import sys

import numpy
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

HOST = sys.argv[1]


def said(call, status, **more):
    print(json.dumps({"call": call, "status": status} | more), flush=True)


def tensor(length):
    values = numpy.arange(length, dtype=numpy.float32)
    one = InferInput("LEVEL", [length], "FP32")
    one.set_data_from_numpy(values)
    return one


def answered(result):
    values = result.as_numpy("LEVEL_OUT")
    answer = result.get_response()
    return {
        "model": answer.model_name,
        "id": answer.id,
        "shape": list(values.shape),
        "hash": hashlib.sha256(values.tobytes()).hexdigest(),
    }


client = InferenceServerClient(f"{HOST}:443", ssl=True)
said("live", "OK", live=client.is_server_live())

result = client.infer("gauge", [tensor(16)], request_id="r-1")
said("infer", "OK", **answered(result))
# More than any window.
result = client.infer("gauge", [tensor(4 << 20)], request_id="r-2")
said("infer", "OK", **answered(result))
result = client.infer("gauge", [tensor(65536)], request_id="r-3", compression_algorithm="gzip")
said("infer", "OK", **answered(result))
try:
    client.infer("none", [tensor(16)], request_id="r-4")
except InferenceServerException as error:
    said("infer", error.status().removeprefix("StatusCode."), message=error.message())

results = queue.Queue()
client.start_stream(lambda result, error: results.put((result, error)))
for number in range(3):
    client.async_stream_infer("gauge", [tensor(8)], request_id=f"s-{number}")
answers = []
for _ in range(3):
    result, error = results.get(timeout=30)
    answers.append(answered(result) if error is None else error.message())
client.stop_stream()
said("stream", "OK", answers=answers)

client.start_stream(lambda result, error: results.put((result, error)))
client.async_stream_infer("none", [tensor(8)], request_id="s-9")
result, error = results.get(timeout=30)
client.stop_stream()
said("stream", "OK", error=error.message())
client.close()
