"""Calls of a model API from many threads at once, answered as streams; argv: threads, calls of each."""

import json
import ssl
import sys
import threading
import urllib.request

THREADS, CALLS = int(sys.argv[1]), int(sys.argv[2])
TRUST = ssl.create_default_context()
BODY = json.dumps(
    {
        "model": "gpt-4.1-mini",
        "stream": True,
        "messages": [{"role": "user", "content": "How deep is it?"}],
    }
).encode()
HEADERS = {"authorization": "Bearer none", "content-type": "application/json"}
passed = []
begin = threading.Barrier(THREADS)


def calls():
    begin.wait()
    for _ in range(CALLS):
        url = "https://api.openai.com/v1/chat/completions"
        request = urllib.request.Request(url, BODY, HEADERS)
        with urllib.request.urlopen(request, context=TRUST, timeout=120) as answer:
            if answer.read().rstrip().endswith(b"[DONE]"):
                passed.append(1)


threads = [threading.Thread(target=calls) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(passed))
