'use strict';
// Personas, which say who answers and what each is told, and workflows; edited here, they hold at once on all nodes.
{
const { $, make } = duet;
const note = text => { $('experts-note').textContent = text; };
const is = (one, other) => other !== null && one.kind === other.kind && one.name === other.name;
let all = [], chosen = null;

function show() {
  $('experts-list').replaceChildren(...all.map(one => make('li', {},
    make('button', { type: 'button', className: 'choice', 'aria-pressed': String(is(one, chosen)), onclick: () => choose(one) },
      make('strong', {}, one.name), ' ', make('small', { className: 'quiet' }, one.kind === 'workflows' ? 'workflow' : one.is_expert ? 'expert' : 'helper',
        { edited: ', edited', file: ', a file' }[one.source] ?? ''), make('span', { className: 'quiet' }, one.about)))));
}

function choose(wanted) {
  const one = chosen = all.find(one => is(one, wanted)) ?? null;
  $('experts-edit').hidden = !one;
  $('experts-none').hidden = Boolean(one);
  if (one) {
    $('experts-name').textContent = one.name;
    $('experts-text').value = one.text;
    $('experts-reset').hidden = one.source !== 'edited';
  }
  show();
}

async function list() {
  try {
    const [{ personas, troubles }, { workflows }] = await Promise.all(['/api/personas', '/api/workflows'].map(path => duet.json(path)));
    all = [...personas.map(one => ({ ...one, kind: 'personas' })), ...workflows.map(one => ({ ...one, kind: 'workflows' }))];
    show();
    $('experts-troubles').textContent = troubles.join('\n');
  } catch (error) {
    note(error.message);
  }
}

async function save(text) {
  try {
    await duet.ask(`/api/${chosen.kind}/${chosen.name}`, { text });
    await list();
    choose(chosen);
    note(text ? 'Saved. It holds from the next answer on, soon on all PCs.' : 'It is as it was before.');
  } catch (error) {
    note(error.message);
  }
}
$('experts-form').addEventListener('submit', event => { event.preventDefault(); save($('experts-text').value); });
$('experts-reset').addEventListener('click', () => save(''));
const look = () => { if (duet.panel === 'experts' && duet.mayRead()) list(); };
duet.on('panel', look);
duet.on('who', look);
look();
}
