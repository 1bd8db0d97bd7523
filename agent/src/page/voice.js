'use strict';
// Talking: the PC's own ear is told start and stop, a browser's microphone goes through a WebSocket.
{
const TAP_MS = 250, AGAIN_MS = 2000, PLAY_S = 0.2;
const MOODS = { idle: 'Ready', waiting: 'Waiting for a voice', listening: 'Listening', thinking: 'Thinking', speaking: 'Speaking' };
const OUTCOMES = { nothing: 'Nothing was heard.', 'microphone-lost': 'There is no microphone.', 'not-heard': 'It was not understood.',
  'no-answer': 'Nobody answered.', 'cut-short': 'The answer broke off.', 'not-spoken': 'There is no speaker.' };
const NO_MICROPHONE = 'A browser gives its microphone only to pages of https or of localhost. On this computer ' +
  `“socat TCP-LISTEN:8000,bind=127.0.0.1,fork TCP:${location.host}” makes localhost:8000 such a page; ` +
  'Chromium also takes this address under chrome://flags, “insecure origins treated as secure”.';
const $ = name => document.getElementById('voice' + (name ? '-' + name : ''));
const { ask, sleep } = duet;
let source = 'pc', following = null, remote = null, may = false;
let pressed = null, isOpen = false;

const note = text => { $('note').textContent = text; };
function mood(now) {
  $().dataset.mood = now;
  $('mood').textContent = MOODS[now] ?? now;
  // What began by itself, or ended so, needs no second tap.
  if (now !== 'listening' && now !== 'waiting' && pressed === null) isOpen = false;
  document.body.dataset.busy = now === 'idle' && !remote ? '' : 'talk';
}

duet.mood = mood;

// What a conversation tells, wherever its microphone is.
function hear(told) {
  switch (told.kind) {
    case 'mood': mood(told.mood); break;
    case 'heard': duet.begin(told.text); note(''); break;
    case 'by': duet.by(told.by); break;
    case 'words': duet.words(told.words); break;
    case 'trouble': note(told.sentence); break;
    case 'done': if (!$('note').textContent) note(OUTCOMES[told.outcome] ?? ''); break;
    case 'view':
      mood(told.mood);
      if (told.said && told.said !== $('said').textContent && !duet.isTyped()) {
        duet.begin(told.said);
        duet.words(told.answer);
        duet.by(told.by);
      }
      note(told.trouble);
      break;
    case 'clause': remote?.player.name(told); break;
    case 'clause-end': remote?.player.end(told); break;
    case 'hush': remote?.player.hush(); break;
    case 'earcon': remote?.player.earcon(told.earcon); break;
  }
}

// Events of the PC's conversation.
async function follow(stop) {
  while (!stop.aborted && may) {
    try {
      const answer = await ask('/api/talk/events', undefined, stop);
      for await (const { kind, data } of duet.events(answer)) hear({ ...(kind === 'view' ? { kind } : {}), ...data });
    } catch (error) {
      if (!stop.aborted) note(error.message);
    }
    if (!stop.aborted) await sleep(AGAIN_MS);
  }
}

// Plays what comes down, piece after piece without a gap.
class Player {
  constructor(context, played) {
    Object.assign(this, { context, played, rate: 22050, waiting: [], n: 0, at: 0, playing: new Set(), last: null });
  }
  name({ rate }) { this.flush(); this.rate = rate; }
  push(bytes) {
    const pcm = new Int16Array(bytes);
    this.waiting.push(pcm);
    this.n += pcm.length;
    if (this.n >= this.rate * PLAY_S) this.flush();
  }
  flush() {
    if (!this.n) return;
    const buffer = this.context.createBuffer(1, this.n, this.rate), to = buffer.getChannelData(0);
    let n = 0;
    for (const pcm of this.waiting) for (const sample of pcm) to[n++] = sample / 32768;
    [this.waiting, this.n] = [[], 0];
    const from = this.context.createBufferSource();
    from.buffer = buffer;
    from.connect(this.context.destination);
    this.at = Math.max(this.at, this.context.currentTime + 0.03);
    from.start(this.at);
    this.at += buffer.duration;
    this.playing.add(from);
    from.onended = () => this.playing.delete(from);
    this.last = from;
  }
  // The node opens its ear again when the clause was heard, and that is later than when it was sent.
  end({ turn, clause }) {
    this.flush();
    const tell = () => setTimeout(() => this.played(turn, clause), 1000 * (this.context.outputLatency || 0));
    if (this.playing.has(this.last)) this.last.addEventListener('ended', tell);
    else tell();
  }
  hush() {
    for (const from of this.playing) from.stop();
    [this.waiting, this.n, this.at] = [[], 0, 0];
  }
  earcon(which) {
    const tones = { listening: [660, 880], thinking: [520], error: [330, 260] }[which] ?? [];
    tones.forEach((hz, idx) => {
      const tone = this.context.createOscillator(), gain = this.context.createGain();
      const at = this.context.currentTime + idx * 0.09;
      tone.frequency.value = hz;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(0.12, at + 0.01);
      gain.gain.linearRampToValueAtTime(0, at + 0.09);
      tone.connect(gain).connect(this.context.destination);
      tone.start(at);
      tone.stop(at + 0.1);
    });
  }
}

// This browser as a microphone and a speaker.
class Remote {
  static async begin() {
    if (!navigator.mediaDevices?.getUserMedia) throw new Error(NO_MICROPHONE);
    const sound = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: sound });
    const context = new AudioContext();
    const own = Object.assign(new Remote(), { stream, context, wants: false });
    own.player = new Player(context, (turn, clause) => own.send('played', { turn, clause }));
    try {
      await context.audioWorklet.addModule('/worklet.js');
      const begun = await (await ask('/api/session/start', { rate: context.sampleRate, name: 'browser', tells_played: true })).json();
      own.id = begun.id;
      const address = `${location.protocol.replace('http', 'ws')}//${location.host}${begun.audio}`;
      own.socket = new WebSocket(address, [begun.protocol, 'duet.ticket.' + begun.ticket]);
      own.socket.binaryType = 'arraybuffer';
      await new Promise((open, fail) => {
        own.socket.onopen = open;
        own.socket.onerror = () => fail(new Error('the WebSocket was refused'));
      });
    } catch (error) {
      own.end();
      throw error;
    }
    own.socket.onmessage = ({ data }) => typeof data === 'string' ? hear(JSON.parse(data)) : own.player.push(data);
    own.socket.onclose = ({ reason }) => own.gone(reason);
    const tap = new AudioWorkletNode(context, 'tap');
    tap.port.onmessage = ({ data }) => own.sound(data);
    context.createMediaStreamSource(stream).connect(tap);
    return own;
  }
  sound(pcm) {
    let peak = 0;
    for (const sample of pcm) peak = Math.max(peak, Math.abs(sample));
    $('level').value = peak / 32768;
    if (this.wants) this.socket.send(pcm);
  }
  press() { this.context.resume(); this.send('start'); this.wants = true; }
  release() { this.wants = false; this.send('stop'); }
  send(kind, more) { if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ kind, ...more })); }
  gone(reason) {
    if (remote !== this) return;
    this.end();
    remote = null;
    mood('idle');
    if (reason) note(reason);
  }
  end() {
    this.socket?.close();
    this.stream.getTracks().forEach(track => track.stop());
    this.context.close();
    $('level').value = 0;
  }
}

// One ear at a time.
async function listen(to) {
  source = to;
  following?.abort();
  const old = remote;
  remote = null;
  old?.end();
  mood('idle');
  note('');
  if (!may) return;
  if (source === 'pc') {
    following = new AbortController();
    follow(following.signal);
    return;
  }
  try {
    const own = await Remote.begin();
    if (source !== 'browser') return own.end();
    remote = own;
    mood('idle');
  } catch (error) {
    note(error.message);
  }
}

// One after the other, so that a stop cannot overtake its start.
let told = Promise.resolve();
function tell(path) {
  told = told.then(() => ask(path, {})).catch(error => note(error.message));
  return told;
}

async function press() {
  note('');
  if (source === 'pc') return tell('/api/talk/start');
  if (!remote) await listen('browser');
  remote?.press();
}
function release() {
  if (source === 'pc') return tell('/api/talk/stop');
  remote?.release();
}

// Held it is open while it is down; tapped it is open until the next tap.
function down() {
  if (pressed !== null) return;
  if (isOpen) {
    [isOpen, pressed] = [false, -1];
    return release();
  }
  [isOpen, pressed] = [true, performance.now()];
  press();
}
function up() {
  if (pressed === null) return;
  const since = pressed;
  pressed = null;
  if (since < 0 || performance.now() - since < TAP_MS) return;
  isOpen = false;
  release();
}
const talk = $('talk');
talk.addEventListener('pointerdown', event => { talk.setPointerCapture(event.pointerId); down(); });
for (const end of ['pointerup', 'pointercancel']) talk.addEventListener(end, up);
talk.addEventListener('contextmenu', event => event.preventDefault());
const isSpace = event => event.code === 'Space' && !$().hidden && (event.target === document.body || event.target === talk);
addEventListener('keydown', event => { if (isSpace(event)) { event.preventDefault(); if (!event.repeat) down(); } });
addEventListener('keyup', event => { if (isSpace(event)) { event.preventDefault(); up(); } });
addEventListener('blur', up);
addEventListener('pagehide', () => remote?.end());

for (const choice of document.getElementsByName('voice-source')) choice.addEventListener('change', () => listen(choice.value));
// Whoever may talk finds the ear, and whoever may not is told why.
let known = null;
duet.on('who', async who => {
  if (known === JSON.stringify(who)) return;
  known = JSON.stringify(who);
  [may, $('off').hidden] = [who.voice, true];
  [$('door').hidden, $().hidden] = [may, !may];
  $('refused').textContent = who.name && !may ? `The key ${who.name} is for the models alone; “duet keys add NAME --voice” makes one for the voice.` : '';
  if (!may) return following?.abort();
  try {
    await duet.knobs();
  } catch (error) {
    return note(error.message);
  }
  listen(source);
});
$('door').addEventListener('submit', async event => {
  event.preventDefault();
  const key = $('key').value.trim();
  [$('refused').textContent, $('key').value] = ['', ''];
  try {
    await duet.login(key);
  } catch (error) {
    $('refused').textContent = error.message;
  }
});
}
