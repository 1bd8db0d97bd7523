'use strict';
// Takes the sound of the browser's microphone, as 16-bit samples in pieces of about 20 ms.
class Tap extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(1024);
    this.n = 0;
  }
  process([input]) {
    for (const sample of input[0] ?? []) {
      this.piece[this.n++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.n === this.piece.length) {
        this.port.postMessage(this.piece.slice());
        this.n = 0;
      }
    }
    return true;
  }
}
registerProcessor('tap', Tap);
