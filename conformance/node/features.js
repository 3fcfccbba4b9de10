// Runs features one after the other and says how each went.
export async function run(features) {
  for (const [name, fn] of Object.entries(features)) {
    let timer;
    try {
      const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("took more than 20 s")), 20_000); });
      await Promise.race([fn(), late]);
      console.log("ok", name);
    } catch (err) {
      console.log("FAIL", name, String(err?.message ?? err).replace(/\s+/g, " "));
    } finally {
      clearTimeout(timer);
    }
  }
  process.exit(0);
}

export function equal(got, want) {
  const g = JSON.stringify(got), w = JSON.stringify(want);
  if (g !== w) throw new Error(`got ${g}, want ${w}`);
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// again repeats fn while it fails, for at most 5 s.
export async function again(fn) {
  for (const end = Date.now() + 5000; ; await sleep(50)) {
    try {
      return await fn();
    } catch (err) {
      if (Date.now() > end) throw err;
    }
  }
}
