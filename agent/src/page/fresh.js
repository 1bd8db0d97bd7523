'use strict';
// Keeps the numbers fresh. When something came or went, the parts that the node has written are set anew: one place makes
// markup, and whoever talks or types stays where they are.
{
const PERIOD_MS = 5000, PICTURE_MS = 1500;
const bytes = n => n >= 2 ** 30 ? (n / 2 ** 30).toFixed(1) + ' GiB' : n >= 2 ** 20 ? (n / 2 ** 20).toFixed(0) + ' MiB'
  : n >= 1024 ? (n / 1024).toFixed(0) + ' KiB' : n + ' B';
const duration = t => {
  const s = Math.floor(t), m = Math.floor(s / 60), h = Math.floor(m / 60), d = Math.floor(h / 24);
  return m < 1 ? s + ' s' : h < 1 ? `${m} min ${s % 60} s` : d < 1 ? `${h} h ${m % 60} min` : `${d} d ${h % 24} h`;
};
duet.duration = duration;
const forms = { bytes, duration, kib: n => bytes(n * 1024), mib: n => bytes(n * 2 ** 20),
  share: f => Math.min(99, Math.floor(f.have_bytes / f.bytes * 100)) + ' %',
  ago: s => s < 2 ? 'just now' : duration(s) + ' ago', load: n => n.toFixed(2), text: t => t,
  state: t => t[0].toUpperCase() + t.slice(1) };
const at = (status, path) => path.split('.').reduce((part, name) => part == null ? part : part[name], status);
const shape = s => JSON.stringify([s.name, s.interfaces.map(i => [i.name, i.addresses, i.carrier, i.speed_mbit]),
  s.sound_cards, s.input_devices, s.units.ours.map(u => [u.name, u.n_restarts]), s.units.failed, s.boot, s.cluster.phase, s.cluster.code,
  s.cluster.picture?.members.map(m => [m.id, m.name, m.standing, m.address, m.sees?.[1], m.facts?.services, m.facts?.mood, m.doubted]),
  duet.panel === 'cluster' && s.voice?.mood,
  s.spread?.catalogue, s.spread?.files.map(f => [f.file, f.bytes, f.is_here, f.have_bytes > 0, f.sentence, f.from.map(([name]) => name), f.dropped]),
  s.quality, s.cluster.happenings.length, s.turns.map(t => [t.talk, t.turn, t.unix_s])]);
let shown = null;

async function anew() {
  const answer = await duet.fetch('/', { signal: AbortSignal.timeout(PERIOD_MS) });
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  // The lists of sound devices stand among what a person sets, so they come once.
  const parts = duet.isClosed && shown === null ? ['fresh', 'late'] : ['fresh'];
  for (const [part, old] of parts.flatMap(part => [...document.querySelectorAll(`[data-${part}]`)].map(old => [part, old]))) {
    const now = page.querySelector(`[data-${part}="${old.dataset[part]}"]`);
    if (!now || old.innerHTML === now.innerHTML || old.contains(document.activeElement)) continue;
    const open = [...old.querySelectorAll('details')].map(details => details.open);
    [...now.querySelectorAll('details')].forEach((details, idx) => { details.open = open[idx] ?? details.open; });
    old.replaceChildren(...now.childNodes);
  }
}

async function refresh(status) {
  const now = shape(status);
  if (shown !== now && (shown !== null || duet.isClosed)) await anew();
  shown = now;
  for (const e of document.querySelectorAll('[data-live]')) {
    const value = at(status, e.dataset.live);
    if (value == null) continue;
    if (e.dataset.form === 'value') e.value = value;
    else e.textContent = forms[e.dataset.form](value);
  }
  for (const e of document.querySelectorAll('[data-live-class]')) e.className = at(status, e.dataset.liveClass);
  for (const e of document.querySelectorAll('[data-badge]')) {
    e.textContent = at(status, e.dataset.badge);
    e.className = 'badge ' + e.textContent;
  }
}

async function see() {
  if (document.visibilityState !== 'visible' || !duet.mayRead()) return;
  try {
    await refresh(await duet.json('/api/status', undefined, AbortSignal.timeout(PERIOD_MS)));
    duet.$('lost').hidden = true;
  } catch (error) {
    // The owner has closed the page, or the login is over: what is shown goes with it.
    if (error.status === 401) location.reload();
    else duet.$('lost').hidden = false;
  }
}

async function look() {
  await see();
  // Who speaks is soon over, and so is the way of a model.
  setTimeout(look, ['cluster', 'models'].includes(duet.panel) ? PICTURE_MS : PERIOD_MS);
}
setTimeout(look, PERIOD_MS);

// What happens in the cluster is shown at once.
const KINDS = ['joined', 'back', 'down', 'left', 'removed', 'doubted', 'denied', 'ring', 'roster'];
async function follow() {
  for (;; await duet.sleep(PERIOD_MS)) {
    if (!duet.mayRead()) continue;
    try {
      const answer = await duet.ask('/api/events');
      for await (const { kind } of duet.events(answer)) if (KINDS.includes(kind)) see();
    } catch { /* it comes again */ }
  }
}
follow();

// A closed page has its matter after the login, and loses it with that.
duet.on('who', who => {
  if (!duet.isClosed) return;
  if (who.name) see();
  else if (shown !== null) location.reload();
});
}
