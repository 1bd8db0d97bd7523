'use strict';
// One panel at a time, by the address; light or dark; who is logged in, and whom it is shown to.
{
const { $ } = duet;
const THEME = 'duet-theme';
const links = [...document.querySelectorAll('#rail a')];
const panels = [...document.querySelectorAll('.panel')];

function show() {
  const named = location.hash.slice(1);
  // The way past the rail is no panel.
  if (named === 'main' && duet.panel) return;
  const panel = panels.some(one => one.id === named) ? named : 'talk';
  for (const one of panels) one.hidden = one.id !== panel;
  for (const link of links) {
    if (link.hash === '#' + panel) {
      link.setAttribute('aria-current', 'page');
      if (duet.panel) link.scrollIntoView({ block: 'nearest', inline: 'center' });
    } else link.removeAttribute('aria-current');
  }
  if (duet.panel !== panel && duet.panel) scrollTo(0, 0);
  duet.panel = panel;
  duet.tell('panel', panel);
}
addEventListener('hashchange', show);
show();

// The arrows go from one name to the next.
$('rail').addEventListener('keydown', event => {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const at = links.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  links[(at + step + links.length) % links.length].focus();
});

// What waits for somebody, beside the panel's name.
duet.count = (panel, n) => {
  const mark = links.find(link => link.hash === '#' + panel).querySelector('.count');
  mark.textContent = n || '';
  mark.hidden = !n;
};

const THEMES = { auto: 'As the system', light: 'Light', dark: 'Dark' };
function theme(name) {
  document.documentElement.dataset.theme = name;
  $('theme').textContent = THEMES[name];
  try { localStorage.setItem(THEME, name); } catch { /* a browser that keeps nothing */ }
}
let kept = 'auto';
try { kept = localStorage.getItem(THEME) ?? 'auto'; } catch { /* the same */ }
theme(kept in THEMES ? kept : 'auto');
$('theme').addEventListener('click', () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});

// Whoever is not logged in is shown one door, wherever a key is needed.
duet.on('who', who => {
  $('who').textContent = who.name ?? '';
  $('logout').hidden = !who.name;
  for (const element of document.querySelectorAll('[data-needs]')) {
    element.hidden = !(element.dataset.needs === 'voice' ? who.voice : who.name);
  }
  for (const element of document.querySelectorAll('[data-without]')) {
    element.hidden = Boolean(element.dataset.without === 'voice' ? who.voice : who.name);
  }
});
$('logout').addEventListener('click', () => duet.logout().catch(error => { $('who').textContent = error.message; }));
}
