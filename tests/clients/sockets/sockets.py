"""What applications do over WebSockets, with the clients that they use.

Usage: sockets.py CASE. Prints what was heard, a line each.
"""

import asyncio
import json
import sys

[CASE] = sys.argv[1:]
KEY = "test-0123456789"
RESPONSES = "wss://api.openai.com/v1/responses"
QUESTION = "What holds a river back?"


def heard(message):
    print(message if isinstance(message, str) else message.decode(), flush=True)


async def responses(compression, cut=False):
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed

    headers = {"Authorization": f"Bearer {KEY}"}
    if cut:
        headers["x-emulator-fault"] = "reset-mid-stream"
    options = {"additional_headers": headers, "compression": compression}
    async with connect(RESPONSES, max_size=None, **options) as client:
        for turn in range(3):
            request = {"model": "gpt-5.4-mini", "input": f"{QUESTION} {turn}"}
            await client.send(json.dumps({"type": "response.create", **request}))
            try:
                while True:
                    message = await client.recv()
                    heard(message)
                    if json.loads(message)["type"] == "response.completed":
                        break
            except ConnectionClosed:
                return


async def realtime():
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=KEY)
    async with client.realtime.connect(model="gpt-realtime") as connection:
        for turn in range(2):
            content = [{"type": "input_text", "text": f"{QUESTION} {turn}"}]
            item = {"type": "message", "role": "user", "content": content}
            await connection.conversation.item.create(item=item)
            await connection.response.create()
            async for event in connection:
                heard(event.to_json(indent=None))
                if event.type == "response.done":
                    break


async def gemini():
    from google import genai

    client = genai.Client(api_key=KEY)
    config = {"response_modalities": ["TEXT"]}
    async with client.aio.live.connect(model="gemini-2.5-flash", config=config) as session:
        for turn in range(2):
            content = {"role": "user", "parts": [{"text": f"{QUESTION} {turn}"}]}
            await session.send_client_content(turns=content, turn_complete=True)
            async for message in session.receive():
                heard(message.model_dump_json(exclude_none=True))


CASES = {
    "responses": lambda: responses(None),
    "responses-deflated": lambda: responses("deflate"),
    "responses-cut": lambda: responses("deflate", cut=True),
    "realtime": realtime,
    "gemini": gemini,
}
asyncio.run(CASES[CASE]())
