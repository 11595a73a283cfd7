// Calls of the service. The key is kept here, in memory, and nowhere else.

const RETRIES = 3;
let key = "";

export const setKey = (given) => { key = given.trim(); };
export const hasKey = () => key !== "";

/** The service answered, and not with what was asked for. */
export class Refused extends Error {
  constructor(status, told) {
    super(told.what);
    this.status = status;
    this.told = told;
  }
}

/** There was no answer. */
export class Unreachable extends Error {}

/** JSON in which whole numbers that a double can't hold stay as they are written, as text. */
function parse(text) {
  return JSON.parse(text, (_, value, context) => {
    const rounded = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
    return rounded && /^-?\d+$/.test(context?.source ?? "") ? context.source : value;
  });
}

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function fetched(path, options) {
  try {
    return await fetch(path, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("The service can't be reached.");
  }
}

/**
 * Ask for JSON. A service that is too busy is asked again, a few times and as late as it says.
 *
 * @param {string} path relative to the page.
 * @param {{body?: object, signal?: AbortSignal, onWait?: (seconds: number) => void}} more
 * @returns {Promise<{data: any, ms: number}>} and how long the answer took, there and back.
 */
export async function ask(path, { body, signal, onWait } = {}) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) };
  for (let tried = 0; ; tried++) {
    const started = performance.now();
    const response = await fetched(path, options);
    const text = await response.text();
    const ms = performance.now() - started;
    if (response.ok) return { data: parse(text), ms };
    if (response.status === 503 && tried < RETRIES) {
      const seconds = Math.min(Number(response.headers.get("Retry-After")) || 1, 10);
      onWait?.(seconds);
      await sleep(1000 * seconds);
      continue;
    }
    throw new Refused(response.status, refusal(text, response));
  }
}

function refusal(text, response) {
  try {
    const { error } = JSON.parse(text);
    if (error.what) return error;
  } catch {
    // not the service itself, but something between
  }
  return { what: `The answer was ${response.status} ${response.statusText}.` };
}

/** A file that needs the key, as something a link can lead to. */
export async function keyedFile(path) {
  const response = await fetched(path, { headers: { Authorization: `Bearer ${key}` } });
  if (!response.ok) throw new Refused(response.status, refusal(await response.text(), response));
  return URL.createObjectURL(await response.blob());
}
