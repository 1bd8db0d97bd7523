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
  async a_schema() {
    const answer = await ask({ response_format: schema, max_tokens: 150 });
    assert.ok("city" in JSON.parse(answer.choices[0].message.content));
  },
  async a_completion() {
    const how = { model: "e", prompt: "Once upon a time", max_tokens: 4, temperature: 0 };
    assert.equal((await well.completions.create(how)).usage.completion_tokens, 4);
  },
  async errors() {
    const fails = (work, told) => assert.rejects(work, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
      return told(error);
    });
    await fails(() => ask({ messages: [] }), (error) => error.param === "messages");
    const long = [{ role: "user", content: "cat ".repeat(1000) }];
    await fails(() => ask({ messages: long }), (error) => error.code === "context_length_exceeded");
  },
  async a_handover() {
    const all = await chunks(await ask({ stream: true }, client("BREAKS")));
    assert.equal(text(all), await whole());
    assert.equal(all.filter((chunk) => chunk.duet).length, 1);
    assert.equal(new Set(all.map((chunk) => chunk.id)).size, 1);
  },
};

for (const [name, work] of Object.entries(cases)) {
  await work();
  console.log("ok", name);
}
