// What is shown, as the part of the address after #: it can be kept and sent on.

/** @returns {object} what the address asks for, as far as this run has it. */
export function readAddress(schema) {
  const said = new URLSearchParams(location.hash.slice(1));
  const contexts = ["a", "b"].map((side) => {
    const context = {};
    for (const { name, kind, values } of schema.context) {
      const value = said.get(`${side}.${name}`);
      if (!value) continue;
      if (kind === "categorical" && values?.some((one) => one.value === value)) context[name] = value;
      if (["cyclic", "numeric"].includes(kind) && Number.isFinite(Number(value))) context[name] = Number(value);
    }
    return context;
  });
  return {
    listener: said.has("new") ? null : said.get("user") ?? undefined,
    contexts: ["a.", "b."].some((side) => [...said.keys()].some((name) => name.startsWith(side))) ? contexts : null,
    mode: schema.modes.includes(said.get("mode")) ? said.get("mode") : schema.default_mode,
    k: Math.min(Math.max(Number.parseInt(said.get("k") ?? "10", 10) || 10, 1), 50, schema.limits.k),
  };
}

export function writeAddress({ user, contexts, mode, k }) {
  const said = new URLSearchParams(user === null ? { new: "1" } : { user });
  said.set("mode", mode);
  said.set("k", k);
  contexts.forEach((context, side) => {
    for (const [name, value] of Object.entries(context)) said.set(`${"ab"[side]}.${name}`, value);
  });
  history.replaceState(null, "", `#${said}`);
}
