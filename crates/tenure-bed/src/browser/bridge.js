// Drives a real browser for a test: reads a command a line, does it, answers with a line.
//
// Input: {"do": NAME, …} as JSON. Output: {"ok": VALUE} or {"error": TEXT}, in the same order.
// Arguments: the browser's program, the folder of node's modules, the patience in milliseconds.
// What a page should never do is kept until somebody asks for `complaints`: a dialog, an error of a
// script, a refusal by the content security policy, a request to anywhere else.
'use strict';

const [executablePath, modules, patience] = process.argv.slice(2);
const { createRequire } = require('node:module');
const from = createRequire(`${modules}/`);
const { chromium } = from('playwright-core');

const state = { browser: null, context: null, page: null, complaints: [], bytes: {}, origin: '' };

const complain = (what) => {
  if (state.complaints.length < 100) state.complaints.push(what);
};

// A document that is being left, or an image that was replaced, ends its requests: no fault.
const isHarmless = (text) => /net::ERR_(ABORTED|NETWORK_CHANGED)/.test(text);

const commands = {
  // A fresh profile with one page. `origin` is the only place that may be asked for anything.
  async open({ origin, width, height, dark, script, calm, scale }) {
    if (state.context) await state.context.close();
    Object.assign(state, { complaints: [], bytes: {}, origin });
    state.context = await state.browser.newContext({
      viewport: { width, height },
      colorScheme: dark ? 'dark' : 'light',
      javaScriptEnabled: script,
      reducedMotion: calm ? 'reduce' : 'no-preference',
      deviceScaleFactor: scale,
      locale: 'en-GB',
      timezoneId: 'UTC',
    });
    state.context.setDefaultTimeout(Number(patience));
    const page = await state.context.newPage();
    state.page = page;
    await page.addInitScript(() => {
      globalThis.refusedByPolicy = [];
      addEventListener('securitypolicyviolation', (event) => {
        globalThis.refusedByPolicy.push(`${event.effectiveDirective} ${event.blockedURI}`);
        console.error(`policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    page.on('dialog', (dialog) => {
      complain(`dialog: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
    page.on('pageerror', (error) => complain(`error of a script: ${error.message}`));
    page.on('console', (message) => {
      // An answer that says no, or a server that is gone, is for the test to judge.
      const text = message.text();
      if (message.type() === 'error' && !/Failed to load resource|net::ERR_/.test(text)) {
        complain(`console: ${text}`);
      }
    });
    page.on('request', (request) => {
      const url = request.url();
      const isOurs = state.origin && (url === state.origin || url.startsWith(`${state.origin}/`));
      if (!isOurs && !url.startsWith('about:')) complain(`request: ${url}`);
    });
    page.on('response', (response) => {
      state.bytes[response.url()] = response;
    });
  },
  async goto({ url }) {
    const response = await state.page.goto(url, { waitUntil: 'load' });
    return response ? response.status() : 0;
  },
  click: ({ on }) => state.page.locator(on).first().click(),
  fill: ({ on, text }) => state.page.locator(on).first().fill(text),
  select: ({ on, text }) => state.page.locator(on).first().selectOption(text),
  press: ({ key }) => state.page.keyboard.press(key),
  eval: ({ code }) => state.page.evaluate(code),
  // True as soon as the expression is. What fails meanwhile, as while one page replaces another, is
  // not so yet. (Playwright's own waiting compiles text in the page, which a policy may refuse.)
  async until({ code }) {
    const end = Date.now() + Number(patience);
    let why = 'it is false';
    while (Date.now() < end) {
      try {
        if (await state.page.evaluate(`Boolean(${code})`)) return true;
        why = 'it is false';
      } catch (error) {
        why = error.message;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const page = await state.page.evaluate('document.body.innerText').catch(String);
    throw new Error(`still not so at ${state.page.url()}: ${code} (${why})\n${page.slice(0, 3000)}`);
  },
  // The size of the answer to a URL as it was sent, headers apart.
  async bytes({ url }) {
    const response = state.bytes[url];
    if (!response) throw new Error(`nothing came from ${url}`);
    await response.finished();
    const sizes = await response.request().sizes();
    return { sent: sizes.responseBodySize, whole: (await response.body()).length };
  },
  screenshot: ({ path, full }) => state.page.screenshot({ path, fullPage: full }),
  resize: ({ width, height }) => state.page.setViewportSize({ width, height }),
  offline: ({ is }) => state.context.setOffline(is),
  // What a screen reader's user would stumble on, from `serious` on.
  async axe() {
    const { AxeBuilder } = from('@axe-core/playwright');
    const { violations } = await new AxeBuilder({ page: state.page }).analyze();
    const grave = violations.filter((it) => it.impact === 'serious' || it.impact === 'critical');
    return grave.map((it) => `${it.id}: ${it.help}: ${it.nodes[0].html.slice(0, 300)}`);
  },
  url: () => state.page.url(),
  complaints: () => state.complaints.splice(0).filter((it) => !isHarmless(it)),
};

async function main() {
  // Chromium refuses its sandbox to root.
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  args.push('--disable-dev-shm-usage');
  state.browser = await chromium.launch({ executablePath, args, timeout: Number(patience) });
  const lines = require('node:readline').createInterface({ input: process.stdin });
  for await (const line of lines) {
    const { do: name, ...rest } = JSON.parse(line);
    let answer;
    try {
      answer = { ok: (await commands[name](rest)) ?? null };
    } catch (error) {
      answer = { error: String(error && error.message ? error.message : error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  // The test is gone or done.
  await state.browser.close();
}

main().catch((error) => {
  process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
  process.exit(1);
});
