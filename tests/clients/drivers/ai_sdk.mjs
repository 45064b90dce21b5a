// The AI SDK, with its provider for endpoints that speak as OpenAI does, and with its provider for OpenAI itself.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { answering, CITY, PROMPT } from "./speaking.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const own = process.argv[2] === "openai";
const Person = z.object({ name: z.string(), age: z.number().int() });

function provider(ask, more = {}) {
  const settings = { name: "arbstr", baseURL: ask.url, apiKey: ask.key, ...more };
  return own ? createOpenAI(settings) : createOpenAICompatible({ ...settings, supportsStructuredOutputs: true });
}

function model(ask, includeUsage = false) {
  const made = provider(ask, { includeUsage });
  if (ask.endpoint === "completions") return own ? made.completion(ask.model) : made.completionModel(ask.model);
  if (ask.endpoint === "responses") return made.responses(ask.model);
  return own ? made.chat(ask.model) : made(ask.model);
}

const asked = (ask, more = {}, usage = false) => ({
  model: model(ask, usage),
  prompt: PROMPT,
  maxRetries: ask.retries,
  maxOutputTokens: ask.fields?.max_tokens,
  onError: () => {},
  ...more,
});

// A tool without `execute` is called by the program itself.
const declared = { get_weather: tool({ description: "The weather in a city", inputSchema: jsonSchema(CITY) }) };

function usage({ inputTokens, outputTokens, cachedInputTokens, reasoningTokens }) {
  return { inputTokens, outputTokens, cachedInputTokens, reasoningTokens };
}

const calls = (made) => made.map(({ toolCallId, toolName, input }) => ({ toolCallId, toolName, input }));

async function whole(result) {
  return {
    text: await result.text,
    reasoning: (await result.reasoningText) ?? null,
    finish: await result.finishReason,
    usage: usage(await result.usage),
    calls: calls(await result.toolCalls),
  };
}

async function plain(ask) {
  const result = await generateText(asked(ask));
  return { ...(await whole(result)), body: result.response.body };
}

async function raw(ask) {
  const result = await generateText(asked(ask));
  return { headers: result.response.headers, parsed: result.response.body };
}

// Every part, and the first error among them as an error.
async function parts(result) {
  const seen = [];
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    if (["text-delta", "reasoning-delta", "tool-input-delta"].includes(part.type)) {
      seen.push([part.type, part.text ?? part.delta]);
    } else {
      seen.push([part.type]);
    }
  }
  return seen;
}

async function streamed(ask, more, withUsage) {
  const result = streamText(asked(ask, more, withUsage));
  return { parts: await parts(result), ...(await whole(result)) };
}

async function tools(ask) {
  return await whole(await generateText(asked(ask, { tools: declared })));
}

async function run_tools(ask) {
  const given = [];
  const weather = {
    ...declared.get_weather,
    execute: async (input) => {
      given.push(input);
      return "sunny";
    },
  };
  const more = { tools: { get_weather: weather }, stopWhen: stepCountIs(3) };
  const result = ask.stream ? streamText(asked(ask, more)) : await generateText(asked(ask, more));
  return { final: await result.text, asked: given };
}

async function structured(ask) {
  const { output } = await generateText(asked(ask, { output: Output.object({ schema: Person }) }));
  return { parsed: output };
}

async function structured_streamed(ask) {
  const result = streamText(asked(ask, { output: Output.object({ schema: Person }) }));
  await parts(result);
  return { parsed: await result.output };
}

async function cancel(ask) {
  const stop = new AbortController();
  const seen = [];
  const result = streamText(asked(ask, { abortSignal: stop.signal }));
  for await (const text of result.textStream) {
    seen.push(text);
    if (seen.length === 3) stop.abort();
  }
  return { seen: seen.slice(0, 3), again: await plain(ask) };
}

async function embed(ask) {
  const made = own ? provider(ask).embedding(ask.model) : provider(ask).embeddingModel(ask.model);
  const { embeddings, usage } = await embedMany({ model: made, values: [PROMPT, "Rome"], maxRetries: ask.retries });
  return { embeddings, usage };
}

// What is done over chat, over another endpoint.
const at = (endpoint, work) => (ask) => work({ ...ask, endpoint });

await answering(
  {
    plain,
    raw,
    stream: (ask) => streamed(ask),
    usage_off: (ask) => streamed(ask),
    usage_on: (ask) => streamed(ask, {}, true),
    tools,
    tools_streamed: (ask) => streamed(ask, { tools: declared }),
    run_tools,
    structured,
    structured_streamed,
    cancel,
    embed,
    text: at("completions", plain),
    text_streamed: at("completions", (ask) => streamed(ask, {}, ask.usage)),
    respond: at("responses", plain),
    respond_streamed: at("responses", (ask) => streamed(ask)),
    respond_tools: at("responses", tools),
    respond_tools_streamed: at("responses", (ask) => streamed(ask, { tools: declared })),
    respond_structured: at("responses", structured),
    respond_structured_streamed: at("responses", structured_streamed),
    respond_cancelled: at("responses", cancel),
  },
  // What it gives up with after retries holds the error that it met last.
  (error) => {
    const met = error?.lastError ?? error;
    let body = null;
    try {
      body = JSON.parse(met.responseBody).error;
    } catch {
      body = met?.data?.error ?? null;
    }
    return {
      status: met?.statusCode ?? null,
      body,
      code: body?.code ?? null,
      type: body?.type ?? null,
      param: body?.param ?? null,
      request_id: met?.responseHeaders?.["x-request-id"] ?? null,
      headers: met?.responseHeaders ?? null,
    };
  },
);
