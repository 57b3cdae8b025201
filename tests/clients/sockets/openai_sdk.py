"""OpenAI's SDK over WebSockets: responses and realtime, one after the other and side by side.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import asyncio
import json

from openai import AsyncOpenAI, OpenAI

KEY = "test-0123456789"
LEVEL = {"type": "object", "properties": {"gate": {"type": "string"}}}
TOOLS = [{"type": "function", "name": "read_level", "parameters": LEVEL}]


def told(call, response, answer):
    usage = response.usage
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    print(json.dumps({"call": call, "id": response.id, "answer": answer, **counts}), flush=True)


def question(text, **more):
    return {"model": "gpt-5.4-mini", "input": text, "reasoning": {"effort": "low"}, **more}


class Heard:
    """What an application gathers from the events of a response."""

    def __init__(self):
        self.response, self.text = None, ""

    def add(self, event):
        """Whether the response is over."""
        assert event.type != "error", event
        if event.type == "response.output_text.delta":
            self.text += event.delta
        if event.type == "response.completed":
            self.response = event.response
        return self.response is not None


def one_after_the_other():
    with OpenAI(api_key=KEY) as client, client.responses.connect() as connection:
        connection.response.create(**question("How wide is a weir?"))
        heard = Heard()
        while not heard.add(connection.recv()):
            pass
        told("response", heard.response, heard.text)

        connection.response.create(**question("Call read_level for the north gate.", tools=TOOLS))
        heard = Heard()
        while not heard.add(connection.recv()):
            pass
        [call] = [item for item in heard.response.output if item.type == "function_call"]
        told("response tool", heard.response, call.arguments)


async def side_by_side():
    async def ask(client, text):
        async with client.responses.connect() as connection:
            await connection.response.create(**question(text))
            heard = Heard()
            async for event in connection:
                if heard.add(event):
                    return heard

    async with AsyncOpenAI(api_key=KEY) as client:
        texts = ["Why is a lock slow?", "Why is a dam high?"]
        for heard in await asyncio.gather(*[ask(client, text) for text in texts]):
            told("response at once", heard.response, heard.text)


async def realtime():
    async with (
        AsyncOpenAI(api_key=KEY) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        for text in ["How wide is a weir?", "And how high?"]:
            content = [{"type": "input_text", "text": text}]
            item = {"type": "message", "role": "user", "content": content}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            answer = ""
            async for event in connection:
                if event.type == "response.output_text.delta":
                    answer += event.delta
                if event.type == "response.done":
                    told("realtime", event.response, answer)
                    break


one_after_the_other()
asyncio.run(side_by_side())
asyncio.run(realtime())
