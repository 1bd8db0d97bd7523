// The library openai as it is published, against the gateway. Prints `ok NAME` for each case.

import assert from "node:assert/strict";
import OpenAI from "openai";

const hello = [{ role: "user", content: "hello" }];
const tool = {
  type: "function",
  function: {
    name: "weather",
    description: "The weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  },
};
const schema = {
  type: "json_schema",
  json_schema: { name: "place", strict: true, schema: tool.function.parameters },
};

function client(which, more = {}) {
  return new OpenAI({ baseURL: process.env[`DUET_${which}`], apiKey: process.env.DUET_KEY, ...more });
}

const well = client("WELL");
const chat = (who, more = {}) => who.chat.completions.create({ model: "calm", messages: hello, ...more });

async function fails(kind, code, work) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.equal(error.code, code);
    return true;
  });
}

const cases = {
  async a_list() {
    const names = [];
    for await (const model of well.models.list()) names.push(model.id);
    assert.deepEqual(names, ["calm"]);
  },
  async a_chat() {
    const answer = await chat(well, { max_tokens: 3 });
    assert.equal(answer.choices[0].message.content, "word0 word1 word2 ");
    assert.ok(answer._request_id);
  },
  async a_stream() {
    let text = "";
    for await (const chunk of await chat(well, { stream: true })) text += chunk.choices[0].delta.content ?? "";
    assert.equal(text, "word0 word1 word2 word3 word4 ");
  },
  async a_tool() {
    const answer = await chat(well, { tools: [tool], tool_choice: "required" });
    assert.equal(answer.choices[0].message.tool_calls[0].function.arguments, '{"city":"Bonn"}');
  },
  async a_schema() {
    const answer = await chat(well, { response_format: schema });
    assert.equal(answer.choices[0].message.content, '{"city":"Bonn"}');
  },
  async a_completion() {
    const answer = await well.completions.create({ model: "calm", prompt: "hello", max_tokens: 2 });
    assert.equal(answer.choices[0].text, "word0 word1 ");
  },
  async an_embedding() {
    const vector = async (more) =>
      (await well.embeddings.create({ model: "calm", input: "hello", ...more })).data[0].embedding;
    assert.deepEqual([...(await vector({ encoding_format: "float" }))], [1, 2, 3]);
    assert.deepEqual([...(await vector({}))], [1, 2, 3]);
    // Who names base64 gets it as it is.
    assert.equal(await vector({ encoding_format: "base64" }), "AACAPwAAAEAAAEBA");
  },
  async errors() {
    await fails(OpenAI.AuthenticationError, "invalid_api_key", () => client("WELL", { apiKey: "duet-wrong" }).models.list());
    await fails(OpenAI.BadRequestError, null, () => chat(well, { messages: [] }));
    await fails(OpenAI.NotFoundError, "model_not_found", () => chat(client("ALONE")));
  },
  async limits() {
    const limited = client("LIMITED", { maxRetries: 0 });
    await chat(limited);
    await fails(OpenAI.RateLimitError, "rate_limit_exceeded", () => chat(limited));
  },
  async a_retry() {
    assert.equal((await chat(client("FULL_ONCE"))).choices[0].finish_reason, "stop");
  },
  async a_break() {
    const read = async () => {
      for await (const _ of await chat(client("BREAKS"), { stream: true }));
    };
    await assert.rejects(read, /lost/);
  },
  async a_cancel() {
    const stream = await chat(client("ENDLESS"), { stream: true });
    let n = 0;
    for await (const _ of stream) if (++n === 10) break;
    stream.controller.abort();
  },
};

for (const [name, work] of Object.entries(cases)) {
  await work();
  console.log("ok", name);
}
