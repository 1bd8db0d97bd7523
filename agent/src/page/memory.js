'use strict';
// What the cluster was told to remember: listed, searched by meaning, told anew, forgotten, saved and loaded.
if (duet.$('memory')) {
const { $, make } = duet;
const note = text => { $('memory-note').textContent = text; };
const said = error => note(error.message);

function show(facts, about) {
  $('memory-about').textContent = about;
  $('memory-facts').replaceChildren(...facts.map(fact => make('li', {},
    make('span', {}, fact.text),
    make('small', { className: 'quiet' }, ' ' + new Date(fact.told_s * 1000).toLocaleDateString([], { dateStyle: 'medium' })
      + (fact.score === undefined ? '' : ` · ${fact.by_meaning ? 'by meaning' : 'by words'}, ${fact.score.toFixed(2)}`)),
    make('button', { className: 'plain', type: 'button', 'aria-label': 'Forget: ' + fact.text, onclick: () => forget(fact) }, 'Forget'))));
}

async function list() {
  try {
    const { facts } = await duet.json('/api/memory');
    show(facts, facts.length ? `${facts.length} remembered, the newest first` : 'Nothing is remembered yet.');
  } catch (error) {
    said(error);
  }
}

async function forget(fact) {
  if (!confirm(`Forget this everywhere?\n\n${fact.text}`)) return;
  try {
    const { nodes, of } = await duet.json('/api/memory/forget', { id: fact.id });
    note(`Forgotten on ${nodes} of ${of} nodes.`);
    await list();
  } catch (error) {
    said(error);
  }
}

$('memory-form').addEventListener('submit', async event => {
  event.preventDefault();
  const text = $('memory-text').value.trim();
  note('');
  try {
    if (event.submitter?.value === 'tell') {
      const { nodes, of } = await duet.json('/api/memory', { text });
      note(`Remembered on ${nodes} of ${of} nodes.`);
      $('memory-text').value = '';
      await list();
    } else if (text) {
      const { facts, ms } = await duet.json('/api/memory/search', { text, n: 20 });
      show(facts, `${facts.length} found` + (ms == null ? '' : ` in ${Number(ms).toFixed(1)} ms`));
    } else await list();
  } catch (error) {
    said(error);
  }
});
$('memory-save').addEventListener('click', async () => {
  try {
    const address = URL.createObjectURL(await (await duet.ask('/api/state/save')).blob());
    make('a', { href: address, download: 'duet-memory.jsonl' }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  } catch (error) {
    said(error);
  }
});
$('memory-load').addEventListener('change', async ({ target }) => {
  try {
    const told = await duet.json('/api/state/load', await target.files[0].text());
    note(`${told.new} new of ${told.facts}.`);
    await list();
  } catch (error) {
    said(error);
  }
  target.value = '';
});
duet.on('panel', panel => { if (panel === 'memory' && duet.who.voice) list(); });
duet.on('who', who => { if (who.voice) list(); });
}
