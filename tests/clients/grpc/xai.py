"""Calls of xAI's chats with its SDK.

Usage: xai.py. Prints a line of JSON for each: what was asked for, how it came out,
and what the SDK says was used.
"""

import json

import grpc
from xai_sdk import Client
from xai_sdk.chat import system, user

QUESTION = "What holds a river back?"


def said(call, status, response=None, **more):
    line = {"call": call, "status": status}
    if response is not None:
        usage = response.usage
        line |= {
            "id": response.id,
            "prompt": usage.prompt_tokens,
            "completion": usage.completion_tokens,
            "reasoning": usage.reasoning_tokens,
            "cached": usage.cached_prompt_text_tokens,
            "ticks": usage.cost_in_usd_ticks,
        }
    print(json.dumps(line | more), flush=True)


def refused(call, ask):
    try:
        ask()
        said(call, "OK")
    except grpc.RpcError as error:
        said(call, error.code().name)


def chat(client, model):
    return client.chat.create(model=model, messages=[system("Be brief."), user(QUESTION)])


client = Client(api_key="xai-test-0123456789")

response = chat(client, "grok-4").sample()
said("sample", "OK", response, content=response.content)

several = chat(client, "grok-4").sample_batch(3)
said("sample_batch", "OK", several[0], content=[one.content for one in several])

chunks = []
for response, chunk in chat(client, "grok-4").stream():
    chunks.append(chunk.content)
said("stream", "OK", response, content=chunks)

refused("exhausted", lambda: chat(client, "dry").sample())
refused("broken", lambda: list(chat(client, "breaking").stream()))

hasty = Client(api_key="xai-test-0123456789", timeout=0.5)
refused("late", lambda: chat(hasty, "slow").sample())
hasty.close()

stream = client.chat._stub.GetCompletionChunk(chat(client, "endless")._make_request(1))
first = next(stream)
stream.cancel()
said("cancelled", "CANCELLED", content=first.outputs[0].delta.content)
refused("unknown", lambda: client.chat.get_stored_completion("chat-0"))
client.close()
