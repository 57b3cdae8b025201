"""Google's SDK with Gemini: text, thoughts, functions, embeddings and counts.

Prints a JSON object for each call: what was called, and what the SDK says of the answer.
"""

import asyncio
import json

from google import genai
from google.genai import types

KEY = "test-0123456789"
MODEL = "gemini-2.5-flash"
LEVEL = types.Schema(type="OBJECT", properties={"gate": types.Schema(type="STRING")})
READ_LEVEL = types.FunctionDeclaration(name="read_level", parameters=LEVEL)
TOOLS = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[READ_LEVEL])])
THOUGHTS = types.GenerateContentConfig(
    thinking_config=types.ThinkingConfig(include_thoughts=True)
)


def tell(call, answer, answer_id=None, input_tokens=None, output_tokens=None):
    said = {"call": call, "id": answer_id, "answer": answer}
    said |= {"input_tokens": input_tokens, "output_tokens": output_tokens}
    print(json.dumps(said), flush=True)


class Answer:
    """What an application gathers from an answer, or from the parts of one."""

    def __init__(self):
        self.id = self.usage = None
        self.parts = []

    def add(self, response):
        self.id = response.response_id or self.id
        self.usage = response.usage_metadata or self.usage
        for part in response.parts or []:
            self.parts.append(part.model_dump(mode="json", exclude_none=True))
        return self

    def tell(self, call):
        usage = self.usage
        asked = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
        generated = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        tell(call, self.parts, self.id, asked, generated)


def generate(models):
    answer = models.generate_content(model=MODEL, contents="What is a weir?")
    Answer().add(answer).tell("generate")

    answer = Answer()
    for part in models.generate_content_stream(model=MODEL, contents="What is a sluice?"):
        answer.add(part)
    answer.tell("generate stream")

    asked = {"model": MODEL, "config": THOUGHTS}
    answer = models.generate_content(contents="What is a lock?", **asked)
    Answer().add(answer).tell("generate thoughts")

    answer = Answer()
    for part in models.generate_content_stream(contents="What is a dam?", **asked):
        answer.add(part)
    answer.tell("generate stream thoughts")


def functions(models):
    asked = {"model": MODEL, "config": TOOLS}
    question = "Call read_level for the north gate."
    answer = models.generate_content(contents=question, **asked)
    [call] = answer.function_calls
    Answer().add(answer).tell("generate function")

    result = types.Part.from_function_response(name=call.name, response={"level": "2.4 m"})
    said = types.Content(role="user", parts=[types.Part.from_text(text=question)])
    heard = types.Content(role="user", parts=[result])
    contents = [said, answer.candidates[0].content, heard]
    answer = models.generate_content(contents=contents, **asked)
    Answer().add(answer).tell("generate function's result")

    answer = Answer()
    question = "Call read_level for the south gate."
    for part in models.generate_content_stream(contents=question, **asked):
        answer.add(part)
    answer.tell("generate stream function")


def counts(models):
    answer = models.embed_content(model="gemini-embedding-001", contents=["weir", "sluice"])
    tokens = answer.usage_metadata.prompt_token_count
    tell("embed", [row.values for row in answer.embeddings], input_tokens=tokens)

    answer = models.count_tokens(model=MODEL, contents="How wide is a weir?")
    tell("count tokens", answer.total_tokens, input_tokens=answer.total_tokens)


async def at_once(client):
    models = client.aio.models

    async def streamed(question):
        answer = Answer()
        stream = await models.generate_content_stream(model=MODEL, contents=question)
        async for part in stream:
            answer.add(part)
        return answer

    plain = models.generate_content(model=MODEL, contents="Why is a weir low?")
    answer, stream = await asyncio.gather(plain, streamed("Why is a dam high?"))
    Answer().add(answer).tell("generate at once")
    stream.tell("generate stream at once")


client = genai.Client(api_key=KEY)
generate(client.models)
functions(client.models)
counts(client.models)
asyncio.run(at_once(client))
