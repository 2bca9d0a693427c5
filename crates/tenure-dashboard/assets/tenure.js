// Keeps a page of the dashboard up to date. Every page works without it.
//
// A page is made of regions, each with a mark of what it shows. Whenever the server tells of an
// event, and every few seconds besides, the page is asked for again with the marks it has; the
// answer holds only the regions that differ, or is a 304. Asked at most once a second, not at all
// while nobody looks, and ever more rarely while the server does not answer.
'use strict';

(() => {
  const GAP = 1000; // between two requests
  const PATIENCE = 20_000; // for one answer
  const STALE = 30_000; // from here on the page says that it is old
  const main = document.querySelector('main');
  const age = document.querySelector('.age');
  const announcer = document.getElementById('announce');
  if (!main?.dataset.now || !age || !announcer) return;
  const EVERY = Number(main.dataset.every) || 10_000; // without any event

  let ahead = Number(main.dataset.now) - Date.now(); // how far the server's clock is ahead
  let answeredAt = Date.now();
  let endedAt = 0;
  let timer = 0;
  let isAsking = false;
  let isDirty = false;
  let failures = 0;
  let isConnected = false;
  let wasLost = false;
  let source = null;

  // ---- spans of time, told anew every second ----

  const span = (ms) => {
    const seconds = Math.max(0, ms) / 1000;
    if (seconds < 60) return `${Math.floor(seconds)} s`;
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
    const hours = Math.floor(minutes / 60);
    if (hours < 48) return `${hours} h ${minutes % 60} min`;
    return `${Math.floor(hours / 24)} d`;
  };

  const said = (kind, ms) => {
    switch (kind) {
      case 'ago': return ms >= 0 ? `${span(ms)} ago` : `in ${span(-ms)}`;
      case 'in': return ms < 0 ? `in ${span(-ms)}` : 'due now';
      case 'for': return span(ms);
      case 'left': return ms < 0 ? span(-ms) : 'ended';
      default: return null;
    }
  };

  const tell = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const tick = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll('time[data-rel]')) {
      const text = said(time.dataset.rel, now + ahead - Date.parse(time.dateTime));
      if (text) tell(time, text);
    }
    const old = now - answeredAt;
    const isLost = failures > 1 || old > STALE;
    age.dataset.state = isLost ? 'lost' : isConnected ? 'live' : 'still';
    const how = isLost ? 'connection lost, data is' : isConnected ? 'live, data is' : 'data is';
    tell(age, `${how} ${span(old)} old`);
    if (isLost !== wasLost) {
      wasLost = isLost;
      announce(isLost ? 'The connection to the server is lost.' : 'The connection is back.');
    }
  };

  const announce = (text) => tell(announcer, text);

  // ---- regions ----

  const regions = () => [...main.querySelectorAll('[data-region]')];

  // Somebody is about to do something here: what they see must not change under their hands.
  const isInUse = (region) =>
    region.querySelector('details.act[open]:not([data-quiet])') !== null ||
    (region.contains(document.activeElement) &&
      document.activeElement.matches('input, select, textarea'));

  // What is wider than the screen begins where its picture says that it matters, in per cent: in
  // the middle of what its names leave free.
  const show = (wide) => {
    const at = Number(wide.dataset.at ?? 0) / 100;
    const names = wide.querySelector('.names')?.clientWidth ?? 0;
    wide.scrollLeft = wide.scrollWidth * at - (wide.clientWidth + names) / 2;
  };

  const swap = (fresh) => {
    const old = main.querySelector(`[data-region="${CSS.escape(fresh.dataset.region)}"]`);
    if (!old || isInUse(old)) return;
    const open = [...old.querySelectorAll('details[open][id]')].map((it) => it.id);
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const wayOf = (it) => it.id || it.getAttribute('href') || it.getAttribute('aria-label');
    const way = focused && wayOf(focused);
    const places = [...old.querySelectorAll('.scroll')].map((it) => it.scrollLeft);
    const before = old.querySelector('pre.output');
    const isAtEnd = before && before.scrollTop + before.clientHeight >= before.scrollHeight - 8;
    const wrong = old.querySelector('[data-announce]')?.textContent;
    old.replaceWith(fresh);
    for (const id of open) document.getElementById(id)?.setAttribute('open', '');
    const after = fresh.querySelector('pre.output');
    if (after) after.scrollTop = isAtEnd ? after.scrollHeight : before?.scrollTop ?? 0;
    for (const [at, it] of fresh.querySelectorAll('.scroll').entries()) {
      if (at < places.length) it.scrollLeft = places[at];
      else show(it);
    }
    if (way) {
      const again = [...fresh.querySelectorAll('[id], a[href], [tabindex]')];
      again.find((it) => wayOf(it) === way)?.focus({ preventScroll: true });
    }
    const news = fresh.querySelector('[data-announce]')?.textContent;
    if (news && news !== wrong) announce(news);
  };

  const refresh = async () => {
    timer = 0;
    if (isAsking) return;
    isAsking = true;
    isDirty = false;
    try {
      const known = regions().map((it) => `${it.dataset.region}=${it.dataset.mark}`).join(' ');
      const answer = await fetch(location.href, {
        headers: { 'Tenure-Regions': known },
        cache: 'no-store',
        redirect: 'error',
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (answer.status !== 200 && answer.status !== 304) throw new Error(String(answer.status));
      if (answer.status === 200) {
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        for (const region of page.querySelectorAll('[data-region]')) {
          swap(document.adoptNode(region));
        }
      }
      ahead = Number(answer.headers.get('Tenure-Now')) - Date.now() || ahead;
      answeredAt = Date.now();
      failures = 0;
    } catch {
      failures += 1;
    } finally {
      isAsking = false;
      endedAt = Date.now();
      tick();
      if (failures > 0) plan(Math.min(30_000, GAP * 2 ** failures));
      else plan(isDirty ? GAP : EVERY);
    }
  };

  const plan = (wait) => {
    clearTimeout(timer);
    timer = document.hidden ? 0 : setTimeout(refresh, wait);
  };

  const ask = () => {
    isDirty = true;
    if (!isAsking && failures === 0) plan(Math.max(0, endedAt + GAP - Date.now()));
  };

  const connect = () => {
    source?.close();
    source = new EventSource(main.dataset.events);
    source.onopen = () => {
      isConnected = true;
      ask();
    };
    for (const name of (main.dataset.kinds || 'message').split(' ')) {
      source.addEventListener(name, ask);
    }
    source.onerror = () => {
      isConnected = false;
      // The browser tries again by itself unless it was sent away.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 15_000);
      tick();
    };
  };

  document.addEventListener('visibilitychange', () => (document.hidden ? plan(0) : ask()));
  addEventListener('online', () => {
    failures = 0;
    ask();
  });
  addEventListener('pagehide', () => source?.close());
  addEventListener('pageshow', (event) => {
    if (!event.persisted) return;
    for (const form of document.forms) delete form.dataset.sent;
    connect();
    ask();
  });

  // ---- keys ----

  const ways = { n: 'now', t: 'tasks', l: 'locks', o: 'nodes', s: 'store' };
  let isGoing = false;

  const step = (by) => {
    const rows = [...main.querySelectorAll('tbody th a')];
    const at = rows.indexOf(document.activeElement);
    rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by]?.focus();
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches('input, select, textarea')) {
      if (event.key === 'Escape') event.target.blur();
      return;
    }
    const { key } = event;
    const way = isGoing && ways[key];
    isGoing = key === 'g';
    if (way) location.assign(new URL(way, document.baseURI));
    else if (key === 'j') step(1);
    else if (key === 'k') step(-1);
    else if (key === '/') {
      const search = document.querySelector('input[type=search]');
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if (key === '?') {
      const keys = document.getElementById('keys');
      keys.open = true;
      keys.querySelector('summary').focus();
    }
  });

  // ---- forms ----

  // One press, one request; the page that follows has buttons of its own.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (form.method !== 'post') return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = 'yes';
  });
  document.addEventListener('change', (event) => {
    if (event.target.form?.dataset.auto !== undefined) event.target.form.requestSubmit();
  });

  const output = document.querySelector('pre.output');
  if (output) output.scrollTop = output.scrollHeight;
  main.querySelectorAll('.scroll').forEach(show);
  connect();
  tick();
  setInterval(() => document.hidden || tick(), 1000);
  plan(EVERY);
})();
