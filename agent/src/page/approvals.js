'use strict';
// Calls of tools that wait for a person: what exactly will run, and yes or no.
if (duet.$('approvals')) {
const { $, make } = duet;
const note = text => { $('approvals-note').textContent = text; };
let shown = '';

async function decide(id, yes) {
  try {
    await duet.ask('/api/approvals', { id, yes });
    note(yes ? 'It runs.' : 'It does not run.');
  } catch (error) {
    note(error.message);
  }
  look();
}

function card({ id, tool, will_run, asked_by, expires_in_s }) {
  return make('li', { className: 'call' },
    make('h3', {}, tool), make('p', { className: 'quiet' }, `asked by ${asked_by}, expires in ${duet.duration(expires_in_s)}`),
    make('pre', { tabIndex: 0 }, will_run),
    make('p', { className: 'row' },
      make('button', { type: 'button', onclick: () => decide(id, true), 'aria-label': `Yes, run it: ${tool}` }, 'Yes, run it'),
      make('button', { type: 'button', className: 'plain', onclick: () => decide(id, false), 'aria-label': `No: ${tool}` }, 'No')));
}

async function look() {
  if (!duet.who.voice) return duet.count('approvals', 0);
  try {
    const { pending } = await duet.json('/api/approvals');
    duet.count('approvals', pending.length);
    $('approvals-none').hidden = pending.length > 0;
    // Nobody's button moves while nothing has changed.
    const now = JSON.stringify(pending.map(call => call.id));
    if (now !== shown) $('approvals-list').replaceChildren(...pending.map(card));
    shown = now;
  } catch (error) {
    note(error.message);
  }
}
const PERIOD_MS = 3000;
async function again() {
  if (document.visibilityState === 'visible') await look();
  setTimeout(again, PERIOD_MS);
}
again();
}
