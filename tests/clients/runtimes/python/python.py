"""One call by an HTTP library of Python's.

Usage: python.py LIBRARY [ROOTS]. Prints the call's total of tokens.
"""

import asyncio
import json
import ssl
import sys

LIBRARY, *ROOTS = sys.argv[1:]
URL = "https://api.openai.com/v1/chat/completions"
HEADERS = {"Authorization": "Bearer test-0123456789", "Content-Type": "application/json"}
BODY = json.dumps(
    {
        "model": "gpt-4.1-mini",
        "messages": [{"role": "user", "content": "What holds a river back?"}],
    }
).encode()


def context():
    return ssl.create_default_context(cafile=ROOTS[0])


def with_urllib():
    from urllib.request import Request, urlopen

    options = {"context": context()} if ROOTS else {}
    with urlopen(Request(URL, BODY, HEADERS), **options) as answer:
        return answer.read()


def with_requests():
    import requests

    options = {"verify": ROOTS[0]} if ROOTS else {}
    answer = requests.post(URL, data=BODY, headers=HEADERS, **options)
    answer.raise_for_status()
    return answer.content


def with_httpx():
    import httpx

    options = {"verify": context()} if ROOTS else {}
    return httpx.post(URL, content=BODY, headers=HEADERS, **options).raise_for_status().content


def with_urllib3():
    import urllib3

    options = {"ca_certs": ROOTS[0]} if ROOTS else {}
    pool = urllib3.PoolManager(retries=False, **options)
    return pool.request("POST", URL, body=BODY, headers=HEADERS).data


def with_aiohttp():
    import aiohttp

    async def call():
        options = {"ssl": context()} if ROOTS else {}
        async with aiohttp.ClientSession(raise_for_status=True) as session:
            async with session.post(URL, data=BODY, headers=HEADERS, **options) as answer:
                return await answer.read()

    return asyncio.run(call())


def with_grpc():
    import grpc

    # gRPC's core has a TLS stack of its own. Nobody serves this method: what counts is that the
    # call got there, and that the answer to it came back.
    roots = open(ROOTS[0], "rb").read() if ROOTS else None
    channel = grpc.secure_channel("api.openai.com:443", grpc.ssl_channel_credentials(roots))
    method = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
    try:
        method(b"", timeout=20)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise
    return json.dumps({"usage": {"total_tokens": "answered"}})


answer = {
    "urllib": with_urllib,
    "requests": with_requests,
    "httpx": with_httpx,
    "urllib3": with_urllib3,
    "aiohttp": with_aiohttp,
    "grpc": with_grpc,
}[LIBRARY]()
print(json.loads(answer)["usage"]["total_tokens"])
