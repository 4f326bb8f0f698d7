#!/usr/bin/env bash
# Checks a broker with mosquitto_pub and mosquitto_sub 2.0: mosquitto_check.sh mqtt://HOST:PORT [BROKER]
# The BROKER mosquitto is excused from what it is known to break. Prints a line for each check and stops with exit code 1 at the first that fails.
set -euo pipefail

hostport=${1#mqtt://}
hostport=${hostport%/}
host=${hostport%:*} port=${hostport##*:}
dir=$(mktemp -d)
broker=${2:-}
wait_s=20 # seconds that an answer may take on a slow machine
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT

fail() {
  echo "FAIL mosquitto clients $version $check: $*"
  exit 1
}

pub() { mosquitto_pub -h "$host" -p "$port" -V "$version" "$@" || fail "mosquitto_pub $* exits with $?"; }

# sub NAME COUNT ARGS... starts a subscriber that prints "MSG" and the message in $format, and ends after COUNT messages.
# It returns once the subscription is acknowledged, or a session's messages come before that.
sub() {
  local name=$1 count=$2
  shift 2
  : >"$dir/$name" # here, since the subscriber's own redirection comes later than the first look
  # A pipe or file is written in blocks unless stdbuf says otherwise.
  stdbuf -oL mosquitto_sub -h "$host" -p "$port" -V "$version" -d -C "$count" -W "$wait_s" -F "MSG $format" "$@" \
    >>"$dir/$name" 2>&1 &
  pids[$name]=$!
  local i
  for ((i = 0; i < wait_s * 20; i++)); do
    grep -aqE '^(Subscribed|MSG )' "$dir/$name" && return
    sleep 0.05
  done
  fail "no SUBACK: $(tail -c 300 "$dir/$name")"
}

# leave ARGS... subscribes and leaves at once; with a Client Identifier and no -c it ends the session of that name.
leave() {
  mosquitto_sub -h "$host" -p "$port" -V "$version" -E -W "$wait_s" "$@" >"$dir/leave" || fail "mosquitto_sub -E exits with $?"
}

# got NAME waits for the subscriber's end and leaves its messages in $messages.
got() {
  wait "${pids[$1]}" || fail "mosquitto_sub exits with $?: $(tail -c 300 "$dir/$1")"
  messages=$(sed -n 's/^MSG //p' "$dir/$1")
}

want() {
  [[ $1 == "$2" ]] || fail "$3: got ${1:0:200}, want ${2:0:200}"
}

hex() { od -An -v -tx1 | tr -d ' \n'; }

delivery() {
  local q
  for q in 0 1 2; do
    sub a 3 -t "m/delivery/$q/+" -q "$q"
    pub -t "m/delivery/$q/a" -q 0 -m text
    pub -t "m/delivery/$q/b" -q 1 -n
    pub -t "m/delivery/$q/c" -q 2 -m last
    got a
    want "$(sort -k3 <<<"$messages")" "$(printf '%s\n' "0 0 m/delivery/$q/a 74657874" "$((q < 1 ? q : 1)) 0 m/delivery/$q/b " \
      "$q 0 m/delivery/$q/c 6c617374")" "messages of a subscription at QoS $q"
  done
}

# Lines of one publisher arrive in order, more than fit in flight.
order() {
  local q n
  for q in 0 1 2; do
    n=1000
    # mosquitto 2.0 as broker passes the Receive Maximum of 20 that mosquitto_sub sets, against [MQTT-3.3.4-9].
    [[ $broker/$version/$q == mosquitto/mqttv5/2 ]] && n=20
    format=%p sub a "$n" -t m/order -q "$q"
    seq "$n" | pub -t m/order -q "$q" -l
    got a
    want "$messages" "$(seq "$n")" "order at QoS $q"
  done
}

binary() {
  printf '\0\1\2\377\0\n\r\0' >"$dir/bin"
  sub a 1 -t m/binary -q 1
  pub -t m/binary -q 1 -f "$dir/bin"
  got a
  want "$messages" "1 0 m/binary $(hex <"$dir/bin")" "payload with NUL bytes"
}

retained() {
  pub -t m/retained -q 1 -r -m kept
  sub a 1 -t 'm/retained/#' -q 1
  got a
  want "$messages" "1 1 m/retained 6b657074" "retained message"
  pub -t m/retained -q 1 -r -n
  sub a 1 -t m/retained -q 1
  pub -t m/retained -q 1 -m after
  got a
  want "$messages" "1 0 m/retained 6166746572" "first message after the retained one was cleared"
}

wills() {
  sub a 1 -t m/will -q 2
  sub dead 1 -t m/none --will-topic m/will --will-payload gone --will-qos 2
  kill -9 "${pids[dead]}"
  wait "${pids[dead]}" 2>"$dir/killed" || true
  got a
  want "$messages" "2 0 m/will 676f6e65" "will"
}

session() {
  local id="m-session-$version"
  local -a keep=(-i "$id" -c)
  [[ $version == mqttv5 ]] && keep+=(-x 300)
  leave -i "$id" -t m/other
  leave "${keep[@]}" -t m/session -q 1
  seq 20 | pub -t m/session -q 1 -l
  format=%p sub a 20 "${keep[@]}" -t m/session -q 1
  got a
  want "$messages" "$(seq 20)" "messages that waited"
  leave -i "$id" -t m/other
}

big() {
  local q
  head -c $((10 * 1024 * 1024)) /dev/urandom >"$dir/big"
  for q in 0 1 2; do
    mosquitto_sub -h "$host" -p "$port" -V "$version" -t m/big -q "$q" -C 1 -W "$wait_s" -N >"$dir/big.$q" &
    pids[big]=$!
    # Its stdout is the payload alone, so the subscription cannot be seen: the message is retained.
    pub -t m/big -q "$q" -r -f "$dir/big"
    wait "${pids[big]}" || fail "mosquitto_sub exits with $? for 10 MiB at QoS $q"
    cmp "$dir/big" "$dir/big.$q" || fail "10 MiB at QoS $q arrive changed"
    pub -t m/big -r -n
  done
}

long_topic() {
  local topic
  topic=m/$(head -c 65533 /dev/zero | tr '\0' x)
  sub a 1 -t "$topic" -q 1
  pub -t "$topic" -q 1 -m x
  got a
  want "$messages" "1 0 $topic 78" "topic of 65,535 bytes"
}

properties() {
  format='%C|%R|%D|%P|%F' sub a 1 -t m/properties -q 1
  pub -t m/properties -q 1 -m x -D publish content-type text/plain -D publish response-topic m/answer \
    -D publish correlation-data abc -D publish user-property k v -D publish payload-format-indicator 1
  got a
  want "$messages" "text/plain|m/answer|abc|k:v|1" "properties"
}

# Two members of a group share the messages: none is lost, none comes twice.
shared() {
  local i
  local first
  format=%p sub one 1 -t "\$share/g/m/shared" -q 1
  format=%p sub two 1 -t "\$share/g/m/shared" -q 1
  for i in 1 2; do pub -t m/shared -q 1 -m "$i"; done
  got one
  first=$messages
  got two
  want "$(sort <<<"$first"$'\n'"$messages")" $'1\n2' "messages to the group"
}

last_will_of_a_client_that_leaves() {
  sub a 1 -t 'm/leave/#' -q 1
  pub -t m/leave/message -m x --will-topic m/leave/will --will-payload no
  got a
  want "$messages" "0 0 m/leave/message 78" "message, and no will after DISCONNECT"
}

declare -A pids
format='%q %r %t %x'
for version in mqttv31 mqttv311 mqttv5; do
  checks=(delivery order binary retained wills last_will_of_a_client_that_leaves session big long_topic)
  [[ $version == mqttv5 ]] && checks+=(properties shared)
  for check in "${checks[@]}"; do
    start=${EPOCHREALTIME/./}
    "$check"
    echo "ok mosquitto clients $version $check ($(((${EPOCHREALTIME/./} - start) / 1000)) ms)"
  done
done
