import heartline = require("heartline");
import dialects = require("heartline/dialects");
import testing = require("heartline/testing");

const conn = heartline.connect("wss://host/", { dialect: dialects.heart, timers: new testing.ManualTimers() });
void conn.close();
