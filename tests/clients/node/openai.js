// OpenAI's Node SDK: chats, responses and embeddings.
//
// Prints a JSON object for each call: what was called, and what the SDK says of the answer.

import OpenAI from "openai";

const client = new OpenAI({ apiKey: "test-0123456789" });
const level = { type: "object", properties: { gate: { type: "string" } } };
const chatTools = [{ type: "function", function: { name: "read_level", parameters: level } }];
const responseTools = [{ type: "function", name: "read_level", parameters: level, strict: false }];

function chat(question, more) {
  return { model: "gpt-4.1-mini", messages: [{ role: "user", content: question }], ...more };
}

function response(question, more) {
  return { model: "gpt-5.4-mini", input: question, reasoning: { effort: "low" }, ...more };
}

function tell(call, id, usage, answer) {
  const input_tokens = usage?.prompt_tokens ?? usage?.input_tokens;
  const output_tokens = usage?.completion_tokens ?? usage?.output_tokens;
  console.log(JSON.stringify({ call, id, answer, input_tokens, output_tokens }));
}

async function chatStream(call, asked) {
  let id, usage;
  const answer = [];
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    id = chunk.id;
    usage = chunk.usage ?? usage;
    answer.push(...chunk.choices.map((choice) => choice.delta));
  }
  if (usage && !asked.stream_options) throw new Error("usage that was not asked for");
  tell(call, id, usage, answer);
}

async function chats() {
  let answer = await client.chat.completions.create(chat("What is a weir?"));
  tell("chat", answer.id, answer.usage, answer.choices[0].message.content);
  await chatStream("chat stream", chat("What is a sluice?"));
  const options = { stream_options: { include_usage: true } };
  await chatStream("chat stream with usage", chat("What is a lock?", options));

  const question = chat("Call read_level for the north gate.", { tools: chatTools });
  answer = await client.chat.completions.create(question);
  const message = answer.choices[0].message;
  tell("chat tool", answer.id, answer.usage, message.tool_calls);
  const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "2.4 m" };
  question.messages.push(message, result);
  answer = await client.chat.completions.create(question);
  tell("chat tool's result", answer.id, answer.usage, answer.choices[0].message.content);
  const south = chat("Call read_level for the south gate.", { tools: chatTools });
  await chatStream("chat stream tool", south);
}

async function responses() {
  let answer = await client.responses.create(response("How wide is a weir?"));
  tell("responses", answer.id, answer.usage, answer.output_text);
  answer = await client.responses.stream(response("How wide is a sluice?")).finalResponse();
  tell("responses stream", answer.id, answer.usage, answer.output_text);
  const question = response("Call read_level for the north gate.", { tools: responseTools });
  answer = await client.responses.create(question);
  const call = answer.output.filter((item) => item.type === "function_call");
  tell("responses tool", answer.id, answer.usage, call);
}

async function embeddings() {
  const input = ["weir", "sluice"];
  const answer = await client.embeddings.create({ model: "text-embedding-3-small", input });
  const vectors = answer.data.map((row) => row.embedding);
  tell("embeddings", undefined, answer.usage, vectors);
}

await chats();
await responses();
await embeddings();
