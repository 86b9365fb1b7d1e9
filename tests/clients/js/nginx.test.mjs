// What nginx in front of a gateway offers over TLS. PORT is where it listens, CERTIFICATE who signed for it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { get } from "node:https";
import { describe, it } from "node:test";
import { connect } from "node:tls";

const { PORT: port, CERTIFICATE } = process.env;
const ca = readFileSync(CERTIFICATE);
const handshake = "/socket.io/?EIO=4&transport=polling";

// Begins a handshake of one version alone.
function start(version, options) {
  return connect({ port, host: "localhost", ca, minVersion: version, maxVersion: version, ...options });
}

describe("TLS", () => {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    it(`${version} is spoken`, async () => {
      const socket = start(version);
      await once(socket, "secureConnect");
      assert.equal(socket.getProtocol(), version);
      socket.destroy();
    });
  }

  for (const version of ["TLSv1", "TLSv1.1"]) {
    it(`${version} is refused by the server`, async () => {
      // Security level 0: else the client wouldn't even try.
      const socket = start(version, { ciphers: "DEFAULT:@SECLEVEL=0" });
      const [error] = await once(socket, "error");
      assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION");
    });
  }

  it("1.2 has no cipher without forward secrecy", async () => {
    const socket = start("TLSv1.2", { ciphers: "AES128-GCM-SHA256:AES256-SHA256:AES128-SHA" });
    const [error] = await once(socket, "error");
    assert.match(error.code, /HANDSHAKE_FAILURE/);
  });
});

describe("HTTP", () => {
  it("2 is offered and serves", async () => {
    const session = connectHttp2(`https://localhost:${port}`, { ca });
    const request = session.request({ ":path": handshake });
    const [headers] = await once(request, "response");
    assert.equal(headers[":status"], 200);
    assert.match(headers["strict-transport-security"], /^max-age=\d{7,}$/);
    request.setEncoding("utf8");
    let body = "";
    for await (const part of request) body += part;
    assert.match(body, /^0\{"sid":/);
    session.close();
    await once(session, "close");
  });

  it("1.1 is offered, for WebSockets", async () => {
    const [response] = await once(get({ port, host: "localhost", ca, path: handshake }), "response");
    assert.equal(response.statusCode, 200);
    assert.equal(response.httpVersion, "1.1");
    response.resume();
    await once(response, "end");
  });
});
