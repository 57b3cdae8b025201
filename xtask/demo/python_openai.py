"""OpenAI's Python SDK as any application uses it: synchronous, then concurrent.

Prints a line for each answer: client, API, mode, and the id of the answer.
"""

import asyncio

from openai import AsyncOpenAI, OpenAI

CHAT_MODEL = "gpt-4.1-mini"
RESPONSES_MODEL = "gpt-5.4-mini"


def chat(question):
    return {
        "model": CHAT_MODEL,
        "messages": [
            {"role": "system", "content": "Answer in one paragraph."},
            {"role": "user", "content": question},
        ],
    }


def response(question):
    return {
        "model": RESPONSES_MODEL,
        "instructions": "Answer in one paragraph.",
        "input": question,
        "reasoning": {"effort": "low"},
    }


def told(client, api, mode, answer_id, text):
    assert text, f"{client}: the answer to {api} {mode} has no text"
    print(client, api, mode, answer_id, sep="\t", flush=True)


class ChatStream:
    """What an application gathers from the chunks of a chat."""

    def __init__(self):
        self.id = None
        self.text = ""

    def add(self, chunk):
        # It did not ask for usage, so it must not see any, whoever else asked.
        assert chunk.usage is None and chunk.choices, f"an unasked chunk: {chunk}"
        self.id = chunk.id
        self.text += chunk.choices[0].delta.content or ""


class ResponseStream:
    """What an application gathers from the events of a response."""

    def __init__(self):
        self.id = None
        self.text = ""

    def add(self, event):
        if event.type == "response.output_text.delta":
            self.text += event.delta
        elif event.type == "response.completed":
            self.id = event.response.id


def synchronous():
    name = "python openai"
    with OpenAI() as client:
        answer = client.chat.completions.create(**chat("What is a weir?"))
        told(name, "chat", "plain", answer.id, answer.choices[0].message.content)

        stream = ChatStream()
        for chunk in client.chat.completions.create(**chat("What is a sluice?"), stream=True):
            stream.add(chunk)
        told(name, "chat", "stream", stream.id, stream.text)

        answer = client.responses.create(**response("What is a lock?"))
        told(name, "responses", "plain", answer.id, answer.output_text)

        stream = ResponseStream()
        for event in client.responses.create(**response("What is a dam?"), stream=True):
            stream.add(event)
        told(name, "responses", "stream", stream.id, stream.text)


async def concurrent():
    name = "python openai async"

    async def chat_plain(client):
        answer = await client.chat.completions.create(**chat("Why is a weir low?"))
        told(name, "chat", "plain", answer.id, answer.choices[0].message.content)

    async def chat_stream(client):
        stream = ChatStream()
        async for chunk in await client.chat.completions.create(
            **chat("Why is a sluice narrow?"), stream=True
        ):
            stream.add(chunk)
        told(name, "chat", "stream", stream.id, stream.text)

    async def responses_plain(client):
        answer = await client.responses.create(**response("Why is a lock slow?"))
        told(name, "responses", "plain", answer.id, answer.output_text)

    async def responses_stream(client):
        stream = ResponseStream()
        async for event in await client.responses.create(
            **response("Why is a dam high?"), stream=True
        ):
            stream.add(event)
        told(name, "responses", "stream", stream.id, stream.text)

    async with AsyncOpenAI() as client:
        await asyncio.gather(
            chat_plain(client),
            chat_stream(client),
            responses_plain(client),
            responses_stream(client),
        )


synchronous()
asyncio.run(concurrent())
