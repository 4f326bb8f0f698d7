"""Passwords, certificates and access control by paho-mqtt 1.6: access_check.py PORT TLSPORT DIR [BROKER].

Prints a line for each check and stops with exit code 1 at the first that fails. The users and rules, and the certificates
in DIR, are those of interop_access_test.go; the BROKER mosquitto is excused from what it is known to break.
"""

import os
import queue
import sys

import paho.mqtt.client as mqtt

PORT, TLS_PORT = int(sys.argv[1]), int(sys.argv[2])
DIR = sys.argv[3]
MOSQUITTO = sys.argv[4:] == ["mosquitto"]
WAIT = 20  # seconds that an answer may take on a slow machine
NAMES = {mqtt.MQTTv31: "3.1", mqtt.MQTTv311: "3.1.1", mqtt.MQTTv5: "5.0"}

BAD_PASSWORD, NOT_AUTHORIZED = 0x86, 0x87
OLD = {0: 0, 4: BAD_PASSWORD, 5: NOT_AUTHORIZED}  # return codes of 3.1 and 3.1.1 by their twins in 5.0


class Failure(Exception):
    pass


def want(got, expected, what):
    if got != expected:
        raise Failure(f"{what}: got {got!r:.200}, want {expected!r:.200}")


class Reader(mqtt.Client):
    """paho 1.6 keeps the Reason Codes of PUBACK and PUBREC to itself, and its thread dies of an alert of TLS."""

    def _thread_main(self):
        try:
            super()._thread_main()
        except OSError:
            self.on_disconnect(self, None, 1)

    def note(self):
        body = bytes(self._in_packet["packet"])
        self.reasons.put(body[2] if len(body) > 2 else 0)

    def _handle_pubackcomp(self, cmd):
        if cmd == "PUBACK":
            self.note()
        return super()._handle_pubackcomp(cmd)

    def _handle_pubrec(self):
        self.note()
        return super()._handle_pubrec()


class Client:
    """A connection with its own network thread; everything that arrives goes to queues."""

    def __init__(self, version, user=None, password=None, cert=None, tls=False, will=None):
        self.version = version
        options = {} if version == mqtt.MQTTv5 else {"clean_session": True}
        self.c = Reader("access" + os.urandom(8).hex(), protocol=version, reconnect_on_failure=False, **options)
        self.messages, self.acks, self.connacks, self.c.reasons = (queue.Queue() for _ in range(4))
        self.c.on_message = lambda c, u, m: self.messages.put((m.topic, m.payload))
        self.c.on_connect = lambda c, u, flags, rc, *p: self.connacks.put(rc.value if p else OLD[rc])
        self.c.on_disconnect = lambda c, u, rc, *p: self.connacks.put("closed")
        self.c.on_subscribe = lambda c, u, mid, codes, *p: self.acks.put([getattr(x, "value", x) for x in codes])
        if user is not None:
            self.c.username_pw_set(user, password)
        if will:
            self.c.will_set(will, b"x", 1)
        if cert or tls:
            pair = (os.path.join(DIR, cert + ".pem"), os.path.join(DIR, cert + ".key")) if cert else (None, None)
            self.c.tls_set(os.path.join(DIR, "ca.pem"), *pair)
        try:
            self.c.connect("127.0.0.1", TLS_PORT if cert or tls else PORT)
        except OSError:  # what a missing certificate looks like depends on the version of TLS
            self.code = "closed"
            return
        self.c.loop_start()
        self.code = self.connacks.get(timeout=WAIT)

    def publish(self, topic, payload, qos):
        """Returns the Reason Code of PUBACK or PUBREC."""
        self.c.publish(topic, payload, qos).wait_for_publish(WAIT)
        return self.c.reasons.get(timeout=WAIT)

    def subscribe(self, topic, qos=1):
        self.c.subscribe(topic, qos)
        return self.acks.get(timeout=WAIT)

    def close(self):
        self.c.disconnect()
        self.c.loop_stop()


def connected(version, *args, **options):
    c = Client(version, *args, **options)
    want(c.code, 0, "CONNACK")
    return c


def refused(version, code, what, *args, **options):
    c = Client(version, *args, **options)
    want(c.code, code, what)
    c.c.loop_stop()


def passwords(version):
    for user, password in (("alice", "secret"), ("bob", "hunter2")):
        connected(version, user, password).close()
    # mosquitto says that it is not authorized.
    code = NOT_AUTHORIZED if MOSQUITTO else BAD_PASSWORD
    for user, password in (("alice", "wrong"), ("alice", "hunter2"), ("alice", ""), ("alice", None), ("nobody", "secret"), ("Alice", "secret")):
        refused(version, code, f"CONNACK of {user} with {password!r}", user, password)
    if MOSQUITTO:  # our broker takes anonymous clients of this machine, who have no rights by these rules
        refused(version, NOT_AUTHORIZED, "CONNACK without a user name")


def restricted(version, bob):
    """What bob may, whoever says that it is bob."""
    alice = connected(version, "alice", "secret")
    want(alice.subscribe("#"), [1], "SUBACK of alice")
    denied = NOT_AUTHORIZED if version == mqtt.MQTTv5 else 0  # which before 5.0 no one is told
    for topic in ("open/x", "own/bob/x", "secret/x"):
        for qos in (1, 2):
            want(bob.publish(topic, "forbidden", qos), denied, f"acknowledgement of what bob publishes to {topic} at QoS {qos}")
        bob.c.publish(topic, "forbidden", 0)
    # mosquitto's files say nothing of subscribing: it grants all, and sends what may be read.
    refusal = [1] if MOSQUITTO else [NOT_AUTHORIZED if version == mqtt.MQTTv5 else 0x80]
    for topic in ("secret/#", "own/alice/x", "opening"):
        want(bob.subscribe(topic), refusal, f"SUBACK of bob for {topic}")
    for topic in ("open/#", "own/bob/+"):
        want(bob.subscribe(topic), [1], f"SUBACK of bob for {topic}")
    seen = [("open/x", b"seen"), ("own/bob/x", b"mine"), ("open/end", b"end")]
    for topic, payload in (("secret/x", b"hidden"), seen[0], ("own/alice/x", b"hers"), seen[1], seen[2]):
        want(alice.publish(topic, payload, 1), 0, f"acknowledgement of what alice publishes to {topic}")
        want(alice.messages.get(timeout=WAIT), (topic, payload), "alice got")
    for m in seen:
        want(bob.messages.get(timeout=WAIT), m, "bob got")
    want((alice.messages.qsize(), bob.messages.qsize()), (0, 0), "messages left over")
    alice.close()
    bob.close()


def access(version):
    restricted(version, connected(version, "bob", "hunter2"))


def wills(version):
    if not MOSQUITTO:
        refused(version, NOT_AUTHORIZED, "CONNACK of bob with a will", "bob", "hunter2", will="open/will")
    connected(version, "alice", "secret", will="open/will").close()


def certificates(version):
    alice = connected(version, cert="alice")
    want(alice.subscribe("secret/cert"), [1], "SUBACK of alice")
    want(alice.publish("secret/cert", "x", 2), 0, "acknowledgement of what alice publishes")
    alice.close()
    restricted(version, connected(version, cert="bob"))
    # The certificate counts, and not what else the client says it is.
    bob = connected(version, "alice", "secret", cert="bob")
    want(bob.publish("secret/x", "x", 1), NOT_AUTHORIZED if version == mqtt.MQTTv5 else 0, "acknowledgement of bob as alice")
    bob.close()
    refused(version, "closed", "no certificate", "alice", "secret", tls=True)
    refused(version, "closed", "a stranger's certificate", cert="stranger")


def main():
    for version in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
        for check in (passwords, access, wills, certificates):
            name = f"paho-mqtt {NAMES[version]} {check.__name__}"
            try:
                check(version)
            except (Failure, queue.Empty, OSError, ValueError, KeyError) as e:
                print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
                # The network threads of what is still connected must not keep the process.
                os._exit(1)
            print(f"ok {name}", flush=True)


main()
