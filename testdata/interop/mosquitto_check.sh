#!/usr/bin/env bash
# Checks a broker with mosquitto_pub and mosquitto_sub 2.0: mosquitto_check.sh mqtt://HOST:PORT [BROKER]
# $CAFILE turns TLS on. $PUB and $SUB name other commands that read the same flags, such as "mqt pub" and "mqt sub". The BROKER mosquitto is
# excused from what it is known to break. Prints a line for each check and stops with exit code 1 at the first that fails.
set -euo pipefail

hostport=${1#*://}
hostport=${hostport%/}
broker=${2:-}
read -ra pub_command <<<"${PUB:-mosquitto_pub}"
read -ra sub_command <<<"${SUB:-mosquitto_sub}"
server=(-h "${hostport%:*}" -p "${hostport##*:}")
[[ -n ${CAFILE:-} ]] && server+=(--cafile "$CAFILE")
wait_s=20 # seconds that an answer may take on a slow machine
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT

fail() {
  echo "FAIL ${pub_command[*]} and ${sub_command[*]} $version $check: $*"
  exit 1
}

pub() { "${pub_command[@]}" "${server[@]}" -V "$version" "$@" 2>"$dir/pub" || fail "pub $* exits with $?: $(tail -c 300 "$dir/pub")"; }

# sub NAME COUNT ARGS... starts a subscriber that prints topic, QoS, retain flag and payload in hex (or $format) and ends
# after COUNT messages. Its last filter has a retained message: when that is there, the subscriptions are.
sub() {
  local name=$1 count=$2
  shift 2
  : >"$dir/$name" # here, since the subscriber's own redirection comes later than the first look
  # A pipe or file is written in blocks unless stdbuf says otherwise.
  stdbuf -oL "${sub_command[@]}" "${server[@]}" -V "$version" -C $((count + 1)) -W "$wait_s" -F "MSG %t $format" "$@" -t m/ready \
    >>"$dir/$name" 2>"$dir/$name.err" &
  pids[$name]=$!
  local i
  for ((i = 0; i < wait_s * 20; i++)); do
    grep -aq '^MSG m/ready' "$dir/$name" && return
    sleep 0.05
  done
  fail "no message that shows the subscription: $(tail -c 300 "$dir/$name" "$dir/$name.err")"
}

# got NAME waits for the subscriber's end and leaves its messages in $messages.
got() {
  wait "${pids[$1]}" || fail "sub exits with $?: $(tail -c 300 "$dir/$1" "$dir/$1.err")"
  messages=$(sed -n '/^MSG m\/ready/d; s/^MSG //p' "$dir/$1")
}

# leave ARGS... subscribes and leaves; with a Client Identifier and no -c it ends the session of that name.
leave() {
  sub leaver 1 "$@"
  kill "${pids[leaver]}"
  wait "${pids[leaver]}" || true
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
    want "$(sort <<<"$messages")" "$(printf '%s\n' "m/delivery/$q/a 0 0 74657874" "m/delivery/$q/b $((q < 1 ? q : 1)) 0 " \
      "m/delivery/$q/c $q 0 6c617374")" "messages of a subscription at QoS $q"
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
    want "${messages//m\/order /}" "$(seq "$n")" "order at QoS $q"
  done
}

binary() {
  printf '\0\1\2\377\0\n\r\0' >"$dir/bin"
  sub a 1 -t m/binary -q 1
  pub -t m/binary -q 1 -f "$dir/bin"
  got a
  want "$messages" "m/binary 1 0 $(hex <"$dir/bin")" "payload with NUL bytes"
}

retained() {
  pub -t m/retained -q 1 -r -m kept
  sub a 1 -t 'm/retained/#' -q 1
  got a
  want "$messages" "m/retained 1 1 6b657074" "retained message"
  pub -t m/retained -q 1 -r -n
  sub a 1 -t m/retained -q 1
  pub -t m/retained -q 1 -m after
  got a
  want "$messages" "m/retained 1 0 6166746572" "first message after the retained one was cleared"
}

wills() {
  sub a 1 -t m/will -q 2
  sub dead 1 -t m/none --will-topic m/will --will-payload gone --will-qos 2
  kill -9 "${pids[dead]}"
  wait "${pids[dead]}" 2>"$dir/killed" || true
  got a
  want "$messages" "m/will 2 0 676f6e65" "will"
}

session() {
  local id=m-$RANDOM$RANDOM # one without a session
  local -a keep=(-i "$id" -c)
  [[ $version == mqttv5 ]] && keep+=(-x 300)
  leave "${keep[@]}" -t m/session -q 1
  seq 20 | pub -t m/session -q 1 -l
  format=%p sub a 20 "${keep[@]}" -t m/session -q 1
  got a
  want "${messages//m\/session /}" "$(seq 20)" "messages that waited"
  leave -i "$id" -t m/other
}

big() {
  local q
  head -c $((10 * 1024 * 1024)) /dev/urandom >"$dir/big"
  for q in 0 1 2; do
    "${sub_command[@]}" "${server[@]}" -V "$version" -t m/big -q "$q" -C 1 -W "$wait_s" -N >"$dir/big.$q" &
    pids[big]=$!
    # Its stdout is the payload alone, so the subscription cannot be seen: the message is retained.
    pub -t m/big -q "$q" -r -f "$dir/big"
    wait "${pids[big]}" || fail "sub exits with $? for 10 MiB at QoS $q"
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
  want "$messages" "$topic 1 0 78" "topic of 65,535 bytes"
}

properties() {
  format='%C|%R|%D|%P|%F' sub a 1 -t m/properties -q 1
  pub -t m/properties -q 1 -m x -D publish content-type text/plain -D publish response-topic m/answer \
    -D publish correlation-data abc -D publish user-property k v -D publish payload-format-indicator 1
  got a
  want "$messages" "m/properties text/plain|m/answer|abc|k:v|1" "properties"
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
  want "$(sort <<<"$first"$'\n'"$messages")" $'m/shared 1\nm/shared 2' "messages to the group"
}

last_will_of_a_client_that_leaves() {
  sub a 1 -t 'm/leave/#' -q 1
  pub -t m/leave/message -m x --will-topic m/leave/will --will-payload no
  got a
  want "$messages" "m/leave/message 0 0 78" "message, and no will after DISCONNECT"
}

declare -A pids
format='%q %r %x'
for version in mqttv31 mqttv311 mqttv5; do
  check=ready
  pub -t m/ready -r -m ready
  checks=(delivery order binary retained wills last_will_of_a_client_that_leaves session big long_topic)
  [[ $version == mqttv5 ]] && checks+=(properties shared)
  for check in "${checks[@]}"; do
    start=${EPOCHREALTIME/./}
    "$check"
    echo "ok ${pub_command[*]} and ${sub_command[*]} $version $check ($(((${EPOCHREALTIME/./} - start) / 1000)) ms)"
  done
done
