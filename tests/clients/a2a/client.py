"""Calls of an agent of the Agent2Agent protocol.

Usage: client.py BINDING: `jsonrpc`, `rest`, or `legacy` for the version before the
first. Prints what was called, a line of JSON each: the method, whether its answer was
a stream, the task, its last state and how the call came out. Then prints what was got,
which is the same every time.
"""

import asyncio
import json
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.helpers import get_stream_response_text
from a2a.types import CancelTaskRequest, GetTaskRequest, ListTasksRequest, Message
from a2a.types import Part, Role, SendMessageRequest, SubscribeToTaskRequest, TaskState

[BINDING] = sys.argv[1:]
HOST = "https://agent.example.org"

got = []


def called(method, stream=False, task=None, state=None, outcome="ok"):
    call = {"method": method, "stream": stream, "task": task, "state": state}
    print("called " + json.dumps({**call, "outcome": outcome}), flush=True)


def name(state):
    return TaskState.Name(state) if state else None


def message(words, task=None):
    return SendMessageRequest(
        message=Message(
            message_id=str(uuid.uuid4()),
            role=Role.ROLE_USER,
            parts=[Part(text=words)],
            **({"task_id": task.id, "context_id": task.context_id} if task else {}),
        )
    )


class Events:
    """What an application gathers from the events of a task."""

    def __init__(self):
        self.task = self.id = self.state = None
        self.texts = []

    def add(self, event):
        kind = event.WhichOneof("payload")
        if kind == "task":
            self.task, self.id, self.state = event.task, event.task.id, event.task.status.state
        elif kind == "status_update":
            self.id, self.state = event.status_update.task_id, event.status_update.status.state
        text = get_stream_response_text(event)
        if text:
            self.texts.append(text)

    def tell(self, method, stream):
        called(method, stream, self.id, name(self.state))
        got.append([method, name(self.state), self.texts])


async def send(client, words, stream, task=None):
    events = Events()
    async for event in client.send_message(message(words, task)):
        events.add(event)
    events.tell("SendStreamingMessage" if stream else "SendMessage", stream)
    return events


async def until(state, answers):
    """The events of a task until it is in a state; then the application has had enough."""
    events = Events()
    async for event in answers:
        events.add(event)
        if events.state == state:
            return events


async def tasks(client, task):
    answer = await client.get_task(GetTaskRequest(id=task.id))
    called("GetTask", task=answer.id, state=name(answer.status.state))
    got.append(["GetTask", name(answer.status.state), [part.text for artifact in answer.artifacts for part in artifact.parts]])
    try:
        await client.get_task(GetTaskRequest(id="nobody's"))
    except Exception as error:
        called("GetTask", outcome="error")
        got.append(["GetTask", type(error).__name__])


async def cancelled(client):
    sent = client.send_message(message("wait"))
    events = await until(TaskState.TASK_STATE_WORKING, sent)
    followed = client.subscribe(SubscribeToTaskRequest(id=events.id))
    await anext(followed)
    answer = await client.cancel_task(CancelTaskRequest(id=events.id))
    called("CancelTask", task=answer.id, state=name(answer.status.state))
    for method, rest in [("SendStreamingMessage", sent), ("SubscribeToTask", followed)]:
        ended = await until(TaskState.TASK_STATE_CANCELED, rest)
        called(method, True, ended.id, name(ended.state))
        await rest.aclose()


async def main():
    async with httpx.AsyncClient() as http:
        of = "jsonrpc" if BINDING == "legacy" else BINDING
        card = await A2ACardResolver(http, f"{HOST}/{of}").get_agent_card()
        if BINDING == "legacy":
            # A card of that version has no interfaces to choose from.
            [interface] = card.supported_interfaces
            interface.url, interface.protocol_version = f"{HOST}/legacy", "0.3"
        called("card")
        got.append(["card", card.name, [skill.id for skill in card.skills]])
    bindings = ["JSONRPC", "HTTP+JSON"]
    for stream in (False, True):
        config = ClientConfig(streaming=stream, supported_protocol_bindings=bindings)
        async with ClientFactory(config).create(card) as client:
            await send(client, "greet", stream)
            events = await send(client, "measure", stream)
            await send(client, "drain", stream)
            asked = await send(client, "ask", stream)
            await send(client, "measure", stream, asked.task)
            if not stream:
                await tasks(client, events.task)
            else:
                await cancelled(client)
    for line in got:
        print(json.dumps(line), flush=True)


asyncio.run(main())
