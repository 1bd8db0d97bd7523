'use strict';
// The log as a terminal: lines as they come, those that hold the filter's words, and banners in large letters.
{
const { $, make } = duet;
const LINES_MAX = 1000, AGAIN_MS = 3000;
let last = null, following = null;
const levels = { info: 0, notice: 1, warning: 2, banner: 3 };

const fits = line => line.dataset.text.includes($('log-filter').value.toLowerCase())
  && levels[line.dataset.level] >= Number($('log-level').value);

function add({ unix_s, level, text }) {
  const lines = $('log-lines');
  const isAtEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  const line = make('p', { className: 'line ' + level });
  Object.assign(line.dataset, { level, text: text.toLowerCase() });
  if (unix_s && level !== 'banner') line.append(make('time', {}, duet.clock(unix_s)), ' ');
  line.append(text);
  line.hidden = !fits(line);
  lines.append(line);
  while (lines.children.length > LINES_MAX) lines.firstChild.remove();
  if (isAtEnd) lines.scrollTop = lines.scrollHeight;
}

async function follow(stop) {
  while (!stop.aborted) {
    try {
      const heard = last === null ? {} : { 'last-event-id': last };
      const answer = await duet.fetch('/api/log', { headers: heard, signal: stop });
      if (!answer.ok) throw new Error((await answer.text()).trim());
      $('log-note').textContent = '';
      for await (const { id, data } of duet.events(answer)) {
        last = id;
        add(data);
      }
    } catch (error) {
      if (!stop.aborted) $('log-note').textContent = error.message;
    }
    if (!stop.aborted) await duet.sleep(AGAIN_MS);
  }
}

// Followed while it is looked at.
function look() {
  const wants = duet.panel === 'log' && duet.who.voice;
  if (wants === Boolean(following)) return;
  following?.abort();
  following = wants ? new AbortController() : null;
  if (following) follow(following.signal);
}
duet.on('panel', look);
duet.on('who', look);

for (const control of ['log-filter', 'log-level']) {
  $(control).addEventListener('input', () => { for (const line of $('log-lines').children) line.hidden = !fits(line); });
}
$('log-clear').addEventListener('click', () => $('log-lines').replaceChildren());
$('log-journal').addEventListener('click', async () => {
  try {
    const text = await (await duet.ask('/api/log/journal')).text();
    for (const line of text.split('\n').filter(Boolean)) add({ level: 'info', text: line });
  } catch (error) {
    $('log-note').textContent = error.message;
  }
});
$('banner-form').addEventListener('submit', event => {
  event.preventDefault();
  duet.ask('/api/log', { banner: $('banner-text').value }).then(() => { $('banner-text').value = ''; },
    error => { $('log-note').textContent = error.message; });
});
}
