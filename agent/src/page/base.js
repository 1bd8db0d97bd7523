'use strict';
// What all panels share: asking this node, reading its events, who is logged in, and making elements.
const duet = (() => {
  const listeners = new Map();
  const on = (what, then) => listeners.set(what, [...listeners.get(what) ?? [], then]);
  const tell = (what, about) => (listeners.get(what) ?? []).forEach(then => then(about));
  const $ = id => document.getElementById(id);
  const NOBODY = { name: null, voice: false };
  // No form, image or link can send this field, so nobody else's page can use this login.
  const PAGE = { 'x-duet': 'page' };
  const self = { $, on, tell, who: NOBODY };

  // An element with fields and parts; text is never markup.
  self.make = (name, fields = {}, ...parts) => {
    const element = document.createElement(name);
    for (const [field, value] of Object.entries(fields)) {
      if (field.startsWith('on')) element.addEventListener(field.slice(2), value);
      else if (field in element && field !== 'list') element[field] = value;
      else element.setAttribute(field, value);
    }
    element.append(...parts);
    return element;
  };

  function know(who) {
    const was = JSON.stringify(self.who);
    self.who = who;
    if (was !== JSON.stringify(who)) tell('who', who);
  }

  self.fetch = (path, options = {}) => fetch(path, { ...options, headers: { ...PAGE, ...options.headers } });

  // Whoever may not, or asks wrongly, finds the node's own sentence in the error.
  self.ask = async (path, body, signal) => {
    const post = body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) };
    const answer = await self.fetch(path, { signal, ...post });
    if (answer.ok) return answer;
    const why = (await answer.text()).trim() || `the node answered ${answer.status}`;
    if (answer.status === 401) know(NOBODY);
    throw Object.assign(new Error(why), { status: answer.status });
  };
  self.json = async (path, body, signal) => (await self.ask(path, body, signal)).json();

  // The events of an answer: an EventSource could neither post nor say that it is this page.
  self.events = async function* (answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = '', piece; !(piece = await reader.read()).done;) {
      const events = (text + piece.value).split('\n\n');
      text = events.pop();
      for (const event of events) {
        const data = event.match(/^data: (.*)$/m);
        if (data) yield { id: event.match(/^id: (.*)$/m)?.[1], kind: event.match(/^event: (.*)$/m)?.[1], data: JSON.parse(data[1]) };
      }
    }
  };

  // A closed page shows its matter to whoever is logged in.
  self.isClosed = document.body.dataset.closed !== undefined;
  self.mayRead = () => !self.isClosed || Boolean(self.who.name);

  self.login = async key => know(await self.json('/api/login', { key }));
  self.logout = async () => { await self.ask('/api/logout', {}); know(NOBODY); };
  self.clock = unix_s => new Date(unix_s * 1000).toLocaleTimeString([], { hour12: false });
  self.sleep = ms => new Promise(done => setTimeout(done, ms));

  // Runs again and again while a panel is looked at by somebody who may.
  self.whileSeen = (panel, everyMs, look, may = () => self.who.voice) => {
    let now = null;
    const seen = () => document.visibilityState === 'visible' && self.panel === panel && may();
    const again = async () => {
      clearTimeout(now);
      if (!seen()) return;
      await look();
      clearTimeout(now);
      now = setTimeout(again, everyMs);
    };
    on('panel', again);
    on('who', again);
    document.addEventListener('visibilitychange', again);
    return again;
  };

  // Once all scripts are there, whoever is logged in already is found.
  addEventListener('DOMContentLoaded', async () => {
    try {
      know(await self.json('/api/login'));
    } catch {
      know(NOBODY);
    }
    tell('who', self.who);
  });
  return self;
})();
