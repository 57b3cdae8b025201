"""Anthropic's SDK: messages, one after the other and at the same time.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import asyncio
import json

from anthropic import Anthropic, AsyncAnthropic

KEY = "test-0123456789"
# Long enough to be worth caching: the first call writes it, the second reads it.
RULES = "".join(f"Rule {number}: close gate {number} first.\n" for number in range(1, 121))
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
TOOLS = [{"name": "read_level", "description": "Reads a gauge.", "input_schema": LEVEL}]


def told(call, message):
    usage = message.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    said = {
        "call": call,
        "id": message.id,
        "input_tokens": usage.input_tokens + cached,
        "output_tokens": usage.output_tokens,
        "answer": [block.to_dict() for block in message.content],
    }
    print(json.dumps(said), flush=True)


def message(question, **more):
    asked = {"role": "user", "content": question}
    return {"model": "claude-sonnet-5", "max_tokens": 2048, "messages": [asked], **more}


def one_by_one(client):
    told("messages", client.messages.create(**message("What is a weir?")))

    with client.messages.stream(**message("What is a sluice?")) as stream:
        told("messages stream", stream.get_final_message())

    system = [{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}}]
    for gate in ("first", "last"):
        answer = client.messages.create(**message(f"Which gate is {gate}?", system=system))
        told(f"messages cached {gate}", answer)

    thinking = {"type": "adaptive"}
    with client.messages.stream(**message("What is a lock?", thinking=thinking)) as stream:
        told("messages stream thinking", stream.get_final_message())

    question = message("Call read_level for the north gate.", tools=TOOLS)
    answer = client.messages.create(**question)
    [call] = [block for block in answer.content if block.type == "tool_use"]
    told("messages tool", answer)

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "2.4 m"}
    question["messages"] += [
        {"role": "assistant", "content": [call.to_dict()]},
        {"role": "user", "content": [result]},
    ]
    told("messages tool's result", client.messages.create(**question))

    question = message("Call read_level for the south gate.", tools=TOOLS)
    with client.messages.stream(**question) as stream:
        told("messages stream tool", stream.get_final_message())


async def at_once():
    async with AsyncAnthropic(api_key=KEY) as client:

        async def streamed(question):
            async with client.messages.stream(**message(question)) as stream:
                return await stream.get_final_message()

        plain = client.messages.create(**message("Why is a weir low?"))
        answers = await asyncio.gather(plain, streamed("Why is a dam high?"))
    for call, answer in zip(["messages at once", "messages stream at once"], answers):
        told(call, answer)


with Anthropic(api_key=KEY) as client:
    one_by_one(client)
asyncio.run(at_once())
