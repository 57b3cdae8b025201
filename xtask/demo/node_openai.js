// OpenAI's Node SDK. Prints a line for each answer: client, API, mode, and the id of the answer.

import OpenAI from "openai";

const client = new OpenAI();

function chat(question) {
  return { model: "gpt-4.1-mini", messages: [{ role: "user", content: question }] };
}

function response(question) {
  return { model: "gpt-5.4-mini", input: question, reasoning: { effort: "low" } };
}

function told(api, mode, id, text) {
  if (!text) throw new Error(`the answer to ${api} ${mode} has no text`);
  console.log(["node openai", api, mode, id].join("\t"));
}

async function chatPlain() {
  const answer = await client.chat.completions.create(chat("How wide is a weir?"));
  told("chat", "plain", answer.id, answer.choices[0].message.content);
}

async function chatStream() {
  let id, usage;
  let text = "";
  // Unlike the Python client, this one asks for usage, and so must see it.
  const stream = await client.chat.completions.create({
    ...chat("How wide is a sluice?"),
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    id = chunk.id;
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  if (!usage) throw new Error("the stream was asked for usage and had none");
  told("chat", "stream", id, text);
}

async function responsesPlain() {
  const answer = await client.responses.create(response("How wide is a lock?"));
  told("responses", "plain", answer.id, answer.output_text);
}

async function responsesStream() {
  let id;
  let text = "";
  for await (const event of await client.responses.create({
    ...response("How wide is a dam?"),
    stream: true,
  })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed") id = event.response.id;
  }
  told("responses", "stream", id, text);
}

for (const call of [chatPlain, chatStream, responsesPlain, responsesStream]) await call();
