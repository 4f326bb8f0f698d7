#!/bin/sh
# Passwords, certificates and access control by mosquitto's clients: access_check.sh PORT TLSPORT DIR. Prints "ok NAME" for each check and stops at
# the first that fails. The users and rules, and the certificates in DIR, are those of interop_access_test.go.
set -u
port=$1 tls=$2 certs=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
pub() { mosquitto_pub -p "$port" "$@" 2>>"$dir/err"; }
as() { # NAME PROGRAM ARGUMENT...
  name=$1 program=$2
  shift 2
  "$program" -h 127.0.0.1 -p "$tls" --cafile "$certs/ca.pem" --cert "$certs/$name.pem" --key "$certs/$name.key" -q 1 "$@"
}

for v in mqttv31 mqttv311 mqttv5; do
  pub -V $v -u alice -P secret -t a/alice -q 1 -m x || fail "$v: alice may not connect"
  pub -V $v -u alice -P wrong -t a/alice -q 1 -m x && fail "$v: a wrong password is let in"
  pub -V $v -u nobody -P secret -t a/alice -q 1 -m x && fail "$v: an unknown user is let in"
  echo "ok password, $v"

  # Everything that bob may read, and the end of it.
  mosquitto_sub -V $v -p "$port" -u bob -P hunter2 -t '#' -q 1 -v -W 20 -C 3 >"$dir/got" 2>"$dir/sub" &
  sub=$!
  n=0
  until grep -q ready "$dir/got"; do
    n=$((n + 1))
    test $n -lt 100 || fail "$v: the subscriber does not come: $(cat "$dir/sub")"
    pub -V $v -u alice -P secret -t open/ready -r -m ready
    sleep 0.1
  done
  kill $sub 2>/dev/null
  wait $sub 2>/dev/null
  mosquitto_sub -V $v -p "$port" -u bob -P hunter2 -i "reader$v" -c -t '#' -q 1 -E >/dev/null || fail "$v: no session"
  pub -V $v -u alice -P secret -t secret/live -q 1 -m hidden
  pub -V $v -u alice -P secret -t secret/kept -q 1 -r -m hidden
  pub -V $v -u bob -P hunter2 -t open/bob -q 1 -m forbidden
  pub -V $v -u alice -P secret -t open/x -q 1 -m seen
  pub -V $v -u alice -P secret -t own/bob/x -q 1 -m mine
  pub -V $v -u alice -P secret -t own/alice/x -q 1 -m hers
  pub -V $v -u alice -P secret -t open/end -q 1 -m end
  mosquitto_sub -V $v -p "$port" -u bob -P hunter2 -i "reader$v" -c -t '#' -q 1 -R -v -W 20 -C 3 >"$dir/got" || fail "$v: $(cat "$dir/got")"
  printf 'open/x seen\nown/bob/x mine\nopen/end end\n' >"$dir/want"
  cmp -s "$dir/got" "$dir/want" || fail "$v: bob got: $(cat "$dir/got")"
  echo "ok access control, $v"

  as alice mosquitto_pub -V $v -t open/cert -r -m kept || fail "$v: alice may not connect by her certificate"
  as bob mosquitto_pub -V $v -t open/cert -r -m forbidden >"$dir/denied" 2>&1
  if test $v = mqttv5 && ! grep -q 'Not authorized' "$dir/denied"; then fail "$v: bob may publish: $(cat "$dir/denied")"; fi
  test "$(as bob mosquitto_sub -V $v -t open/cert -W 20 -C 1)" = kept || fail "$v: bob does not get what alice published"
  as stranger mosquitto_pub -V $v -t open/cert -m x 2>/dev/null && fail "$v: a stranger's certificate is let in"
  mosquitto_pub -V $v -h 127.0.0.1 -p "$tls" --cafile "$certs/ca.pem" -u alice -P secret -t open/cert -q 1 -m x 2>/dev/null &&
    fail "$v: a client without certificate is let in"
  echo "ok certificates, $v"
done
