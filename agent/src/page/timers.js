'use strict';
// Timers and alarms of this PC: how long each still runs, and an end to it.
{
const { $, make } = duet;
const note = text => { $('timers-note').textContent = text; };
const two = n => String(n).padStart(2, '0');
const name = timer => timer.kind === 'alarm' ? `Alarm at ${timer.hour}:${two(timer.minute)}` : `Timer of ${duet.duration(timer.length_s)}`;

async function cancel(timer) {
  try {
    await duet.ask('/api/timers/cancel', { id: timer.id });
    note('Cancelled.');
  } catch (error) {
    note(error.message);
  }
  look();
}

const look = duet.whileSeen('timers', 1000, async () => {
  try {
    const { timers } = await duet.json('/api/timers');
    $('timers-none').hidden = timers.length > 0;
    const list = $('timers-list');
    const is = JSON.stringify(timers.map(timer => timer.id)) + duet.who.voice;
    if (list.dataset.is !== is) {
      list.dataset.is = is;
      list.replaceChildren(...timers.map(timer => make('li', {},
        make('span', {}, name(timer) + (timer.of ? ` of ${timer.of}` : '')), make('strong', { className: 'left' }),
        ...duet.who.voice ? [make('button', { type: 'button', className: 'plain', 'aria-label': 'Cancel ' + name(timer), onclick: () => cancel(timer) }, 'Cancel')] : [])));
    }
    timers.forEach((timer, idx) => {
      const s = timer.left_s;
      list.children[idx].querySelector('.left').textContent = s === 0 ? 'rings' : s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : duet.duration(s);
    });
  } catch (error) {
    note(error.message);
  }
}, duet.mayRead);
}
