// The page: sound in, a picture of it, and text that settles. Nothing is fetched from elsewhere.

const element = (id) => document.getElementById(id);
const UNSURE = 0.6; // confidence below which a word is marked
const seconds = (value) => `${value.toFixed(value < 10 ? 2 : 1)} s`;

let model = null;
let going = null; // what is being recognised now: { stop() }

// ---- what is shown ----

const shown = {
  status(text) { element("status").textContent = text; },
  fault(text) {
    element("fault").hidden = !text;
    element("fault").textContent = text;
  },
  clear() {
    this.fault("");
    element("stable").replaceChildren();
    element("tentative").textContent = "";
    element("heard").textContent = "0.0 s";
    element("behind").textContent = element("delay").textContent = "–";
    element("copy").disabled = true;
    spectrogram.clear();
  },
  partial({ stable, tentative }) {
    const before = element("stable").textContent;
    // Only what is new is added, so that a screen reader says only that.
    if (stable.startsWith(before)) element("stable").append(stable.slice(before.length));
    else element("stable").textContent = stable;
    element("tentative").textContent = tentative;
  },
  final({ text, words }) {
    element("tentative").textContent = "";
    const before = element("stable").textContent;
    if (text !== before) this.partial({ stable: text, tentative: "" });
    if (words.some((word) => word.confidence < UNSURE)) mark(text, words);
    element("copy").disabled = !text;
  },
  running(yes) {
    element("speak").setAttribute("aria-pressed", String(yes));
    element("speak-label").textContent = yes ? "Stop" : "Speak";
    element("file").disabled = yes;
    element("file-label").classList.toggle("off", yes);
  },
};

// Words one was unsure of get a line; it waits, so that a live region is not read twice.
function mark(text, words) {
  const parts = [];
  let place = 0;
  for (const word of words) {
    const found = text.indexOf(word.text, place);
    if (found < 0) return;
    parts.push(text.slice(place, found));
    const span = document.createElement("span");
    span.textContent = word.text;
    if (word.confidence < UNSURE) span.className = "unsure";
    span.title = `${(word.start_ms / 1000).toFixed(2)} s, confidence ${Math.round(100 * word.confidence)} %`;
    parts.push(span);
    place = found + word.text.length;
  }
  const stable = element("stable");
  stable.setAttribute("aria-live", "off");
  stable.replaceChildren(...parts, text.slice(place));
  setTimeout(() => stable.setAttribute("aria-live", "polite"), 500);
}

// ---- the spectrogram ----

class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.size = 512;
    this.window = Float64Array.from({ length: this.size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / this.size));
    const stops = [[8, 9, 20], [48, 18, 98], [118, 34, 129], [196, 58, 102], [247, 124, 56], [252, 200, 94], [252, 253, 205]];
    this.colors = Array.from({ length: 256 }, (_, value) => {
      const place = (value / 255) * (stops.length - 1);
      const low = Math.min(Math.floor(place), stops.length - 2);
      return stops[low].map((from, index) => from + (place - low) * (stops[low + 1][index] - from));
    });
    this.clear();
  }

  clear() {
    this.waiting = [];
    this.context.fillStyle = "rgb(8 9 20)";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  add(samples, rate) {
    for (const sample of samples) this.waiting.push(sample);
    const hop = Math.round(rate / 100);
    const columns = [];
    let start = 0;
    for (; start + this.size <= this.waiting.length; start += hop) columns.push(this.column(start));
    this.waiting.splice(0, start);
    this.draw(columns.slice(-this.canvas.width));
  }

  column(start) {
    const real = this.window.map((weight, n) => weight * this.waiting[start + n]);
    const imaginary = new Float64Array(this.size);
    transform(real, imaginary);
    return Float64Array.from({ length: this.size / 2 }, (_, bin) => 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-9));
  }

  draw(columns) {
    if (!columns.length) return;
    const { width, height } = this.canvas;
    this.context.drawImage(this.canvas, -columns.length, 0);
    const image = this.context.createImageData(columns.length, height);
    columns.forEach((levels, x) => {
      for (let y = 0; y < height; y++) {
        const bin = Math.floor(((height - 1 - y) / height) * levels.length);
        const value = Math.max(0, Math.min(255, Math.round(((levels[bin] + 45) / 80) * 255)));
        image.data.set([...this.colors[value], 255], 4 * (y * columns.length + x));
      }
    });
    this.context.putImageData(image, width - columns.length, 0);
  }
}

// In place; the length is a power of two.
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]];
  }
  for (let length = 2; length <= size; length *= 2) {
    for (let start = 0; start < size; start += length) {
      for (let k = 0; k < length / 2; k++) {
        const angle = (-2 * Math.PI * k) / length;
        const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
        const [even, odd] = [start + k, start + k + length / 2];
        const [a, b] = [real[odd] * cosine - imaginary[odd] * sine, real[odd] * sine + imaginary[odd] * cosine];
        [real[odd], imaginary[odd]] = [real[even] - a, imaginary[even] - b];
        real[even] += a;
        imaginary[even] += b;
      }
    }
  }
}

const spectrogram = new Spectrogram(element("spectrogram"));

// ---- recognition: live, or of the whole ----

// A browser reads int16 to floats with these two scales: what it decoded comes back as it was.
const toPcm = (samples) => Int16Array.from(samples, (value) => Math.round(Math.max(-1, Math.min(1, value)) * (value < 0 ? 32768 : 32767)));

class LiveStream {
  constructor() {
    this.sent = 0;
    this.result = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.result.catch(() => {});
    const address = new URL("/v1/stream", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.ready = new Promise((resolve) => { this.isReady = resolve; });
    this.socket.onopen = () => this.say({ type: "start", sampling_rate: model.sampling_rate, encoding: "pcm16", ...(element("token").value && { token: element("token").value }) });
    this.socket.onmessage = ({ data }) => this.told(JSON.parse(data));
    this.socket.onclose = ({ reason }) => this.fail(reason || "the connection to the server broke off");
  }

  say(message) { this.socket.send(JSON.stringify(message)); }

  fail(text) {
    this.failed = true;
    this.isReady();
    this.reject(new Error(text));
  }

  told(message) {
    if (message.type === "ready") this.isReady();
    if (message.type === "partial") {
      shown.partial(message);
      element("behind").textContent = seconds(Math.max(0, this.sent - message.seconds));
    }
    if (message.type === "final") {
      if (this.endedAt) element("delay").textContent = seconds((performance.now() - this.endedAt) / 1000);
      if (message.complete) this.resolve(message);
      else this.cutShort = message;
    }
    if (message.type === "error") {
      if (this.cutShort) shown.final(this.cutShort);
      this.fail(message.message);
    }
  }

  async add(samples) {
    await this.ready;
    if (this.failed) return;
    this.socket.send(toPcm(samples));
    this.sent += samples.length / model.sampling_rate;
    element("heard").textContent = seconds(this.sent);
    while (this.socket.bufferedAmount > 65536 && !this.failed) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async end() {
    await this.ready;
    if (!this.failed) this.say({ type: "end" });
    this.endedAt = performance.now();
    return this.result;
  }
}

class WholeRecording {
  constructor() { this.pieces = []; this.sent = 0; }

  async add(samples) {
    this.pieces.push(toPcm(samples));
    this.sent += samples.length / model.sampling_rate;
    element("heard").textContent = seconds(this.sent);
  }

  async end() {
    const begin = performance.now();
    const bytes = this.pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    const head = new DataView(new ArrayBuffer(44));
    [..."RIFF....WAVEfmt "].forEach((letter, index) => head.setUint8(index, letter.charCodeAt(0)));
    head.setUint32(4, 36 + bytes, true);
    head.setUint32(16, 16, true);
    head.setUint16(20, 1, true);
    head.setUint16(22, 1, true);
    head.setUint32(24, model.sampling_rate, true);
    head.setUint32(28, 2 * model.sampling_rate, true);
    head.setUint16(32, 2, true);
    head.setUint16(34, 16, true);
    [..."data"].forEach((letter, index) => head.setUint8(36 + index, letter.charCodeAt(0)));
    head.setUint32(40, bytes, true);
    const token = element("token").value;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch("/v1/transcribe", { method: "POST", headers, body: new Blob([head, ...this.pieces]) });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    element("delay").textContent = seconds((performance.now() - begin) / 1000);
    return found;
  }
}

// ---- where sound comes from ----

// Asks for the microphone and opens it; nothing is heard before `start`.
async function openMicrophone() {
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone only to pages of https or of this machine (localhost): open a file, or serve with TLS.");
  const media = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  const context = new AudioContext();
  const release = async () => {
    for (const track of media.getTracks()) track.stop();
    await context.close();
  };
  try {
    await context.audioWorklet.addModule("/microphone.js");
    await context.resume();
  } catch (error) {
    await release();
    throw error;
  }
  const source = context.createMediaStreamSource(media);
  let node = null;
  let over = null;
  return {
    start(take) {
      let queue = Promise.resolve();
      node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0, processorOptions: { rate: model.sampling_rate } });
      over = new Promise((resolve) => {
        node.port.onmessage = ({ data }) => {
          if (data) queue = queue.then(() => take(data));
          else resolve(queue);
        };
      });
      source.connect(node);
    },
    async close() {
      if (node) {
        source.disconnect();
        node.port.postMessage("stop");
        await over;
      }
      await release();
    },
  };
}

async function samplesOf(file) {
  // A context of the model's rate decodes to that rate, and leaves a file alone that has it.
  const decoded = await new OfflineAudioContext(1, 1, model.sampling_rate).decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
    decoded.getChannelData(channel).forEach((value, index) => { mono[index] += value / decoded.numberOfChannels; });
  }
  return mono;
}

// ---- what a person does ----

function begin(status) {
  shown.clear();
  shown.running(true);
  shown.status(status);
  const recognition = model.streams ? new LiveStream() : new WholeRecording();
  const take = async (samples) => {
    spectrogram.add(samples, model.sampling_rate);
    await recognition.add(samples);
  };
  return { recognition, take };
}

async function finish(recognition) {
  shown.status("Reading to the end …");
  shown.final(await recognition.end());
  shown.status("Done");
}

function over(error) {
  going = null;
  shown.running(false);
  element("speak").disabled = false;
  if (!error) return;
  shown.status("Stopped");
  shown.fault(error.name === "NotAllowedError" ? "The browser may not use the microphone: allow it in the address bar." : error.message);
}

async function speak() {
  if (going) return going.stop();
  let microphone = null;
  let recognition = null;
  let stopped = false;
  const stop = async (error) => {
    if (stopped) return;
    stopped = true;
    element("speak").disabled = true;
    try {
      await microphone?.close();
      if (error) throw error;
      if (recognition) await finish(recognition);
      else shown.status("Stopped");
      over();
    } catch (fault) {
      recognition?.socket?.close();
      over(fault);
    }
  };
  going = { stop: () => stop() };
  shown.clear();
  shown.running(true);
  shown.status("Waiting for the microphone …");
  try {
    // A person may take long to allow it, and stop meanwhile: the server is not asked before.
    const opened = await openMicrophone();
    if (stopped) return opened.close();
    microphone = opened;
    const begun = begin("Listening");
    recognition = begun.recognition;
    microphone.start(begun.take);
  } catch (error) {
    return stop(error);
  }
  recognition.result?.catch(stop);
}

async function open(file) {
  if (!file || going) return;
  going = { stop: async () => {} };
  element("speak").disabled = true;
  let recognition;
  try {
    shown.clear();
    const samples = await samplesOf(file).catch(() => { throw new Error(`${file.name}: this browser cannot read it as audio`); });
    const begun = begin(`Reading ${file.name}`);
    recognition = begun.recognition;
    const piece = Math.round(model.sampling_rate / 10);
    for (let start = 0; start < samples.length; start += piece) {
      await begun.take(samples.subarray(start, start + piece));
      await new Promise((resolve) => setTimeout(resolve)); // lets the picture be drawn
    }
    await finish(recognition);
    over();
  } catch (error) {
    recognition?.socket?.close();
    over(error);
  }
}

async function main() {
  const answer = await fetch("/v1/model");
  model = await answer.json();
  const kilohertz = model.sampling_rate / 1000;
  element("facts").textContent = model.streams
    ? `Writes while you speak, at most ${seconds(model.latency_ms / 1000)} of sound behind. The model hears ${kilohertz} kHz.`
    : `This model reads a whole recording, then writes. It hears ${kilohertz} kHz.`;
  element("top-pitch").textContent = `${kilohertz / 2} kHz`;
  element("token-form").hidden = !model.needs_token;
  element("speak").disabled = element("file").disabled = false;
  element("speak").onclick = speak;
  element("file").onchange = ({ target }) => { open(target.files[0]); target.value = ""; };
  element("token-form").onsubmit = (event) => event.preventDefault();
  element("copy").onclick = async () => {
    try {
      await navigator.clipboard.writeText(element("stable").textContent);
      shown.status("Copied");
    } catch { // over plain HTTP, or not allowed: then by hand
      getSelection().selectAllChildren(element("stable"));
      shown.status("Selected: copy it with Ctrl+C or Cmd+C");
    }
  };
  document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("dropping"); };
  document.ondragleave = () => document.body.classList.remove("dropping");
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    open(event.dataTransfer.files[0]);
  };
}

main().catch((error) => shown.fault(`The server does not answer: ${error.message}`));
