// openai-node.

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { answering, CITY, MESSAGES, PROMPT } from "./speaking.mjs";

const Person = z.object({ name: z.string(), age: z.number().int() });
const WEATHER = {
  type: "function",
  function: { name: "get_weather", description: "The weather in a city", parameters: CITY },
};

const made = new Map();

// One for all that is asked alike, whatever became of the calls before.
function client(ask) {
  const alike = JSON.stringify([ask.url, ask.key, ask.retries]);
  if (!made.has(alike)) {
    made.set(alike, new OpenAI({ baseURL: ask.url, apiKey: ask.key, maxRetries: ask.retries }));
  }
  return made.get(alike);
}

const chat = (ask, more = {}) => ({ model: ask.model, messages: MESSAGES, ...ask.fields, ...more });

async function all(chunks) {
  const seen = [];
  for await (const chunk of chunks) seen.push(chunk);
  return seen;
}

async function plain(ask) {
  return await client(ask).chat.completions.create(chat(ask));
}

async function raw(ask) {
  const { data, response } = await client(ask).chat.completions.create(chat(ask)).withResponse();
  return { headers: Object.fromEntries(response.headers), parsed: data, request_id: data._request_id };
}

async function stream(ask) {
  return await all(await client(ask).chat.completions.create(chat(ask, { stream: true })));
}

async function usage_on(ask) {
  const asked = chat(ask, { stream: true, stream_options: { include_usage: true } });
  return await all(await client(ask).chat.completions.create(asked));
}

async function tools(ask) {
  return await client(ask).chat.completions.create(chat(ask, { tools: [WEATHER] }));
}

async function tools_streamed(ask) {
  return await client(ask).chat.completions.stream(chat(ask, { tools: [WEATHER] })).finalChatCompletion();
}

// The loop that calls a tool and goes on with what it gave; the second answer is text.
async function run_tools(ask) {
  const asked = [];
  const weather = (args) => {
    asked.push(args);
    return "sunny";
  };
  const tool = { type: "function", function: { ...WEATHER.function, function: weather, parse: JSON.parse } };
  const runner = client(ask).chat.completions.runTools(chat(ask, { stream: ask.stream, tools: [tool] }));
  return { final: await runner.finalContent(), asked };
}

async function structured(ask) {
  const format = zodResponseFormat(Person, "person");
  const completion = await client(ask).chat.completions.parse(chat(ask, { response_format: format }));
  return { parsed: completion.choices[0].message.parsed, whole: completion };
}

async function structured_streamed(ask) {
  const format = zodResponseFormat(Person, "person");
  const completion = await client(ask).chat.completions.stream(chat(ask, { response_format: format }))
    .finalChatCompletion();
  return { parsed: completion.choices[0].message.parsed };
}

async function cancel(ask) {
  const stock = client(ask);
  const chunks = await stock.chat.completions.create(chat(ask, { stream: true }));
  const seen = [];
  for await (const chunk of chunks) {
    seen.push(chunk);
    if (seen.length === 3) chunks.controller.abort();
  }
  return { seen: seen.slice(0, 3), again: await stock.chat.completions.create(chat(ask)) };
}

async function models(ask) {
  const listed = (await all(client(ask).models.list())).map((model) => model.id);
  return { listed, one: (await client(ask).models.retrieve(ask.model)).id };
}

// Two bodies under one key.
async function keyed(ask) {
  const stock = client(ask);
  for (const temperature of [0.1, 0.2]) {
    await stock.chat.completions.create(chat(ask, { temperature }), {
      headers: { "Idempotency-Key": ask.idempotency_key },
    });
  }
}

const asked = (ask, more = {}) => ({ model: ask.model, input: PROMPT, ...ask.fields, ...more });
const FLAT_WEATHER = { type: "function", ...WEATHER.function, strict: true };

async function text(ask) {
  return await client(ask).completions.create({ model: ask.model, prompt: PROMPT });
}

async function text_streamed(ask) {
  const options = ask.usage ? { stream_options: { include_usage: true } } : {};
  return await all(await client(ask).completions.create({ model: ask.model, prompt: PROMPT, stream: true, ...options }));
}

async function embed(ask) {
  return await client(ask).embeddings.create({ model: ask.model, input: [PROMPT, "Rome"] });
}

async function respond(ask) {
  const answer = await client(ask).responses.create(asked(ask));
  return { text: answer.output_text, whole: answer };
}

async function respond_streamed(ask) {
  return await all(await client(ask).responses.create(asked(ask, { stream: true })));
}

async function respond_tools(ask) {
  return await client(ask).responses.create(asked(ask, { tools: [FLAT_WEATHER] }));
}

async function respond_tools_streamed(ask) {
  return await client(ask).responses.stream(asked(ask, { tools: [FLAT_WEATHER] })).finalResponse();
}

async function respond_structured(ask) {
  const format = { format: zodTextFormat(Person, "person") };
  return { parsed: (await client(ask).responses.parse(asked(ask, { text: format }))).output_parsed };
}

async function respond_structured_streamed(ask) {
  const format = { format: zodTextFormat(Person, "person") };
  const final = await client(ask).responses.stream(asked(ask, { text: format })).finalResponse();
  return { parsed: final.output_parsed };
}

async function respond_cancelled(ask) {
  const events = await client(ask).responses.create(asked(ask, { stream: true }));
  const seen = [];
  for await (const event of events) {
    seen.push(event);
    if (seen.length === 6) events.controller.abort();
  }
  return { seen: seen.slice(0, 6), again: await respond(ask) };
}

await answering(
  {
    plain, raw, stream, usage_off: stream, usage_on, tools, tools_streamed, run_tools, structured, structured_streamed,
    cancel, models, keyed, text, text_streamed, embed, respond, respond_streamed, respond_tools, respond_tools_streamed,
    respond_structured, respond_structured_streamed, respond_cancelled,
  },
  (error) => ({
    status: error.status ?? null,
    body: error.error ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    param: error.param ?? null,
    request_id: error.requestID ?? null,
    headers: error.headers ? Object.fromEntries(error.headers) : null,
  }),
);
