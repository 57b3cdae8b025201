"""Cohere's SDK: chats, embeddings and ranked documents.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import asyncio
import json

from cohere import AsyncClientV2, ClientV2

KEY = "test-0123456789"
MODEL = "command-a-03-2025"
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "read_level", "parameters": LEVEL}}]


def tell(call, answer_id, units, answer):
    said = {"call": call, "id": answer_id, "answer": answer}
    for name in ("input_tokens", "output_tokens"):
        count = getattr(units, name, None)
        said[name] = None if count is None else int(count)
    print(json.dumps(said), flush=True)


def chat(question, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": question}], **more}


class Stream:
    """What an application gathers from the events of a chat."""

    def __init__(self):
        self.id = self.units = None
        self.answer = ""

    def add(self, event):
        if event.type == "message-start":
            self.id = event.id
        elif event.type == "content-delta":
            self.answer += event.delta.message.content.text
        elif event.type == "tool-call-start":
            self.answer += event.delta.message.tool_calls.function.name
        elif event.type == "tool-call-delta":
            self.answer += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            self.units = event.delta.usage.billed_units

    def tell(self, call):
        tell(call, self.id, self.units, self.answer)


def chats(client):
    answer = client.chat(**chat("What is a weir?"))
    tell("chat", answer.id, answer.usage.billed_units, answer.message.content[0].text)

    stream = Stream()
    for event in client.chat_stream(**chat("What is a sluice?")):
        stream.add(event)
    stream.tell("chat stream")

    question = chat("Call read_level for the north gate.", tools=TOOLS)
    answer = client.chat(**question)
    [call] = answer.message.tool_calls
    tell("chat tool", answer.id, answer.usage.billed_units, call.function.arguments)

    document = {"type": "document", "document": {"data": {"level": "2.4 m"}}}
    question["messages"] += [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call.id, "content": [document]},
    ]
    answer = client.chat(**question)
    tell("chat tool's result", answer.id, answer.usage.billed_units, answer.message.content[0].text)

    stream = Stream()
    for event in client.chat_stream(**chat("Call read_level for the south gate.", tools=TOOLS)):
        stream.add(event)
    stream.tell("chat stream tool")


def documents(client):
    answer = client.embed(
        model="embed-v4.0",
        texts=["weir", "sluice"],
        input_type="search_document",
        embedding_types=["float"],
    )
    tell("embed", answer.id, answer.meta.billed_units, answer.embeddings.float_)

    names = ["a dam", "a lock", "a weir"]
    answer = client.rerank(model="rerank-v3.5", query="weir", documents=names, top_n=2)
    assert answer.meta.billed_units.search_units == 1
    tell("rerank", answer.id, None, [row.index for row in answer.results])


async def at_once():
    async with AsyncClientV2(api_key=KEY) as client:

        async def streamed(question):
            stream = Stream()
            async for event in client.chat_stream(**chat(question)):
                stream.add(event)
            return stream

        plain = client.chat(**chat("Why is a weir low?"))
        answer, stream = await asyncio.gather(plain, streamed("Why is a dam high?"))
    tell("chat at once", answer.id, answer.usage.billed_units, answer.message.content[0].text)
    stream.tell("chat stream at once")


with ClientV2(api_key=KEY) as client:
    chats(client)
    documents(client)
asyncio.run(at_once())
