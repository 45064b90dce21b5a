// How a driver is asked: a JSON document a line on standard input, its answer a line on standard output.
//
// An ask names what to `do`, and `url`, `key`, `model` and `retries` of the client to do it with.

import { createInterface } from "node:readline";

export const PROMPT = "What is the weather in Paris?";
export const MESSAGES = [{ role: "user", content: PROMPT }];
export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const write = process.stdout.write.bind(process.stdout);
console.log = console.error; // what a client prints is no answer

function classes(error) {
  const names = [];
  for (let kind = error; kind && kind !== Object.prototype; kind = Object.getPrototypeOf(kind)) {
    if (Object.hasOwn(kind, "constructor")) names.push(kind.constructor.name);
  }
  return names;
}

// What a user of the client can see of an error; `facts` is what this client has beyond that.
function raised(error, facts) {
  return { classes: classes(error), message: String(error?.message ?? error), ...facts(error) };
}

// Do what is asked until the input ends.
export async function answering(does, facts) {
  for await (const line of createInterface({ input: process.stdin })) {
    const ask = JSON.parse(line);
    let answer;
    try {
      answer = { said: await does[ask.do](ask) };
    } catch (error) {
      answer = { raised: raised(error, facts) };
    }
    write(JSON.stringify(answer) + "\n");
  }
}
