"""Mistral's SDK: chats and embeddings.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import asyncio
import json

from mistralai.client import Mistral

KEY = "test-0123456789"
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "read_level", "parameters": LEVEL}}]


def tell(call, answer_id, usage, answer):
    said = {"call": call, "id": answer_id, "answer": answer}
    said |= {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    print(json.dumps(said), flush=True)


def chat(question, **more):
    asked = {"role": "user", "content": question}
    return {"model": "mistral-small-latest", "messages": [asked], **more}


class Stream:
    """What an application gathers from the chunks of a chat."""

    def __init__(self):
        self.id = self.usage = None
        self.answer = ""

    def add(self, event):
        self.id = event.data.id
        self.usage = event.data.usage or self.usage
        delta = event.data.choices[0].delta
        self.answer += delta.content or ""
        for call in delta.tool_calls or []:
            self.answer += call.function.name + call.function.arguments

    def tell(self, call):
        tell(call, self.id, self.usage, self.answer)


def chats(client):
    answer = client.chat.complete(**chat("What is a weir?"))
    tell("chat", answer.id, answer.usage, answer.choices[0].message.content)

    stream = Stream()
    with client.chat.stream(**chat("What is a sluice?")) as events:
        for event in events:
            stream.add(event)
    stream.tell("chat stream")

    question = chat("Call read_level for the north gate.", tools=TOOLS)
    answer = client.chat.complete(**question)
    message = answer.choices[0].message
    [call] = message.tool_calls
    tell("chat tool", answer.id, answer.usage, call.function.arguments)

    result = {"role": "tool", "tool_call_id": call.id, "name": "read_level", "content": "2.4 m"}
    question["messages"] += [message, result]
    answer = client.chat.complete(**question)
    tell("chat tool's result", answer.id, answer.usage, answer.choices[0].message.content)

    stream = Stream()
    question = chat("Call read_level for the south gate.", tools=TOOLS)
    with client.chat.stream(**question) as events:
        for event in events:
            stream.add(event)
    stream.tell("chat stream tool")


def embeddings(client):
    answer = client.embeddings.create(model="mistral-embed", inputs=["weir", "sluice"])
    tell("embeddings", answer.id, answer.usage, [row.embedding for row in answer.data])


async def at_once():
    async with Mistral(api_key=KEY) as client:

        async def streamed(question):
            stream = Stream()
            async with await client.chat.stream_async(**chat(question)) as events:
                async for event in events:
                    stream.add(event)
            return stream

        plain = client.chat.complete_async(**chat("Why is a weir low?"))
        answer, stream = await asyncio.gather(plain, streamed("Why is a dam high?"))
    tell("chat at once", answer.id, answer.usage, answer.choices[0].message.content)
    stream.tell("chat stream at once")


with Mistral(api_key=KEY) as client:
    chats(client)
    embeddings(client)
asyncio.run(at_once())
