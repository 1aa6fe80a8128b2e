/** Only compiled: the adapters take the real `wx`, as its own typings describe it. */

/// <reference types="miniprogram-api-typings" />

import { connect, miniProgram, miniProgramStore, shared } from "heartline";

const conn = connect("wss://host/", { platform: miniProgram(wx), store: miniProgramStore(wx) });
void conn.close();

Page({
  scope: shared("wss://host/").scope(),
  onUnload() {
    this.scope.close();
  },
});
