// One call by fetch, as Node, Deno and Bun have it. Usage: fetch.mjs [ROOTS]. Prints the call's
// total of tokens.
import { readFileSync } from "node:fs";
import process from "node:process";

const roots = process.argv[2] && readFileSync(process.argv[2], "utf8");
const options = {};
if (roots && globalThis.Deno) {
  options.client = globalThis.Deno.createHttpClient({ caCerts: [roots] });
} else if (roots && globalThis.Bun) {
  options.tls = { ca: roots };
} else if (roots) {
  const { Agent } = await import("undici");
  options.dispatcher = new Agent({ connect: { ca: roots } });
}
const fetched = roots && !globalThis.Deno && !globalThis.Bun ? (await import("undici")).fetch : fetch;
const answer = await fetched("https://api.openai.com/v1/chat/completions", {
  method: "POST",
  headers: { Authorization: "Bearer test-0123456789", "Content-Type": "application/json" },
  body: JSON.stringify({
    model: "gpt-4.1-mini",
    messages: [{ role: "user", content: "What holds a river back?" }],
  }),
  ...options,
});
console.log((await answer.json()).usage.total_tokens);
process.exit(0);
