"""The application of the pod test: calls a model API, and knows nothing of weir.

It calls once when it starts, once for each SIGUSR1, without a pause from one SIGUSR2 to the next,
and three times more after SIGTERM, a second apart, before it ends. What it trusts it reads once, as
applications do. Each call is one line on standard output.
"""

import json
import signal
import ssl
import time
import urllib.request

TRUST = ssl.create_default_context()
BODY = json.dumps(
    {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "How deep is it?"}]}
).encode()
count = 0
asked = []


def call():
    global count
    count += 1
    request = urllib.request.Request(
        "https://api.openai.com/v1/chat/completions",
        BODY,
        {"authorization": "Bearer none", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, context=TRUST, timeout=20) as answer:
            tokens = json.load(answer)["usage"]["total_tokens"]
        print("call", count, "ok", tokens, flush=True)
    except OSError as error:
        print("call", count, "failed", error, flush=True)


for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, lambda number, _frame: asked.append(number))
call()
busy = False
while True:
    if not asked:
        if busy:
            call()
        else:
            # A signal may come just before the pause begins: it lasts a moment only.
            time.sleep(0.05)
        continue
    number = asked.pop(0)
    if number == signal.SIGUSR1:
        call()
    elif number == signal.SIGUSR2:
        busy = not busy
    else:
        for _ in range(3):
            call()
            time.sleep(1)
        print("ended after", count, "calls", flush=True)
        break
