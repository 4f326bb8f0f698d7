// Checks a broker with MQTT.js 5: node mqttjs_check.js URL [BROKER], where URL is mqtt:// or ws://; the BROKER mosquitto
// is excused from what it is known to break. NODE_PATH names the folder with the package mqtt. Prints a line for each check and stops with exit code 1 at the first that fails.
'use strict';

const assert = require('node:assert/strict');
const { createHash, randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const mqtt = require('mqtt');

const [url, broker] = process.argv.slice(2);
const WAIT = 20000; // ms that an answer may take on a slow machine
const QUIET = 300; // ms in which what must not come would have come
const NAMES = { 4: '3.1.1', 5: '5.0' };

// Client collects the messages of one connection, which does not reconnect by itself.
class Client {
  static async open(version, options = {}) {
    const c = new Client();
    c.version = version;
    c.messages = [];
    c.mqtt = mqtt.connect(url, { protocolVersion: version, reconnectPeriod: 0, connectTimeout: WAIT, ...options });
    c.mqtt.on('message', (topic, payload, packet) => {
      c.messages.push(packet);
      c.wake?.();
    });
    c.closed = new Promise((resolve) => { c.mqtt.once('close', resolve); });
    c.connack = await new Promise((resolve, reject) => {
      c.mqtt.once('connect', resolve);
      c.mqtt.once('error', reject);
      c.mqtt.once('close', () => reject(new Error('closed before CONNACK')));
    });
    c.mqtt.on('error', () => {});
    return c;
  }

  async next() {
    const deadline = Date.now() + WAIT;
    while (this.messages.length === 0) {
      assert(Date.now() < deadline, 'no message came');
      await Promise.race([new Promise((resolve) => { this.wake = resolve; }), sleep(100)]);
    }
    return this.messages.shift();
  }

  async nothing(what) {
    await sleep(QUIET);
    assert.equal(this.messages.length, 0, what);
  }

  publish(topic, payload, options) { return this.mqtt.publishAsync(topic, payload, options); }

  async subscribe(topic, options = { qos: 0 }) {
    const granted = await this.mqtt.subscribeAsync(topic, options);
    assert.equal(granted[0].qos, options.qos, `granted QoS of ${topic.slice(0, 40)}`);
  }

  close() { return this.mqtt.endAsync(); }

  // cut ends the Network Connection without a DISCONNECT.
  async cut() {
    this.mqtt.stream.destroy();
    await this.closed;
  }
}

async function delivery(v) {
  const a = await Client.open(v);
  const b = await Client.open(v);
  const payloads = [Buffer.alloc(0), Buffer.from('text'), Buffer.from(Array.from({ length: 256 }, (_, i) => i)), Buffer.alloc(1000)];
  for (const granted of [0, 1, 2]) {
    await a.subscribe(`js/delivery/${granted}/#`, { qos: granted });
    for (const qos of [0, 1, 2]) {
      for (const payload of payloads) {
        await b.publish(`js/delivery/${granted}/${qos}`, payload, { qos });
        const m = await a.next();
        assert.deepEqual([m.topic, m.payload, m.qos, m.retain, m.dup],
          [`js/delivery/${granted}/${qos}`, payload, Math.min(qos, granted), false, false]);
      }
    }
  }
  await a.close();
  await b.close();
}

async function order(v) {
  const a = await Client.open(v);
  const b = await Client.open(v);
  for (const qos of [0, 1, 2]) {
    await a.subscribe(`js/order/${qos}`, { qos });
    const sent = Array.from({ length: 2000 }, (_, i) => String(i));
    const acks = [];
    const all = (async () => {
      for (const [i, s] of sent.entries()) {
        // MQTT.js does not keep to the server's Receive Maximum by itself; mosquitto's is 20, in 3.1.1 unsaid.
        if (i >= 20) await acks[i - 20];
        acks.push(b.publish(`js/order/${qos}`, s, { qos }));
      }
      await Promise.all(acks);
    })();
    for (const s of sent) assert.equal((await a.next()).payload.toString(), s, `order at QoS ${qos}`);
    await all;
    await a.nothing(`duplicates at QoS ${qos}`);
  }
  await a.close();
  await b.close();
}

async function retained(v) {
  const topic = `js/retained/${v}`;
  const b = await Client.open(v);
  await b.publish(topic, 'old', { qos: 1, retain: true });
  await b.publish(topic, Buffer.from([0, 1, 0]), { qos: 1, retain: true });
  const a = await Client.open(v);
  await a.subscribe(topic, { qos: 1 });
  const m = await a.next();
  assert.deepEqual([m.payload, m.retain, m.qos], [Buffer.from([0, 1, 0]), true, 1]);
  await b.publish(topic, '', { qos: 1, retain: true });
  assert.equal((await a.next()).retain, false, 'retain flag to a subscriber that was there');
  await a.mqtt.unsubscribeAsync(topic);
  await a.subscribe(topic, { qos: 1 });
  await a.nothing('retained message after it was cleared');
  await a.close();
  await b.close();
}

async function wills(v) {
  const will = { topic: `js/will/${v}`, payload: Buffer.from('gone\0'), qos: 1, retain: false };
  if (v === 5) will.properties = { contentType: 'text/plain', userProperties: { why: 'cut' } };
  const a = await Client.open(v);
  await a.subscribe(will.topic, { qos: 1 });
  await (await Client.open(v, { will })).close();
  await a.nothing('will after DISCONNECT');
  await (await Client.open(v, { will })).cut();
  const m = await a.next();
  assert.deepEqual([m.payload, m.qos], [will.payload, 1]);
  if (v === 5) {
    assert.deepEqual([m.properties.contentType, m.properties.userProperties.why], ['text/plain', 'cut']);
    const d = await Client.open(v, { will });
    await d.mqtt.endAsync(false, { reasonCode: 4 });
    assert.deepEqual((await a.next()).payload, will.payload, 'will after DISCONNECT with Will Message (0x04)');
  }
  await a.close();
}

async function session(v) {
  const clientId = `js-${randomUUID()}`; // one without a session
  const topic = `js/session/${v}`;
  const keep = { clientId, clean: false, ...(v === 5 && { properties: { sessionExpiryInterval: 300 } }) };
  let a = await Client.open(v, keep);
  assert.equal(a.connack.sessionPresent, false, 'Session Present of a new session');
  await a.subscribe(topic, { qos: 2 });
  await a.cut();
  const b = await Client.open(v);
  for (let i = 0; i < 50; i++) await b.publish(topic, String(i), { qos: 1 + (i % 2) });
  a = await Client.open(v, keep);
  assert.equal(a.connack.sessionPresent, true, 'Session Present');
  const got = [];
  while (got.length < 50) got.push(await a.next());
  for (const qos of [1, 2]) { // the order is promised for each QoS
    assert.deepEqual(got.filter((m) => m.qos === qos).map((m) => m.payload.toString()),
      Array.from({ length: 25 }, (_, i) => String(2 * i + qos - 1)), `messages of QoS ${qos} that waited`);
  }
  await a.close();
  a = await Client.open(v, { clientId, clean: true });
  assert.equal(a.connack.sessionPresent, false, 'Session Present after a clean start');
  await a.close();
  await b.close();
}

async function takeover(v) {
  const a = await Client.open(v, { clientId: 'js-twin' });
  let reason;
  a.mqtt.on('disconnect', (packet) => { reason = packet.reasonCode; });
  const b = await Client.open(v, { clientId: 'js-twin' });
  await a.closed;
  // mosquitto 2.0 closes the old connection without the DISCONNECT that [MQTT-3.1.4-3] asks for.
  if (v === 5 && broker !== 'mosquitto') assert.equal(reason, 0x8e, 'DISCONNECT Session taken over');
  await b.subscribe('js/twin', { qos: 1 });
  await b.publish('js/twin', 'x', { qos: 1 });
  await b.next();
  await b.close();
}

async function big(v) {
  // mosquitto 2.0 loses a message of this size that comes in one WebSocket frame.
  if (broker === 'mosquitto' && url.startsWith('ws:')) return;
  const payload = Buffer.alloc(10 * 1024 * 1024, createHash('sha256').update('seed').digest());
  const a = await Client.open(v);
  const b = await Client.open(v);
  for (const qos of [0, 1, 2]) {
    await a.subscribe(`js/big/${qos}`, { qos });
    await b.publish(`js/big/${qos}`, payload, { qos });
    assert((await a.next()).payload.equals(payload), `10 MiB at QoS ${qos}`);
  }
  await a.close();
  await b.close();
}

async function longTopic(v) {
  const topic = `js/${'é'.repeat(32766)}`;
  assert.equal(Buffer.byteLength(topic), 65535);
  const a = await Client.open(v);
  await a.subscribe(topic, { qos: 1 });
  await a.publish(topic, 'x', { qos: 1 });
  assert.equal((await a.next()).topic, topic);
  await a.close();
}

async function keepAlive(v) {
  const a = await Client.open(v, { keepalive: 1 });
  await a.subscribe('js/keep', { qos: 1 });
  await sleep(2500);
  await a.publish('js/keep', 'still here', { qos: 1 });
  await a.next();
  await a.close();
}

async function properties(v) {
  const a = await Client.open(v);
  const b = await Client.open(v);
  const sent = {
    payloadFormatIndicator: true, messageExpiryInterval: 60, contentType: 'text/plain', responseTopic: 'js/answer',
    correlationData: Buffer.from([0, 1, 2]), userProperties: { a: ['1', '2'], b: '' },
  };
  await a.subscribe('js/properties/#', { qos: 2, properties: { subscriptionIdentifier: 7 } });
  await a.subscribe('js/properties', { qos: 2, properties: { subscriptionIdentifier: 8 } });
  for (const qos of [0, 1, 2]) {
    await b.publish('js/properties', 'x', { qos, properties: sent });
    const ids = [];
    while (ids.length < 2) { // overlapping subscriptions: one message with both identifiers, or one for each
      const { subscriptionIdentifier, messageExpiryInterval, ...got } = (await a.next()).properties;
      ids.push(...[subscriptionIdentifier].flat());
      const { messageExpiryInterval: _, ...want } = sent;
      assert.deepEqual({ ...got, userProperties: { ...got.userProperties } }, want);
      assert(messageExpiryInterval >= 58 && messageExpiryInterval <= 60, 'Message Expiry Interval that is left');
    }
    assert.deepEqual(ids.sort(), [7, 8], 'Subscription Identifiers');
  }
  await a.close();
  await b.close();
}

async function options(v) {
  const a = await Client.open(v);
  await a.subscribe('js/options/local', { qos: 1, nl: true });
  await a.publish('js/options/local', 'own', { qos: 1 });
  await a.nothing('own message with No Local');
  await a.publish('js/options/kept', 'x', { qos: 1, retain: true });
  await a.subscribe('js/options/kept', { qos: 1, rh: 2 });
  await a.nothing('retained message with Retain Handling 2');
  // mosquitto 2.0 keeps Retain As Published of the subscription that was there, against [MQTT-3.8.4-3].
  if (broker === 'mosquitto') await a.mqtt.unsubscribeAsync('js/options/kept');
  await a.subscribe('js/options/kept', { qos: 1, rh: 0, rap: true });
  assert.equal((await a.next()).retain, true);
  await a.publish('js/options/kept', 'y', { qos: 1, retain: true });
  assert.equal((await a.next()).retain, true, 'retain flag with Retain As Published');
  await a.publish('js/options/kept', '', { qos: 1, retain: true });
  await a.close();
}

async function shared(v) {
  const members = [await Client.open(v), await Client.open(v), await Client.open(v)];
  for (const m of members) await m.subscribe('$share/group/js/shared/#', { qos: 1 });
  for (let i = 0; i < 90; i++) await members[0].publish(`js/shared/${i % 7}`, String(i), { qos: 1 });
  await sleep(2 * QUIET);
  assert.equal(members.reduce((n, m) => n + m.messages.length, 0), 90, 'messages to the group');
  for (const m of members) await m.close();
}

async function aliases(v) {
  const a = await Client.open(v, { properties: { topicAliasMaximum: 5 } });
  const b = await Client.open(v, { autoAssignTopicAlias: true });
  assert(b.connack.properties.topicAliasMaximum > 0, 'Topic Alias Maximum of the server');
  await a.subscribe('js/alias/+', { qos: 1 });
  for (let i = 0; i < 200; i++) {
    await b.publish(`js/alias/${i % 20}`, String(i), { qos: i % 2 });
    const m = await a.next();
    assert.deepEqual([m.payload.toString(), m.topic || `js/alias/${i % 20}`], [String(i), `js/alias/${i % 20}`]);
  }
  await a.close();
  await b.close();
}

async function main() {
  const all = [delivery, order, retained, wills, session, takeover, big, longTopic, keepAlive];
  const only5 = [properties, options, shared, aliases];
  for (const v of [4, 5]) {
    for (const check of v === 5 ? [...all, ...only5] : all) {
      const name = `MQTT.js ${NAMES[v]} ${check.name}`;
      const start = Date.now();
      try {
        await check(v);
      } catch (e) {
        console.log(`FAIL ${name}: ${e.message}`);
        process.exit(1);
      }
      console.log(`ok ${name} (${((Date.now() - start) / 1000).toFixed(2)}s)`);
    }
  }
  process.exit(0);
}

process.on('unhandledRejection', (e) => {
  console.log(`FAIL MQTT.js: ${e.message}`);
  process.exit(1);
});
main();
