"""OpenAI's SDK: chats, responses and embeddings, one after the other and at the same time.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import asyncio
import json

from openai import AsyncOpenAI, OpenAI

KEY = "test-0123456789"
CHAT = "gpt-4.1-mini"
RESPONSES = "gpt-5.4-mini"
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
CHAT_TOOLS = [{"type": "function", "function": {"name": "read_level", "parameters": LEVEL}}]
RESPONSE_TOOLS = [{"type": "function", "name": "read_level", "parameters": LEVEL}]


def told(call, answer_id, usage, answer):
    counts = {}
    if usage is not None:
        names = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
        values = [getattr(usage, name, None) for name in names]
        counts = {"input_tokens": values[0] or values[2], "output_tokens": values[1] or values[3]}
    print(json.dumps({"call": call, "id": answer_id, "answer": answer, **counts}), flush=True)


def chat(question, **more):
    return {"model": CHAT, "messages": [{"role": "user", "content": question}], **more}


def response(question, **more):
    return {"model": RESPONSES, "input": question, "reasoning": {"effort": "low"}, **more}


class ChatStream:
    """What an application gathers from the chunks of a chat."""

    def __init__(self):
        self.id = self.usage = None
        self.answer = []

    def add(self, chunk):
        self.id = chunk.id
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices:
            self.answer.append(choice.delta.to_dict())

    def tell(self, call):
        told(call, self.id, self.usage, self.answer)


def chats(client):
    answer = client.chat.completions.create(**chat("What is a weir?"))
    told("chat", answer.id, answer.usage, answer.choices[0].message.content)

    # Without being asked, the SDK must not see usage, whoever else asked.
    stream = ChatStream()
    for chunk in client.chat.completions.create(**chat("What is a sluice?"), stream=True):
        assert chunk.usage is None and chunk.choices, chunk
        stream.add(chunk)
    stream.tell("chat stream")

    stream = ChatStream()
    for chunk in client.chat.completions.create(
        **chat("What is a lock?"), stream=True, stream_options={"include_usage": True}
    ):
        stream.add(chunk)
    assert stream.usage
    stream.tell("chat stream with usage")

    with client.chat.completions.stream(**chat("What is a dam?")) as stream:
        answer = stream.get_final_completion()
    told("chat stream by events", answer.id, answer.usage, answer.choices[0].message.content)


def chat_tools(client):
    question = chat("Call read_level for the north gate.", tools=CHAT_TOOLS)
    answer = client.chat.completions.create(**question)
    message = answer.choices[0].message
    [call] = message.tool_calls
    told("chat tool", answer.id, answer.usage, call.to_dict())

    result = {"role": "tool", "tool_call_id": call.id, "content": "2.4 m"}
    question["messages"] += [message.to_dict(), result]
    answer = client.chat.completions.create(**question)
    told("chat tool's result", answer.id, answer.usage, answer.choices[0].message.content)

    stream = ChatStream()
    for chunk in client.chat.completions.create(
        **chat("Call read_level for the south gate.", tools=CHAT_TOOLS), stream=True
    ):
        stream.add(chunk)
    stream.tell("chat stream tool")


def responses(client):
    answer = client.responses.create(**response("How wide is a weir?"))
    told("responses", answer.id, answer.usage, answer.output_text)

    with client.responses.stream(**response("How wide is a sluice?")) as stream:
        answer = stream.get_final_response()
    told("responses stream", answer.id, answer.usage, answer.output_text)

    tools = response("Call read_level for the north gate.", tools=RESPONSE_TOOLS)
    answer = client.responses.create(**tools)
    [call] = [item.to_dict() for item in answer.output if item.type == "function_call"]
    told("responses tool", answer.id, answer.usage, call)


def embeddings(client):
    answer = client.embeddings.create(model="text-embedding-3-small", input=["weir", "sluice"])
    told("embeddings", None, answer.usage, [row.embedding for row in answer.data])


async def at_once(client):
    async def chat_plain():
        answer = await client.chat.completions.create(**chat("Why is a weir low?"))
        return answer.id, answer.usage, answer.choices[0].message.content

    async def chat_stream():
        stream = ChatStream()
        async for chunk in await client.chat.completions.create(
            **chat("Why is a sluice narrow?"), stream=True
        ):
            stream.add(chunk)
        return stream.id, stream.usage, stream.answer

    async def responses_plain():
        answer = await client.responses.create(**response("Why is a lock slow?"))
        return answer.id, answer.usage, answer.output_text

    async def responses_stream():
        async with client.responses.stream(**response("Why is a dam high?")) as stream:
            answer = await stream.get_final_response()
        return answer.id, answer.usage, answer.output_text

    calls = [chat_plain(), chat_stream(), responses_plain(), responses_stream()]
    names = ["chat", "chat stream", "responses", "responses stream"]
    for name, answer in zip(names, await asyncio.gather(*calls)):
        told(f"{name} at once", *answer)


async def concurrent():
    async with AsyncOpenAI(api_key=KEY) as client:
        await at_once(client)


with OpenAI(api_key=KEY) as client:
    chats(client)
    chat_tools(client)
    responses(client)
    embeddings(client)
asyncio.run(concurrent())
