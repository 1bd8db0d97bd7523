'use strict';
// Personas: who answers, and what each is told; edited here, they hold at once.
{
const { $, make } = duet;
const note = text => { $('experts-note').textContent = text; };
let all = [], chosen = null;

function show() {
  $('experts-list').replaceChildren(...all.map(one => make('li', {},
    make('button', { type: 'button', className: 'choice', 'aria-pressed': String(one.name === chosen), onclick: () => choose(one.name) },
      make('strong', {}, one.name), ' ', make('small', { className: 'quiet' }, one.is_expert ? 'expert' : 'helper',
        one.source === 'file' ? ', edited' : ''), make('span', { className: 'quiet' }, one.about)))));
}

function choose(name) {
  chosen = name;
  const one = all.find(one => one.name === name);
  $('experts-edit').hidden = !one;
  $('experts-none').hidden = Boolean(one);
  if (one) {
    $('experts-name').textContent = one.name;
    $('experts-text').value = one.text;
    $('experts-reset').hidden = one.source !== 'file';
  }
  show();
}

async function list() {
  try {
    const { personas, troubles } = await duet.json('/api/personas');
    all = personas;
    show();
    $('experts-troubles').textContent = troubles.join('\n');
  } catch (error) {
    note(error.message);
  }
}

async function save(text) {
  try {
    await duet.ask('/api/personas/' + chosen, { text });
    await list();
    choose(chosen);
    note(text ? 'Saved. It holds from the next answer on.' : 'What was edited is gone.');
  } catch (error) {
    note(error.message);
  }
}
$('experts-form').addEventListener('submit', event => { event.preventDefault(); save($('experts-text').value); });
$('experts-reset').addEventListener('click', () => save(''));
duet.on('panel', panel => { if (panel === 'experts') list(); });
if (duet.panel === 'experts') list();
}
