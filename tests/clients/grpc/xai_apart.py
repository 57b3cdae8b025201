"""Calls of xAI's services beside chats, with its SDK and the stubs in it.

Usage: xai_apart.py. Prints a line of JSON for each call: what it was, how it came out,
and what the SDK says was used.
"""

import json
from datetime import timedelta

import grpc
from xai_sdk import Client
from xai_sdk.chat import user
from xai_sdk.proto import deferred_pb2, sample_pb2, sample_pb2_grpc

KEY = "xai-test-0123456789"
QUESTION = "What holds a river back?"


def said(call, identifier=None, usage=None, **more):
    line = {"call": call, "status": "OK"}
    if usage is not None:
        line |= {
            "id": identifier,
            "prompt": usage.prompt_tokens,
            "completion": usage.completion_tokens,
            "reasoning": usage.reasoning_tokens,
            "cached": usage.cached_prompt_text_tokens,
            "ticks": usage.cost_in_usd_ticks,
        }
    print(json.dumps(line | more), flush=True)


with Client(api_key=KEY) as client:
    chat = client.chat.create(model="grok-4", messages=[user(QUESTION)])
    response = chat.defer(interval=timedelta(milliseconds=10))
    said("started")
    said("pending")
    said("deferred", response.id, response.usage, content=response.content)

    asked = deferred_pb2.GetDeferredRequest(request_id=f"deferred {response.id}")
    again = client.chat._stub.GetDeferredCompletion(asked).response
    said("deferred again", again.id, again.usage)

    [stored] = client.chat.get_stored_completion(response.id)
    said("stored", stored.id, stored.usage, content=stored.content)

    compacted = client.chat.compact_context("grok-4", [user(QUESTION)])
    said("compacted", compacted.id, compacted.usage, content=compacted.encrypted_content)

with grpc.secure_channel("api.x.ai:443", grpc.ssl_channel_credentials()) as channel:
    stub = sample_pb2_grpc.SampleStub(channel)
    key = [("authorization", f"Bearer {KEY}")]
    request = sample_pb2.SampleTextRequest(model="grok-2", prompt=[QUESTION])
    text = stub.SampleText(request, metadata=key)
    said("text", text.id, text.usage, content=text.choices[0].text)
    parts = list(stub.SampleTextStreaming(request, metadata=key))
    said("text stream", parts[-1].id, parts[-1].usage, content=[p.choices[0].text for p in parts])
