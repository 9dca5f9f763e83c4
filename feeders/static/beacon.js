/* Browser events to the beacon gateway: queued, sent in batches, sent again until the gateway has them.
 *
 *   <script src="https://beacon.example/beacon.js"></script>
 *   <script>
 *     const beacon = chctlBeacon({url: "https://beacon.example/events", userId: "42", clicks: true});
 *     beacon.track("order_ticket", {element: "buy", properties: {symbol: "BTCUSDT"}});
 *   </script>
 *
 * While the page is visible batches go by fetch, and an event leaves the queue when the answer names it accepted or
 * rejected. When the page is hidden or closed everything unconfirmed goes by sendBeacon, whose answer nobody sees, so
 * a copy waits in localStorage until this page is visible again or the site's next page confirms it. An event may thus
 * arrive twice, with the same event_id; the store keeps one.
 *
 * Options: url; userId (hashed by the gateway); clicks (record clicks on [data-beacon] elements); flushMs (2000);
 * maxQueue (1000: beyond it the oldest go, and `dropped` says how many); onReject(event, reason).
 */
(function (global) {
  "use strict";

  const MAX_BYTES = 60000; // browsers allow 65536 in flight; the envelope and UTF-8 need room
  const MAX_EVENTS = 500;
  const STORE = "chctl-beacon:";
  const utf8 = new TextEncoder();

  const uuid = () =>
    global.crypto.randomUUID
      ? global.crypto.randomUUID()
      : "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
          (c ^ (global.crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));

  // Private windows and strict settings may refuse storage; then the queue lives in memory only.
  const storage = (kind, use) => {
    try { return use(global[kind]); } catch (error) { return undefined; }
  };

  function sessionId() {
    return storage("sessionStorage", (s) => {
      let id = s.getItem(STORE + "session");
      if (!id) s.setItem(STORE + "session", (id = uuid()));
      return id;
    }) || uuid();
  }

  function chctlBeacon(options) {
    const url = options.url;
    const flushMs = options.flushMs || 2000;
    const maxQueue = options.maxQueue || 1000;
    const session = sessionId();
    const storeKey = STORE + "tab:" + uuid();
    let userId = String(options.userId || "");
    let queue = []; // {session, user, event}, oldest first, each until it is confirmed
    let dropped = 0;
    let sending = false;
    let failures = 0;
    let notBefore = 0;
    let beaconed = new WeakSet(); // went by sendBeacon since the page was hidden

    function track(type, details) {
      const d = details || {};
      queue.push({
        session, user: userId,
        event: {
          event_id: uuid(), event_time: Date.now(), event_type: type,
          element: (d.element || "").slice(0, 256),
          page: global.location ? global.location.pathname.slice(0, 2048) : "", // no query: it may hold tokens
          properties: d.properties || {},
        },
      });
      trim();
      if (global.document.visibilityState === "hidden") hide();
    }

    function trim() {
      if (queue.length > maxQueue) {
        dropped += queue.length - maxQueue;
        queue = queue.slice(-maxQueue);
      }
    }

    // The first events of `items` that share a session and a user and fit in one request.
    function batchOf(items, limit) {
      const first = items[0];
      const batch = [];
      let bytes = 400;
      for (const item of items) {
        if (item.session !== first.session || item.user !== first.user || batch.length >= limit) break;
        const size = utf8.encode(JSON.stringify(item.event)).length + 1;
        if (batch.length && bytes + size > MAX_BYTES) break;
        bytes += size;
        batch.push(item);
      }
      return batch;
    }

    const bodyOf = (batch) => JSON.stringify({
      session_id: batch[0].session, user_id: batch[0].user, sent_time: Date.now(), dropped,
      events: batch.map((item) => item.event),
    });

    function confirm(batch, counted, answer) {
      const done = new Set(batch);
      queue = queue.filter((item) => !done.has(item));
      dropped -= counted;
      failures = 0;
      for (const bad of (answer && answer.rejected) || []) {
        if (options.onReject && batch[bad.index]) options.onReject(batch[bad.index].event, bad.reason);
      }
      persist();
    }

    function later(seconds) {
      failures += 1;
      const backoff = Math.min(60, 2 ** Math.min(failures, 6)) * (0.5 + Math.random() / 2);
      notBefore = Date.now() + 1000 * Math.max(seconds || 0, backoff);
    }

    // Confirms everything queued, one batch after the other; gives up until `notBefore` at the first failure.
    async function flush() {
      if (sending || Date.now() < notBefore) return;
      sending = true;
      let limit = MAX_EVENTS;
      try {
        while (queue.length) {
          const batch = batchOf(queue, limit);
          const counted = dropped;
          const response = await global.fetch(url, {
            method: "POST", headers: {"content-type": "application/json"}, body: bodyOf(batch), credentials: "omit",
          });
          if (response.ok) {
            confirm(batch, counted, await response.json());
            limit = MAX_EVENTS;
          } else if (response.status === 413 && batch.length > 1) {
            limit = Math.ceil(batch.length / 2);
          } else if (response.status === 400 || response.status === 413) {
            // Never acceptable, whatever the number of tries; the first event is the one that cannot be sent alone.
            if (batch.length > 1) { limit = Math.ceil(batch.length / 2); continue; }
            confirm(batch, counted, {rejected: [{index: 0, reason: "HTTP " + response.status}]});
          } else {
            later(Number(response.headers.get("retry-after")));
            return;
          }
        }
      } catch (error) {
        later(0);
      } finally {
        sending = false;
      }
    }

    // The page may never run again: send all that is unconfirmed, and keep the copy.
    function hide() {
      persist();
      for (let rest = queue.filter((item) => !beaconed.has(item)); rest.length;) {
        const batch = batchOf(rest, MAX_EVENTS);
        // text/plain needs no preflight, which a closing page would not wait for.
        if (!global.navigator.sendBeacon(url, new Blob([bodyOf(batch)], {type: "text/plain"}))) return;
        batch.forEach((item) => beaconed.add(item));
        rest = rest.slice(batch.length);
      }
    }

    function persist() {
      storage("localStorage", (s) => {
        if (global.document.visibilityState === "hidden" && queue.length) s.setItem(storeKey, JSON.stringify(queue));
        else s.removeItem(storeKey);
      });
    }

    // What earlier pages of this site left unconfirmed; a hidden tab's copy may come along: same ids, one row.
    function adopt() {
      storage("localStorage", (s) => {
        for (const key of Object.keys(s).filter((k) => k.startsWith(STORE + "tab:"))) {
          const stored = s.getItem(key);
          s.removeItem(key); // before it is parsed: a broken copy must not stop every page after it
          const left = JSON.parse(stored);
          if (Array.isArray(left)) queue = left.concat(queue);
        }
        trim();
      });
    }

    global.document.addEventListener("visibilitychange", () => {
      if (global.document.visibilityState === "hidden") hide();
      else { persist(); beaconed = new WeakSet(); notBefore = 0; flush(); }
    });
    global.addEventListener("pagehide", hide);
    if (options.clicks) {
      global.document.addEventListener("click", (e) => {
        const target = e.target.closest && e.target.closest("[data-beacon]");
        if (target) track("click", {element: target.getAttribute("data-beacon")});
      }, true);
    }
    adopt();
    global.setInterval(flush, flushMs);
    flush();

    return {
      track, flush,
      identify(id) { userId = String(id || ""); },
      get pending() { return queue.length; },
      get dropped() { return dropped; },
    };
  }

  global.chctlBeacon = chctlBeacon;
})(window);
