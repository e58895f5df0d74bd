// Runs on the audio thread: the microphone's samples at the model's rate, in pieces of 40 ms.

const CROSSINGS = 16; // zero crossings of the filter on each side
const SUBDIVISIONS = 256; // of its table, between two crossings
const PASSBAND = 0.94; // of the lower Nyquist frequency

// Windowed sinc; samples come in blocks of any size, and none is lost between two.
class Resampler {
  constructor(rateIn, rateOut) {
    this.stride = rateIn / rateOut;
    this.cutoff = PASSBAND * Math.min(1, rateOut / rateIn);
    this.reach = Math.ceil(CROSSINGS / this.cutoff);
    this.history = new Float32Array(this.reach);
    this.position = this.reach; // of the next output, in samples of history + block
    this.table = Float32Array.from({ length: CROSSINGS * SUBDIVISIONS + 2 }, (_, index) => {
      const x = index / SUBDIVISIONS;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
      return x >= CROSSINGS ? 0 : sinc * Math.cos((Math.PI * x) / (2 * CROSSINGS)) ** 2;
    });
  }

  push(block) {
    const samples = new Float32Array(this.history.length + block.length);
    samples.set(this.history);
    samples.set(block, this.history.length);
    const out = [];
    for (; this.position + this.reach < samples.length; this.position += this.stride) {
      const first = Math.ceil(this.position - this.reach);
      const last = Math.floor(this.position + this.reach);
      let sum = 0;
      for (let index = Math.max(first, 0); index <= last; index++) {
        const place = Math.abs(index - this.position) * this.cutoff * SUBDIVISIONS;
        const row = Math.floor(place);
        if (row >= CROSSINGS * SUBDIVISIONS) continue;
        sum += samples[index] * (this.table[row] + (place - row) * (this.table[row + 1] - this.table[row]));
      }
      out.push(sum * this.cutoff);
    }
    const kept = Math.max(0, Math.floor(this.position) - this.reach);
    this.history = samples.slice(kept);
    this.position -= kept;
    return out;
  }
}

if (typeof registerProcessor === "function") {
  registerProcessor("microphone", class extends AudioWorkletProcessor {
    constructor({ processorOptions: { rate } }) {
      super();
      this.resampler = new Resampler(sampleRate, rate);
      this.piece = Math.round(rate / 25);
      this.waiting = [];
      this.open = true;
      this.port.onmessage = () => {
        // What the filter still waits for is silence.
        this.waiting.push(...this.resampler.push(new Float32Array(this.resampler.reach + 1)));
        this.give(this.waiting.length);
        this.port.postMessage(null);
        this.open = false;
      };
    }

    give(count) {
      const samples = Float32Array.from(this.waiting.splice(0, count));
      this.port.postMessage(samples, [samples.buffer]);
    }

    process([channels]) {
      if (!this.open || !channels.length) return this.open;
      const mono = new Float32Array(channels[0].length);
      for (const channel of channels) channel.forEach((value, index) => { mono[index] += value / channels.length; });
      this.waiting.push(...this.resampler.push(mono));
      while (this.waiting.length >= this.piece) this.give(this.piece);
      return true;
    }
  });
} else {
  globalThis.Resampler = Resampler;
}
