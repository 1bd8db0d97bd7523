'use strict';
// How this PC listens and speaks, and how loud it is at the moment.
{
const { $ } = duet;
const note = text => { $('audio-note').textContent = text; };
const FLOOR_DB = -60;
const of = { volume: Number, rate: Number, pitch: Number, hands_free: Boolean, guess: Boolean };
const knob = name => $('voice-' + name);
const knobs = ['volume', 'microphone', 'speaker', 'language', 'voice', 'rate', 'pitch', 'key_manner', 'detector', 'hands_free', 'guess'];
const shown = name => {
  const out = knob(name).parentElement.querySelector('output');
  if (out) out.textContent = knob(name).value;
};

duet.knobs = async () => {
  const settings = await duet.json('/api/voice');
  for (const name of knobs) {
    const element = knob(name);
    if (element.type === 'checkbox') element.checked = settings[name];
    else element.value = settings[name] ?? '';
    shown(name);
  }
};
for (const name of knobs) {
  const element = knob(name);
  element.addEventListener('input', () => shown(name));
  element.addEventListener('change', async () => {
    const value = element.type === 'checkbox' ? element.checked : (of[name] ?? String)(element.value);
    try {
      await duet.ask('/api/voice', { [name]: value });
      note('');
    } catch (error) {
      note(error.message);
      duet.knobs().catch(() => {});
    }
  });
}
$('audio-try').addEventListener('submit', event => {
  event.preventDefault();
  duet.ask('/api/say', { text: $('audio-text').value }).then(() => note(''), error => note(error.message));
});
duet.whileSeen('audio', 300, async () => {
  try {
    const { microphone_db, speaker_db } = await duet.json('/api/level');
    for (const [id, db] of [['audio-in', microphone_db], ['audio-out', speaker_db]]) {
      $(id).value = Math.max(FLOOR_DB, db ?? FLOOR_DB);
      $(id + '-db').textContent = db == null ? 'silent' : `${db.toFixed(0)} dB`;
    }
  } catch (error) {
    note(error.message);
    await duet.sleep(3000);
  }
});
}
