// The library openai as it is published, against gateway and rpc-worker with a small model. Prints `ok NAME` for each case.

import assert from "node:assert/strict";
import OpenAI from "openai";

const hello = [{ role: "user", content: "Once upon a time there was a small cat" }];
const place = {
  type: "object",
  properties: { city: { type: "string", maxLength: 12 } },
  required: ["city"],
  additionalProperties: false,
};
const tool = { type: "function", function: { name: "weather", parameters: place } };
const schema = { type: "json_schema", json_schema: { name: "place", strict: true, schema: place } };

const client = (which) => new OpenAI({ baseURL: process.env[`DUET_${which}`], apiKey: process.env.DUET_KEY });
const well = client("WELL");
const ask = (more = {}, who = well) =>
  who.chat.completions.create({ model: "e", messages: hello, max_tokens: 60, temperature: 0, seed: 7, ...more });

async function chunks(stream) {
  const all = [];
  for await (const chunk of stream) all.push(chunk);
  return all;
}

const text = (all) => all.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
const whole = async () => (await ask()).choices[0].message.content;

const cases = {
  async a_list() {
    const names = [];
    for await (const model of well.models.list()) names.push(model.id);
    assert.deepEqual(names, ["e"]);
  },
  async a_chat() {
    const answer = await ask({ max_tokens: 5, logprobs: true, top_logprobs: 2 });
    assert.equal(answer.usage.completion_tokens, 5);
    assert.equal(answer.choices[0].logprobs.content.length, 5);
  },
  async a_stream() {
    assert.equal(text(await chunks(await ask({ stream: true }))), await whole());
  },
  async a_tool() {
    const answer = await ask({ tools: [tool], tool_choice: "required", parallel_tool_calls: false, max_tokens: 150 });
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(call.function.name, "weather");
    assert.ok("city" in JSON.parse(call.function.arguments));
  },
  async a_choice_of_tools() {
    const how = { tools: [tool], parallel_tool_calls: false, max_tokens: 150 };
    const named = { type: "function", function: { name: "weather" } };
    const [call] = (await ask({ ...how, tool_choice: named })).choices[0].message.tool_calls;
    assert.ok("city" in JSON.parse(call.function.arguments));
    assert.equal((await ask({ ...how, tool_choice: "none" })).choices[0].message.tool_calls, undefined);
    // What it may do it does in a form that can be read.
    const free = (await ask({ ...how, tool_choice: "auto" })).choices[0].message;
    assert.ok(free.content || free.tool_calls);
    // The answer to a call is gone on with.
    const messages = [
      ...hello,
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: call.id, content: "It rains." },
    ];
    const answer = await ask({ messages, tools: [tool], tool_choice: "none", max_tokens: 5 });
    assert.equal(answer.usage.completion_tokens, 5);
  },
  async a_streamed_tool() {
    const how = { tools: [tool], tool_choice: "required", parallel_tool_calls: false, max_tokens: 150 };
    const [call] = (await ask(how)).choices[0].message.tool_calls;
    const all = await chunks(await ask({ ...how, stream: true }));
    const parts = all.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
    assert.equal(parts[0].function.name, "weather");
    assert.equal(parts.map((part) => part.function.arguments).join(""), call.function.arguments);
    assert.equal(all.at(-1).choices[0].finish_reason, "tool_calls");
  },
  async a_schema() {
    const answer = await ask({ response_format: schema, max_tokens: 150 });
    assert.ok("city" in JSON.parse(answer.choices[0].message.content));
    const free = (await ask({ response_format: { type: "json_object" }, max_tokens: 400 })).choices[0];
    assert.ok(free.message.content.trimStart().startsWith("{"));
    assert.ok(free.finish_reason === "length" || JSON.parse(free.message.content));
  },
  async a_stop() {
    const all = await whole();
    const stop = all.slice(10, 14);
    const [choice] = (await ask({ stop: [stop, "zebra"] })).choices;
    assert.equal(choice.message.content, all.slice(0, all.indexOf(stop)));
    assert.equal(choice.finish_reason, "stop");
  },
  async a_seed() {
    const say = async (seed) => (await ask({ seed, temperature: 1 })).choices[0].message.content;
    const [first, again, other] = [await say(3), await say(3), await say(4)];
    assert.equal(first, again);
    assert.notEqual(first, other);
  },
  async a_completion() {
    const how = { model: "e", prompt: "Once upon a time", max_tokens: 4, temperature: 0 };
    const answer = await well.completions.create({ ...how, logprobs: 2 });
    assert.equal(answer.usage.completion_tokens, 4);
    assert.equal(answer.choices[0].logprobs.tokens.length, 4);
    const all = await chunks(await well.completions.create({ ...how, stream: true }));
    assert.equal(all.map((chunk) => chunk.choices[0]?.text ?? "").join(""), answer.choices[0].text);
  },
  async an_embedding() {
    const vectors = client("VECTORS").embeddings;
    const input = ["A cat sits on the mat.", "Shares fell."];
    const plain = await vectors.create({ model: "v", input, encoding_format: "float" });
    // The library asks for base64 and reads it, where nobody says how.
    const packed = await vectors.create({ model: "v", input });
    plain.data.forEach((one, idx) => {
      assert.equal(one.embedding.length, 384);
      assert.ok(one.embedding.every((number, at) => Math.abs(number - packed.data[idx].embedding[at]) < 1e-6));
    });
    const text = await vectors.create({ model: "v", input: "x", encoding_format: "base64" });
    assert.equal(typeof text.data[0].embedding, "string");
  },
  async errors() {
    const fails = (work, told) => assert.rejects(work, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
      return told(error);
    });
    await assert.rejects(() => ask({ model: "nobody" }), (error) => error.code === "model_not_found");
    await fails(() => ask({ messages: [] }), (error) => error.param === "messages");
    const long = [{ role: "user", content: "cat ".repeat(20000) }];
    await fails(() => ask({ messages: long }), (error) => error.code === "context_length_exceeded");
  },
  async a_retry() {
    assert.equal((await ask({ max_tokens: 3 }, client("DEAD"))).usage.completion_tokens, 3);
  },
  async a_cancel() {
    const list = { type: "array", items: { type: "boolean" }, minItems: 2000, maxItems: 2000 };
    const long = { type: "json_schema", json_schema: { name: "list", schema: list } };
    const stream = await ask({ response_format: long, max_tokens: 10000, stream: true });
    let n = 0;
    for await (const _ of stream) if (++n === 5) break;
    stream.controller.abort();
  },
  async a_handover() {
    const all = await chunks(await ask({ stream: true }, client("BREAKS")));
    assert.equal(text(all), await whole());
    assert.equal(all.filter((chunk) => chunk.duet).length, 1);
    assert.equal(new Set(all.map((chunk) => chunk.id)).size, 1);
  },
};

const named = process.argv.slice(2);
for (const [name, work] of Object.entries(cases)) {
  if (named.length && !named.includes(name)) continue;
  await work();
  console.log("ok", name);
}
