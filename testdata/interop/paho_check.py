"""Checks a broker with paho-mqtt 1.6: paho_check.py URL, where URL is mqtt:// or ws://.

Prints a line for each check and stops with exit code 1 at the first that fails.
"""

import hashlib
import os
import queue
import sys
import time
from urllib.parse import urlparse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

URL = urlparse(sys.argv[1])
WAIT = 20  # seconds that an answer may take on a slow machine
QUIET = 0.3  # seconds in which what must not come would have come
NAMES = {mqtt.MQTTv31: "3.1", mqtt.MQTTv311: "3.1.1", mqtt.MQTTv5: "5.0"}


class Failure(Exception):
    pass


def fresh(kind):
    """A Client Identifier without a session, of the 23 bytes that 3.1 allows."""
    return kind + os.urandom(11).hex()


def want(got, expected, what):
    if got != expected:
        raise Failure(f"{what}: got {got!r:.200}, want {expected!r:.200}")


class Client:
    """A connection with its own network thread; everything that arrives goes to queues."""

    def __init__(self, version, client_id="", clean=True, expiry=None, will=None, connect=None, keepalive=60):
        self.v5 = version == mqtt.MQTTv5
        options = {} if self.v5 else {"clean_session": clean}
        self.c = mqtt.Client(client_id, protocol=version, reconnect_on_failure=False,
                             transport="websockets" if URL.scheme == "ws" else "tcp", **options)
        if URL.scheme == "ws":
            self.c.ws_set_options(path=URL.path or "/mqtt")
        self.messages, self.acks, self.connacks, self.losses = (queue.Queue() for _ in range(4))
        self.c.on_message = lambda c, u, m: self.messages.put(m)
        self.c.on_connect = lambda c, u, flags, rc, *p: self.connacks.put((flags["session present"], rc, *p))
        self.c.on_subscribe = lambda c, u, mid, codes, *p: self.acks.put([getattr(x, "value", x) for x in codes])
        self.c.on_unsubscribe = lambda c, u, mid, *p: self.acks.put(mid)
        self.c.on_disconnect = lambda c, u, rc, *p: self.losses.put(rc)
        if will:
            self.c.will_set(**will)
        if self.v5:
            connect = connect or Properties(PacketTypes.CONNECT)
            if expiry is not None:
                connect.SessionExpiryInterval = expiry
            self.c.connect(URL.hostname, URL.port, keepalive, clean_start=clean, properties=connect)
        else:
            self.c.connect(URL.hostname, URL.port, keepalive)
        self.c.loop_start()
        self.present, rc, *properties = self.connacks.get(timeout=WAIT)
        self.properties = properties[0] if properties else None
        want(getattr(rc, "value", rc), 0, "CONNACK reason")

    def subscribe(self, topic, qos=0, **options):
        if self.v5:
            properties = options.pop("properties", None)
            self.c.subscribe(topic, options=SubscribeOptions(qos, **options), properties=properties)
        else:
            self.c.subscribe(topic, qos)
        want(self.acks.get(timeout=WAIT), [qos], f"SUBACK of {topic[:40]}")

    def publish(self, topic, payload, qos=0, retain=False, properties=None):
        info = self.c.publish(topic, payload, qos, retain, properties)
        info.wait_for_publish(WAIT)
        want(info.is_published(), True, f"acknowledgement of QoS {qos}")

    def next(self):
        try:
            return self.messages.get(timeout=WAIT)
        except queue.Empty:
            raise Failure("no message came") from None

    def nothing(self, what):
        time.sleep(QUIET)
        want(self.messages.qsize(), 0, what)

    def close(self):
        self.c.disconnect()
        self.losses.get(timeout=WAIT)
        self.c.loop_stop()

    def cut(self):
        """Ends the Network Connection without a DISCONNECT."""
        self.c.loop_stop()
        self.c.socket().close()


def delivery(version):
    """Each QoS, downgraded to the subscription's; empty and binary payloads."""
    payloads = [b"", b"text", bytes(range(256)), b"\x00" * 1000]
    for granted in range(3):
        a, b = Client(version), Client(version)
        a.subscribe(f"paho/delivery/{granted}/+", granted)
        for qos in range(3):
            for i, payload in enumerate(payloads):
                b.publish(f"paho/delivery/{granted}/{qos}", payload, qos)
                m = a.next()
                want((m.topic, m.payload, m.qos, m.retain, m.dup),
                     (f"paho/delivery/{granted}/{qos}", payload, min(qos, granted), False, False), f"message {i} at QoS {qos}")
        a.close()
        b.close()


def order(version):
    a, b = Client(version), Client(version)
    for qos in range(3):
        topic = f"paho/order/{qos}"
        a.subscribe(topic, qos)
        infos = [b.c.publish(topic, str(i), qos) for i in range(1000)]
        want([a.next().payload for _ in infos], [str(i).encode() for i in range(1000)], f"order at QoS {qos}")
        for info in infos:
            info.wait_for_publish(WAIT)
        a.nothing(f"duplicates at QoS {qos}")
    a.close()
    b.close()


def filters(version):
    a, b = Client(version), Client(version)
    cases = [("f/+/c", "f/b/c", True), ("f/#", "f", True), ("f/+", "f", False), ("f/+", "f/", True), ("+/#", "f", True), ("#", "f//c", True),
             ("f//c", "f/c", False), ("#", "$f/x", False), ("+/x", "$f/x", False), ("$f/#", "$f/x", True)]
    for pattern, topic, _ in cases:
        a.subscribe(pattern, 1)
        b.publish(topic, pattern, 1)
        a.c.unsubscribe(pattern)
        a.acks.get(timeout=WAIT)
        b.publish(topic, "after UNSUBSCRIBE", 1)
    time.sleep(QUIET)
    got = [(m.payload.decode(), m.topic) for m in iter(lambda: a.messages.get_nowait() if a.messages.qsize() else None, None)]
    want(got, [(pattern, topic) for pattern, topic, matches in cases if matches], "filters and the names that they match")
    a.close()
    b.close()


def retained(version):
    topic = "paho/retained/" + NAMES[version]
    a, b, c = (Client(version) for _ in range(3))
    c.subscribe(topic, 1)
    b.publish(topic, b"old\0", 1, retain=True)
    want(c.next().retain, False, "retain flag to a subscriber that was there")
    b.publish(topic, b"new\0", 1, retain=True)
    a.subscribe(topic, 1)
    m = a.next()
    want((m.payload, m.retain, m.qos), (b"new\0", True, 1), "retained message")
    b.publish(topic, b"", 1, retain=True)
    late = Client(version)
    late.subscribe(topic, 1)
    late.nothing("retained message after it was cleared")
    for client in (a, b, c, late):
        client.close()


def wills(version):
    topic = "paho/will/" + NAMES[version]
    will = {"topic": topic, "payload": b"gone\0", "qos": 2, "retain": True}
    a = Client(version)
    a.subscribe(topic, 2)
    leaver = Client(version, "paho-leaver", will=will)
    leaver.close()
    a.nothing("will after DISCONNECT")
    dead = Client(version, "paho-dead", will=will)
    dead.cut()
    m = a.next()
    want((m.payload, m.qos, m.retain), (b"gone\0", 2, False), "will")
    b = Client(version)
    b.subscribe(topic, 2)
    want(b.next().retain, True, "retained will")
    b.publish(topic, b"", retain=True)
    a.close()
    b.close()


def session(version):
    client_id, topic = fresh("s"), "paho/session/" + NAMES[version]
    a = Client(version, client_id, clean=False, expiry=300)
    want(a.present, 0, "Session Present of a new session")
    a.subscribe(topic + "/1", 1)
    a.subscribe(topic + "/2", 2)
    a.close()
    b = Client(version)
    for i in range(50):
        b.publish(f"{topic}/{1 + i % 2}", str(i), 1 + i % 2)
    a = Client(version, client_id, clean=False, expiry=300)
    if version != mqtt.MQTTv31:  # 3.1 has no Session Present
        want(a.present, 1, "Session Present")
    got = [a.next() for _ in range(50)]
    for qos in (1, 2):
        want([m.payload for m in got if m.topic == f"{topic}/{qos}"], [str(i).encode() for i in range(qos - 1, 50, 2)],
             f"messages of QoS {qos} that waited")
        want({m.qos for m in got if m.topic == f"{topic}/{qos}"}, {qos}, "their QoS")
    a.cut()
    b.publish(topic + "/1", "after a cut", 1)
    a = Client(version, client_id, clean=False, expiry=300)
    want(a.next().payload, b"after a cut", "message after a cut")
    a.close()
    a = Client(version, client_id, clean=True)
    want(a.present, 0, "Session Present after a clean start")
    b.publish(topic + "/1", "no one", 1)
    a.nothing("message to a subscription that the clean start ended")
    a.close()
    b.close()


def unacknowledged(version):
    """What the receiver did not acknowledge comes again with DUP, in order."""
    client_id, topic = fresh("a"), "paho/again/" + NAMES[version]
    a = Client(version, client_id, clean=False, expiry=300)
    a.subscribe(topic, 1)
    a.c._send_puback = lambda mid: mqtt.MQTT_ERR_SUCCESS
    b = Client(version)
    for i in range(5):
        b.publish(topic, str(i), 1)
    want([a.next().payload for _ in range(5)], [str(i).encode() for i in range(5)], "first delivery")
    a.cut()
    a = Client(version, client_id, clean=False, expiry=300)
    want([(m.payload, m.dup) for m in (a.next() for _ in range(5))], [(str(i).encode(), True) for i in range(5)], "redelivery")
    a.close()
    Client(version, client_id, clean=True).close()
    b.close()


def takeover(version):
    a = Client(version, "paho-twin")
    b = Client(version, "paho-twin")
    a.losses.get(timeout=WAIT)
    a.c.loop_stop()
    b.subscribe("paho/twin", 1)
    b.publish("paho/twin", "x", 1)
    want(b.next().payload, b"x", "message to the client that took over")
    b.close()


def big(version):
    if URL.scheme == "ws":
        return  # paho-mqtt 1.6 forgets a packet whose WebSocket frame the socket takes in parts
    payload = hashlib.sha256(b"seed").digest() * (10 * 1024 * 1024 // 32)
    a, b = Client(version), Client(version)
    for qos in range(3):
        a.subscribe(f"paho/big/{qos}", qos)
        b.publish(f"paho/big/{qos}", payload, qos)
        m = a.next()
        want((len(m.payload), hashlib.sha256(m.payload).digest()), (len(payload), hashlib.sha256(payload).digest()), f"10 MiB at QoS {qos}")
    a.close()
    b.close()


def long_topic(version):
    topic = "paho/" + "é" * ((65535 - 5) // 2)
    want(len(topic.encode()), 65535, "length of the topic")
    a, b = Client(version), Client(version)
    a.subscribe(topic, 1)
    b.publish(topic, "x", 1)
    want(a.next().topic == topic, True, "topic of 65,535 bytes")
    a.close()
    b.close()


def keep_alive(version):
    a = Client(version, keepalive=1)
    a.subscribe("paho/keep", 1)
    time.sleep(2.5)
    want(a.losses.qsize(), 0, "losses in two and a half idle seconds")
    a.publish("paho/keep", "still here", 1)
    want(a.next().payload, b"still here", "message after an idle time")
    a.close()


def properties(version):
    p = Properties(PacketTypes.PUBLISH)
    p.PayloadFormatIndicator = 1
    p.MessageExpiryInterval = 60
    p.ContentType = "text/plain"
    p.ResponseTopic = "paho/answer"
    p.CorrelationData = b"\0\1\2"
    p.UserProperty = [("a", "1"), ("a", "2"), ("é", "")]
    a, b = Client(version), Client(version)
    s = Properties(PacketTypes.SUBSCRIBE)
    s.SubscriptionIdentifier = 268435455
    a.subscribe("paho/properties", 1, properties=s)
    for qos in range(3):
        b.publish("paho/properties", "x", qos, properties=p)
        got = a.next().properties
        want((got.PayloadFormatIndicator, got.ContentType, got.ResponseTopic, got.CorrelationData, got.UserProperty),
             (1, "text/plain", "paho/answer", b"\0\1\2", p.UserProperty), f"properties at QoS {qos}")
        want(got.MessageExpiryInterval in (58, 59, 60), True, "Message Expiry Interval that is left")
        want(got.SubscriptionIdentifier, [268435455], "Subscription Identifier")
    want(bool(Client(version).properties.AssignedClientIdentifier), True, "Assigned Client Identifier")
    a.close()
    b.close()


def options(version):
    """No Local, Retain As Published, Retain Handling."""
    a, b = Client(version), Client(version)
    a.subscribe("paho/options/local", 1, noLocal=True)
    a.publish("paho/options/local", "own", 1)
    b.publish("paho/options/local", "other's", 1)
    want(a.next().payload, b"other's", "message with No Local")
    a.subscribe("paho/options/kept", 1, retainAsPublished=True)
    b.publish("paho/options/kept", "x", 1, retain=True)
    want(a.next().retain, True, "retain flag with Retain As Published")
    a.subscribe("paho/options/kept", 1, retainHandling=1)
    a.nothing("retained message again with Retain Handling 1")
    a.subscribe("paho/options/kept", 1, retainHandling=0)
    want(a.next().retain, True, "retained message again with Retain Handling 0")
    b.subscribe("paho/options/kept", 1, retainHandling=2)
    b.nothing("retained message with Retain Handling 2")
    b.publish("paho/options/kept", "", 1, retain=True)
    a.close()
    b.close()


def shared(version):
    a, b, c = (Client(version) for _ in range(3))
    a.subscribe("$share/g/paho/shared/+", 1)
    b.subscribe("$share/g/paho/shared/+", 1)
    for i in range(100):
        c.publish(f"paho/shared/{i}", "x", 1)
    deadline = time.monotonic() + WAIT
    while a.messages.qsize() + b.messages.qsize() < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(QUIET)
    want(a.messages.qsize() + b.messages.qsize(), 100, "messages to the group")
    want(a.messages.qsize() > 0 and b.messages.qsize() > 0, True, "both members have some")
    for client in (a, b, c):
        client.close()


def expiry(version):
    """A message that expired while its session waited is not delivered; a session that expired is gone."""
    client_id = fresh("e")
    a = Client(version, client_id, expiry=60)
    a.subscribe("paho/expiry", 1)
    a.close()
    b = Client(version)
    p = Properties(PacketTypes.PUBLISH)
    p.MessageExpiryInterval = 1
    b.publish("paho/expiry", "short", 1, properties=p)
    p.MessageExpiryInterval = 100
    b.publish("paho/expiry", "long", 1, properties=p)
    time.sleep(2.2)
    a = Client(version, client_id, clean=False, expiry=1)
    want(a.present, 1, "Session Present")
    want(a.next().payload, b"long", "message that waited")
    a.nothing("message that expired")
    a.close()
    time.sleep(2.5)
    a = Client(version, client_id, clean=False, expiry=0)
    want(a.present, 0, "Session Present after the Session Expiry Interval")
    a.close()
    b.close()


def will_delay(version):
    p = Properties(PacketTypes.WILLMESSAGE)
    p.WillDelayInterval = 1
    p.UserProperty = ("why", "cut")
    will = {"topic": "paho/delay", "payload": b"late", "qos": 1, "properties": p}
    a = Client(version)
    a.subscribe("paho/delay", 1)
    client_id = fresh("d")
    Client(version, client_id, will=will, expiry=60).cut()
    back = Client(version, client_id, clean=False, expiry=60, will=will)
    time.sleep(2)
    a.nothing("will of a client that came back in time")
    back.cut()
    a.nothing("will before its delay")
    m = a.next()
    want((m.payload, m.properties.UserProperty), (b"late", [("why", "cut")]), "will after its delay")
    a.close()


def receive_maximum(version):
    """A client that takes one message at a time is sent one at a time."""
    p = Properties(PacketTypes.CONNECT)
    p.ReceiveMaximum = 1
    a, b = Client(version, connect=p), Client(version)
    owed = queue.Queue()
    acknowledge = a.c._send_puback
    a.c._send_puback = lambda mid: owed.put(mid) or mqtt.MQTT_ERR_SUCCESS
    a.subscribe("paho/receive", 1)
    for i in range(30):
        b.publish("paho/receive", str(i), 1)
    for i in range(30):
        want(a.next().payload, str(i).encode(), "message with a Receive Maximum of 1")
        if i == 0:
            a.nothing("second message before the first was acknowledged")
        acknowledge(owed.get(timeout=WAIT))
    a.close()
    b.close()


def aliases(version):
    """The client names its topics once and goes on by Topic Alias."""
    a, b = Client(version), Client(version)
    maximum = getattr(b.properties, "TopicAliasMaximum", 0)
    want(maximum > 0, True, "Topic Alias Maximum of the server")
    a.subscribe("paho/alias/+", 1)
    for i in range(10):
        p = Properties(PacketTypes.PUBLISH)
        p.TopicAlias = 1 + i % min(2, maximum)
        topic = f"paho/alias/{p.TopicAlias}"
        b.publish(topic if i < 2 else "", str(i), 1, properties=p)
        m = a.next()
        want((m.topic, m.payload), (topic, str(i).encode()), "message by alias")
    a.close()
    b.close()


ALL = [delivery, order, filters, retained, wills, session, unacknowledged, takeover, big, long_topic, keep_alive]
ONLY5 = [properties, options, shared, expiry, will_delay, receive_maximum, aliases]


def main():
    for version in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
        for check in ALL + (ONLY5 if version == mqtt.MQTTv5 else []):
            name = f"paho-mqtt {NAMES[version]} {check.__name__}"
            start = time.monotonic()
            try:
                check(version)
            except (Failure, queue.Empty, OSError, ValueError, AttributeError) as e:
                print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
                # The network threads of what is still connected must not keep the process.
                os._exit(1)
            print(f"ok {name} ({time.monotonic() - start:.2f}s)", flush=True)


main()
