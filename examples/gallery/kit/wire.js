/** What is on the wire of a page, seen from its sockets: every message, and the beats among them. */

/** How each system spells a beat, and what answers it. */
const BEATS = {
  native: { say: /^\["ping",/, answer: /^\["pong",/ },
  heart: { say: /^ping$/, answer: /^pong$/ },
  card: { say: /"type":"heartBeat"/, answer: null },
  echo: { say: /"ModeCode":"heart_beat"/, answer: /"ModeCode":"heart_beat"/ },
  trades: { say: /"type":"Ping"/, answer: null },
  community: { say: /"Operator":"Heart"[,}]/, answer: /"Operator":"HeartOK"/ },
};

/** A tap on the sockets of one page. `told(what, text)` is called with "up", "down", "note" or "lost". */
export class Wire {
  constructor(system, told) {
    this._spelt = BEATS[system] || { say: null, answer: null };
    this._told = told;
    this._said = null; // when the beat was said that no answer has come to
    /** Sockets made. */
    this.dials = 0;
    this.sent = 0;
    this.answered = 0;
    /** Milliseconds of the last round trip; null: none yet. */
    this.roundTrip = null;
    /** The last beats: milliseconds, or null where no answer came, or undefined for one that is under way. */
    this.trips = [];
  }

  /** Whether the protocol answers beats at all. */
  get answers() {
    return this._spelt.answer !== null;
  }

  /** A platform whose sockets are tapped. */
  tapped(platform) {
    return {
      ...platform,
      connectSocket: (url, protocols) => this._tap(platform.connectSocket(url, protocols)),
    };
  }

  _tap(socket) {
    this.dials++;
    const send = socket.send.bind(socket);
    socket.send = (text) => {
      send(text);
      this._went(text);
    };
    socket.addEventListener("open", () => this._told("note", "open"));
    socket.addEventListener("message", ({ data }) => this._came(typeof data === "string" ? data : `[${data.byteLength ?? data.size} bytes]`));
    socket.addEventListener("close", ({ code, reason }) => {
      this._lose();
      this._told("lost", `close ${code}${reason ? ` ${reason}` : ""}`);
    });
    return socket;
  }

  _went(text) {
    if (this._spelt.say && this._spelt.say.test(text)) {
      this.sent++;
      this._lose();
      if (this.answers) {
        this._said = performance.now();
        this._push(undefined);
      }
    }
    this._told("up", text);
  }

  _came(text) {
    if (this._said !== null && this._spelt.answer && this._spelt.answer.test(text)) {
      this.answered++;
      this.roundTrip = performance.now() - this._said;
      this._said = null;
      this.trips[this.trips.length - 1] = this.roundTrip;
    }
    this._told("down", text);
  }

  /** The beat under way stays without answer. */
  _lose() {
    if (this._said === null) return;
    this._said = null;
    this.trips[this.trips.length - 1] = null;
  }

  _push(trip) {
    this.trips.push(trip);
    if (this.trips.length > 40) this.trips.shift();
  }
}
