"""Ollama's SDK with a server of one's own: chats, completions and embeddings.

Prints a JSON object for each call: what was called, and what the SDK says of the answer. Calls
are made one after the other, because Ollama's answers have nothing that tells them apart.
"""

import asyncio
import json

from ollama import AsyncClient, Client

HOST = "http://ollama.internal:11434"
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "read_level", "parameters": LEVEL}}]


def tell(call, last, answer):
    said = {"call": call, "answer": answer, "input_tokens": last.prompt_eval_count}
    said["output_tokens"] = getattr(last, "eval_count", None)
    print(json.dumps(said), flush=True)


def chat(question, **more):
    return {"model": "llama3.2", "messages": [{"role": "user", "content": question}], **more}


def calls_of(message):
    return [call.model_dump() for call in message.tool_calls or []]


def chats(client):
    answer = client.chat(**chat("What is a weir?"))
    tell("chat", answer, answer.message.content)

    lines = list(client.chat(**chat("What is a sluice?"), stream=True))
    tell("chat stream", lines[-1], [line.message.content for line in lines])

    question = chat("Call read_level for the north gate.", tools=TOOLS)
    answer = client.chat(**question)
    tell("chat tool", answer, calls_of(answer.message))

    result = {"role": "tool", "tool_name": "read_level", "content": "2.4 m"}
    question["messages"] += [answer.message, result]
    answer = client.chat(**question)
    tell("chat tool's result", answer, answer.message.content)

    question = chat("Call read_level for the south gate.", tools=TOOLS)
    lines = list(client.chat(**question, stream=True))
    tell("chat stream tool", lines[-1], [calls_of(line.message) for line in lines])


def others(client):
    asked = {"model": "llama3.2", "system": "Be brief."}
    answer = client.generate(prompt="A weir is", **asked)
    tell("generate", answer, answer.response)

    lines = list(client.generate(prompt="A sluice is", stream=True, **asked))
    tell("generate stream", lines[-1], [line.response for line in lines])

    answer = client.embed(model="nomic-embed-text", input=["weir", "sluice"])
    tell("embed", answer, answer.embeddings)


async def asynchronous(client):
    answer = await client.chat(**chat("Why is a weir low?"))
    tell("async chat", answer, answer.message.content)

    lines = [line async for line in await client.chat(**chat("Why is a dam high?"), stream=True)]
    tell("async chat stream", lines[-1], [line.message.content for line in lines])


client = Client(host=HOST)
chats(client)
others(client)
asyncio.run(asynchronous(AsyncClient(host=HOST)))
