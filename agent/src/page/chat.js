'use strict';
// The conversation in words: what was said and answered, by voice or by typing, the newest below.
{
const { $ } = duet;
const PAST_MAX = 40;
const now = ['said', 'told', 'by'].map(part => $('voice-' + part));
// What was said before under this name counts; a tab is a conversation.
const conversation = 'page-' + [...crypto.getRandomValues(new Uint8Array(6))].map(byte => byte.toString(16).padStart(2, '0')).join('');
let asking = null;
duet.isTyped = () => asking !== null;

// What is over moves up, and the newest has its place again.
duet.begin = said => {
  const past = $('chat-past');
  past.append(...now.filter(part => part.textContent).map(part => duet.make('p', { className: part.className }, part.textContent)));
  while (past.children.length > PAST_MAX) past.firstChild.remove();
  for (const part of now) part.textContent = '';
  now[0].textContent = said;
  follow();
};
// The eye stays with the newest words, unless somebody has scrolled up to read.
const follow = () => { const talked = $('voice-talked'); talked.scrollTop = talked.scrollHeight; };
duet.words = words => { now[1].textContent += words; follow(); };
duet.by = by => { now[2].textContent = by; follow(); };
const face = mood => duet.mood(mood);

$('chat-form').addEventListener('submit', async event => {
  event.preventDefault();
  const text = $('chat-text').value.trim();
  if (!text || asking) return;
  $('chat-text').value = '';
  $('voice-note').textContent = '';
  asking = new AbortController();
  $('chat-stop').hidden = false;
  duet.begin(text);
  face('thinking');
  try {
    const answer = await duet.ask('/api/message', { text, conversation }, asking.signal);
    for await (const { kind, data } of duet.events(answer)) {
      if (kind === 'words') { duet.words(data.words); face('speaking'); }
      if (kind === 'by') duet.by(data.by);
      if (kind === 'failed') $('voice-note').textContent = data.why;
    }
  } catch (error) {
    $('voice-note').textContent = error.name === 'AbortError' ? 'Stopped.' : error.message;
  }
  asking = null;
  $('chat-stop').hidden = true;
  face('idle');
});
$('chat-stop').addEventListener('click', () => asking?.abort());
}
