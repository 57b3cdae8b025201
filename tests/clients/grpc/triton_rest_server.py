"""A server of KServe's inference protocol over REST, with Triton's binary tensors.

Usage: triton_rest_server.py ADDRESS CERTIFICATE KEY: listens on port 443 with TLS and
on port 80 without. Says so when it does.
"""

import gzip
import json
import ssl
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS, CERTIFICATE, KEY = sys.argv[1:]

CODINGS = {
    "gzip": (gzip.decompress, gzip.compress),
    "deflate": (zlib.decompress, zlib.compress),
    None: (bytes, bytes),
}
LENGTH = "Inference-Header-Content-Length"


class Rest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/v2/health/live" else 404, b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        decode, _ = CODINGS[self.headers["Content-Encoding"]]
        body = decode(body)
        model = self.path.split("/")[3]
        if model == "none":
            error = json.dumps({"error": "there is no such model"}).encode()
            return self.answer(400, error, Content_Type="application/json")
        self.infer(model, body)

    def infer(self, model, body):
        length = int(self.headers.get(LENGTH, len(body)))
        request, tensors = json.loads(body[:length]), body[length:]
        outputs = []
        for tensor in request["inputs"]:
            output = {key: tensor[key] for key in ("datatype", "shape", "data") if key in tensor}
            size = tensor.get("parameters", {}).get("binary_data_size")
            parameters = {} if size is None else {"parameters": {"binary_data_size": size}}
            outputs.append({"name": f"{tensor['name']}_OUT", **output, **parameters})
        head = {"model_name": model, "model_version": "1", "outputs": outputs}
        if "id" in request:
            head["id"] = request["id"]
        head = json.dumps(head).encode()
        headers = {"Content_Type": "application/json"}
        if tensors:
            headers = {"Content_Type": "application/octet-stream"}
            headers["Inference_Header_Content_Length"] = str(len(head))
        coding = self.headers["Accept-Encoding"]
        if coding in CODINGS and coding is not None:
            headers["Content_Encoding"] = coding
        _, encode = CODINGS.get(coding, CODINGS[None])
        self.answer(200, encode(head + tensors), **headers)


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(CERTIFICATE, KEY)
secure = ThreadingHTTPServer((ADDRESS, 443), Rest)
secure.socket = tls.wrap_socket(secure.socket, server_side=True)
plain = ThreadingHTTPServer((ADDRESS, 80), Rest)
threading.Thread(target=plain.serve_forever).start()
print("listening", flush=True)
secure.serve_forever()
