#compdef mqt
# Written by a test from the commands and flags: go test ./cmd -run Completions -update

_mqt() {
  local context state state_descr line
  typeset -A opt_args
  if ((CURRENT == 2)); then
    local -a commands=(
      'pub:publish messages'
      'sub:print messages as they come'
      'bench:load-test a broker'
      'broker:serve MQTT 3.1, 3.1.1 and 5.0, in memory or with a data directory'
      'profile:keep the flags of connections by a name'
      'passwd:change the file with the users of a broker'
      'completion:print the script with which a shell completes mqt'
      'man:print the manual page of a command'
      'help:show the flags of a command'
      '--help:show the commands and exit codes'
      '--version:show the version'
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  case $command in
  pub)
    _arguments -S \
      '*-t[TOPIC to publish to]:TOPIC: ' \
      '*--topic[TOPIC to publish to]:TOPIC: ' \
      '*-q[QOS 0, 1 or 2 (default\: 0)]:QOS:(0 1 2)' \
      '*--qos[QOS 0, 1 or 2 (default\: 0)]:QOS:(0 1 2)' \
      '*-r[retain the message]' \
      '*--retain[retain the message]' \
      '*-m[TEXT is the payload]:TEXT: ' \
      '*--message[TEXT is the payload]:TEXT: ' \
      '*-f[FILE is the payload; - is stdin]:FILE:_files' \
      '*--file[FILE is the payload; - is stdin]:FILE:_files' \
      '*-s[all of stdin is the payload]' \
      '*--stdin-file[all of stdin is the payload]' \
      '*-l[each line of stdin is a message]' \
      '*--stdin-line[each line of stdin is a message]' \
      '*-n[the payload is empty; with -r this clears the retained message]' \
      '*--null-message[the payload is empty; with -r this clears the retained message]' \
      '*--json[each line of stdin is a message as sub --json prints it, topic and properties too; -t, -q and -r are for lines that do not say]' \
      '*--nul[each record of stdin that ends with NUL is a message]' \
      '*--size[the payload is SIZE random bytes, such as 100, 1KB or 10MiB]:SIZE: ' \
      '*--encoding[ENCODING that the payload is given in\: raw, hex or base64 (default\: raw)]:ENCODING:(raw hex base64)' \
      '*--encode[make the payload with CODEC of JSON, or pack it\: see above]:CODEC: ' \
      '*--topic-from[each line begins with its topic, and SEPARATOR parts it from the payload\: space (-v of sub), tab, or any characters; json\:.path takes the topic out of a line of JSON]:SEPARATOR:(space tab json:.)' \
      '*--repeat[publish the message NUMBER times, or forever]:NUMBER: ' \
      '*--repeat-delay[TIME between two of them]:TIME: ' \
      '*--rate[publish NUMBER messages a second, or as 30/m or 5/h]:NUMBER: ' \
      '*--template[fill in ${i} ${uuid} ${rand\:1-100} ${ts\:rfc3339} ${env\:NAME} ${csv\:COLUMN} in topic and payload; $${ is ${ itself]' \
      '*--csv[FILE with a line of names and a line for each message, for ${csv\:COLUMN}; it is published once without --repeat and -l]:FILE:_files' \
      '*--seed[NUMBER that makes ${rand}, ${uuid} and the bytes of --size the same in each run]:NUMBER: ' \
      '*--payload-format-indicator[payload format indicator of the message, 0|1]:0|1: ' \
      '*--message-expiry-interval[message expiry interval of the message, a NUMBER]:NUMBER: ' \
      '*--content-type[content type of the message, a TEXT]:TEXT: ' \
      '*--response-topic[response topic of the message, a TEXT]:TEXT: ' \
      '*--correlation-data[correlation data of the message, any DATA]:DATA: ' \
      '*--topic-alias[topic alias of the message, a NUMBER]:NUMBER: ' \
      '*--user-property[user property KEY=VALUE of the message; may be repeated]:KEY=VALUE: ' \
      '*--profile[NAME of a profile to take what is not said here from\: see mqt profile --help]:NAME:{compadd -- ${(f)"$(mqt profile ls 2>/dev/null | cut -f1)"}}' \
      '*-o[FILE with options, one a line as mosquitto has them (default\: mosquitto'\''s own, such as ~/.config/mosquitto_sub)]:FILE:_files' \
      '*--options[FILE with options, one a line as mosquitto has them (default\: mosquitto'\''s own, such as ~/.config/mosquitto_sub)]:FILE:_files' \
      '*--config[FILE with options, one a line as mosquitto has them (default\: mosquitto'\''s own, such as ~/.config/mosquitto_sub)]:FILE:_files' \
      '*-h[HOST to connect to (default\: localhost)]:HOST: ' \
      '*--host[HOST to connect to (default\: localhost)]:HOST: ' \
      '*-p[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*--port[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*-L[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--url[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--unix[PATH of a Unix socket to connect to instead]:PATH:_files' \
      '*-A[local ADDRESS to connect from]:ADDRESS: ' \
      '*--bind[local ADDRESS to connect from]:ADDRESS: ' \
      '*--proxy[URL of a proxy to go through\: socks5, socks5h (it looks names up), http or https\://\[user\:password@\]host\[\:port\]]:URL: ' \
      '*--nodelay[send small packets at once, which is always so]' \
      '*--ws[speak MQTT over WebSocket]' \
      '*--ws-path[PATH of the WebSocket (default\: /mqtt)]:PATH:_files' \
      '*--ws-header[HEADER of the WebSocket request, "Name\: value"; may be repeated]:HEADER: ' \
      '*--connect-timeout[TIME for one attempt to connect (default\: 10s)]:TIME: ' \
      '*--retry[try again for ever, when there is no connection at first or it is lost]' \
      '*--retry-for[TIME to try again for when it is lost, 0 for not at all (default\: 5s for sub and for pub from a stream); with --retry also at first]:TIME: ' \
      '*--retry-max[NUMBER of attempts in a row; implies --retry (default\: no end)]:NUMBER: ' \
      '*--retry-delay[longest TIME before the first new attempt, doubled each time up to 30s; implies --retry]:TIME: ' \
      '*-i[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*--id[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*--client-id[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*-I[Client Identifier from PREFIX and the process number]:PREFIX: ' \
      '*--id-prefix[Client Identifier from PREFIX and the process number]:PREFIX: ' \
      '*-u[user NAME]:NAME: ' \
      '*--username[user NAME]:NAME: ' \
      '*-P[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--pw[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password-file[FILE with the password on its first line]:FILE:_files' \
      '*--password-env[VARIABLE with the password]:VARIABLE: ' \
      '*--password-command[COMMAND for the shell that prints the password]:COMMAND: ' \
      '*--ask-password[ask for the password on the terminal]' \
      '*--password-prompt[ask for the password on the terminal]' \
      '*--token-command[COMMAND for the shell that prints a token, a JWT or an OAuth 2.0 answer, to be used as the password; run again when it expires or is refused]:COMMAND: ' \
      '*--auth-method[METHOD by which both sides prove to know the password, and do not tell it (MQTT 5); with --token-command any, by which the token is given, and renewed on the connection]:METHOD:(SCRAM-SHA-256 SCRAM-SHA-512)' \
      '*-k[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*--keepalive[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*-V[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--protocol-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--mqtt-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*-c[keep the session, and take up an earlier one; needs -i]' \
      '*--disable-clean-session[keep the session, and take up an earlier one; needs -i]' \
      '*-x[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*--session-expiry[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*--session-expiry-interval[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*-M[NUMBER of QoS 1 and 2 messages under way (default\: what the server allows)]:NUMBER: ' \
      '*--max-inflight[NUMBER of QoS 1 and 2 messages under way (default\: what the server allows)]:NUMBER: ' \
      '*-D[property COMMAND NAME \[KEY\] VALUE as mosquitto has it; COMMAND is connect, will, disconnect, publish]:COMMAND NAME \[KEY\] VALUE:(connect will disconnect publish):COMMAND NAME \[KEY\] VALUE: :COMMAND NAME \[KEY\] VALUE: ' \
      '*--property[property COMMAND NAME \[KEY\] VALUE as mosquitto has it; COMMAND is connect, will, disconnect, publish]:COMMAND NAME \[KEY\] VALUE:(connect will disconnect publish):COMMAND NAME \[KEY\] VALUE: :COMMAND NAME \[KEY\] VALUE: ' \
      '*--authentication-method[authentication method of CONNECT, a TEXT]:TEXT: ' \
      '*--authentication-data[authentication data of CONNECT, any DATA]:DATA: ' \
      '*--request-problem-information[request problem information of CONNECT, 0|1]:0|1: ' \
      '*--request-response-information[request response information of CONNECT, 0|1]:0|1: ' \
      '*--receive-maximum[receive maximum of CONNECT, a NUMBER]:NUMBER: ' \
      '*--topic-alias-maximum[topic alias maximum of CONNECT, a NUMBER]:NUMBER: ' \
      '*--connect-user-property[user property KEY=VALUE of CONNECT; may be repeated]:KEY=VALUE: ' \
      '*--maximum-packet-size[maximum packet size of CONNECT, a NUMBER]:NUMBER: ' \
      '*--disconnect-session-expiry-interval[session expiry interval of DISCONNECT, a NUMBER]:NUMBER: ' \
      '*--disconnect-reason-string[reason string of DISCONNECT, a TEXT]:TEXT: ' \
      '*--disconnect-user-property[user property KEY=VALUE of DISCONNECT; may be repeated]:KEY=VALUE: ' \
      '*--tls[use TLS, with the system'\''s CAs unless others are given]' \
      '*--tls-use-os-certs[use TLS, with the system'\''s CAs unless others are given]' \
      '*--no-tls[no TLS, whatever port or files are given]' \
      '*--cafile[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--ca[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--capath[DIRECTORY with such files]:DIRECTORY:_files' \
      '*--cert[FILE with our certificate (PEM)]:FILE:_files' \
      '*--key[FILE with its private key (PEM)]:FILE:_files' \
      '*--keypass[PASSPHRASE of the key; others can see it]:PASSPHRASE: ' \
      '*--keypass-file[FILE with the passphrase on its first line]:FILE:_files' \
      '*--keypass-env[VARIABLE with the passphrase]:VARIABLE: ' \
      '*--insecure[do not check the server'\''s certificate\: for tests]' \
      '*--tls-version[only this VERSION, tlsv1.2 or tlsv1.3]:VERSION:(tlsv1.2 tlsv1.3)' \
      '*--ciphers[LIST of the cipher suites for TLS 1.2, as OpenSSL names them, with colons between (default\: all that are safe)]:LIST: ' \
      '*--tls-alpn[PROTOCOL to offer by ALPN; may be repeated]:PROTOCOL: ' \
      '*--tls-sni[NAME to ask for and to check, if not the host'\''s]:NAME: ' \
      '*--tls-keylog[FILE to append the session'\''s keys to, for Wireshark]:FILE:_files' \
      '*--will-topic[TOPIC of the message that the server publishes when this client is gone]:TOPIC: ' \
      '*--will-payload[TEXT of the will]:TEXT: ' \
      '*--will-file[FILE with the payload of the will]:FILE:_files' \
      '*--will-qos[QOS 0, 1 or 2 (default\: 0)]:QOS:(0 1 2)' \
      '*--will-retain[retain the will]' \
      '*--will-always[have it published also when this client leaves by itself (MQTT 5)]' \
      '*--will-payload-format-indicator[payload format indicator of the will, 0|1]:0|1: ' \
      '*--will-message-expiry-interval[message expiry interval of the will, a NUMBER]:NUMBER: ' \
      '*--will-content-type[content type of the will, a TEXT]:TEXT: ' \
      '*--will-response-topic[response topic of the will, a TEXT]:TEXT: ' \
      '*--will-correlation-data[correlation data of the will, any DATA]:DATA: ' \
      '*--will-delay-interval[will delay interval of the will, a NUMBER]:NUMBER: ' \
      '*--will-user-property[user property KEY=VALUE of the will; may be repeated]:KEY=VALUE: ' \
      '*-d[show every packet, both ways, on stderr]' \
      '*--debug[show every packet, both ways, on stderr]' \
      '*--pcap[FILE to write all packets to, for Wireshark; passwords are in it]:FILE:_files' \
      '*--quiet[print no messages but data]' \
      '*--help[show the flags]' \
      '*: :'
    ;;
  sub)
    _arguments -S \
      '*-t[Topic FILTER to subscribe to; may be repeated]:FILTER: ' \
      '*--topic[Topic FILTER to subscribe to; may be repeated]:FILTER: ' \
      '*-q[QOS 0, 1 or 2 (default\: 0); given once it is for all topics, repeated for one after the other]:QOS:(0 1 2)' \
      '*--qos[QOS 0, 1 or 2 (default\: 0); given once it is for all topics, repeated for one after the other]:QOS:(0 1 2)' \
      '*-U[FILTER that a kept session shall not have any more; may be repeated]:FILTER: ' \
      '*--unsubscribe[FILTER that a kept session shall not have any more; may be repeated]:FILTER: ' \
      '*-T[FILTER of topics not to print; may be repeated]:FILTER: ' \
      '*--filter-out[FILTER of topics not to print; may be repeated]:FILTER: ' \
      '*-R[no messages that were retained before]' \
      '*--no-retained[no messages that were retained before]' \
      '*--retained-only[only those; end at the first other one]' \
      '*--remove-retained[clear the retained messages that come; with --retained-only end when that is done]' \
      '*--retain-as-published[leave the retain flag as the publisher set it (MQTT 5)]' \
      '*--retain-handling[send retained messages WHEN\: always, new or never (MQTT 5)]:WHEN:(always new never)' \
      '*--no-local[not what this client itself publishes (MQTT 5)]' \
      '*--allow-partial[go on when only some topics are granted]' \
      '*-v[print the topic before the payload]' \
      '*--verbose[print the topic before the payload]' \
      '*-F[FORMAT of a message, in mosquitto'\''s language\: see above]:FORMAT: ' \
      '*--format[FORMAT of a message, in mosquitto'\''s language\: see above]:FORMAT: ' \
      '*--json[print one JSON object a line]' \
      '*--pretty[indent JSON]' \
      '*-N[no line feed after a message]' \
      '*--no-eol[no line feed after a message]' \
      '*--random-filter[print only PERCENT of the messages, by chance, such as 12.5]:PERCENT: ' \
      '*--jq[print what the jq EXPRESSION makes of the --json object, whose payload is parsed if it is JSON]:EXPRESSION: ' \
      '*--rate-only[print only a line a second\: messages/s, bytes/s, messages so far]' \
      '*--message-rate[print only a line a second\: messages/s, bytes/s, messages so far]' \
      '*-w[print each topic'\''s last message on a line of its own, for terminals]' \
      '*--watch[print each topic'\''s last message on a line of its own, for terminals]' \
      '*--color[WHEN to colour\: auto, always or never (default\: auto; NO_COLOR is heeded)]:WHEN:(auto always never)' \
      '*--output[print payloads as FORM\: raw, hex, base64, hexdump, pretty, human, or json, cbor, msgpack as --decode does]:FORM:(raw hex base64 hexdump pretty human json cbor msgpack)' \
      '*--decode[decode payloads of topics that match\: FILTER=CODEC\[\:ARGS\]\[|CODEC...\] with json, cbor, msgpack, protobuf, avro, sparkplug, gzip, zlib, zstd, base64; may be repeated, the first that matches is taken]:FILTER=CODEC: ' \
      '*-C[end after NUMBER messages]:NUMBER: ' \
      '*--count[end after NUMBER messages]:NUMBER: ' \
      '*-W[end after TIME, such as 3, 2.5 or 500ms, with exit code 27]:TIME: ' \
      '*--timeout[end after TIME, such as 3, 2.5 or 500ms, with exit code 27]:TIME: ' \
      '*--idle[end when no message came for TIME, with exit code 27]:TIME: ' \
      '*--until[end after the first message for which the jq EXPRESSION is true]:EXPRESSION: ' \
      '*--each-topic-once[only the first message of each topic; with -C so many topics]' \
      '*--retained-end[print what is retained, and end when that was all]' \
      '*-E[end when the server has granted the subscriptions]' \
      '*--exit-after-subscribe[end when the server has granted the subscriptions]' \
      '*--save[write the payload of each message into a file of its own in DIRECTORY; with --json its object beside it]:DIRECTORY:_files' \
      '*--exec[run COMMAND by the shell for each message\: payload as stdin, MQTT_TOPIC and so on in its environment]:COMMAND: ' \
      '*--exec-parallel[NUMBER of commands that run at a time (default\: 1, which keeps the order)]:NUMBER: ' \
      '*--exec-timeout[TIME after which a command is ended, and has failed (default\: none)]:TIME: ' \
      '*--exec-fail[WHAT when a command fails\: continue (its message is not acknowledged, and stays in a kept session), refuse (MQTT 5\: the server is told, and forgets it) or stop (default\: continue)]:WHAT:(continue refuse stop)' \
      '*--subscription-identifier[NUMBER that the server puts on the messages of a subscription; given once it is for all topics, repeated for one after the other]:NUMBER: ' \
      '*--user-property[user property KEY=VALUE of SUBSCRIBE; may be repeated]:KEY=VALUE: ' \
      '*--unsubscribe-user-property[user property KEY=VALUE of UNSUBSCRIBE; may be repeated]:KEY=VALUE: ' \
      '*--profile[NAME of a profile to take what is not said here from\: see mqt profile --help]:NAME:{compadd -- ${(f)"$(mqt profile ls 2>/dev/null | cut -f1)"}}' \
      '*-o[FILE with options, one a line as mosquitto has them (default\: mosquitto'\''s own, such as ~/.config/mosquitto_sub)]:FILE:_files' \
      '*--options[FILE with options, one a line as mosquitto has them (default\: mosquitto'\''s own, such as ~/.config/mosquitto_sub)]:FILE:_files' \
      '*--config[FILE with options, one a line as mosquitto has them (default\: mosquitto'\''s own, such as ~/.config/mosquitto_sub)]:FILE:_files' \
      '*-h[HOST to connect to (default\: localhost)]:HOST: ' \
      '*--host[HOST to connect to (default\: localhost)]:HOST: ' \
      '*-p[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*--port[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*-L[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--url[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--unix[PATH of a Unix socket to connect to instead]:PATH:_files' \
      '*-A[local ADDRESS to connect from]:ADDRESS: ' \
      '*--bind[local ADDRESS to connect from]:ADDRESS: ' \
      '*--proxy[URL of a proxy to go through\: socks5, socks5h (it looks names up), http or https\://\[user\:password@\]host\[\:port\]]:URL: ' \
      '*--nodelay[send small packets at once, which is always so]' \
      '*--ws[speak MQTT over WebSocket]' \
      '*--ws-path[PATH of the WebSocket (default\: /mqtt)]:PATH:_files' \
      '*--ws-header[HEADER of the WebSocket request, "Name\: value"; may be repeated]:HEADER: ' \
      '*--connect-timeout[TIME for one attempt to connect (default\: 10s)]:TIME: ' \
      '*--retry[try again for ever, when there is no connection at first or it is lost]' \
      '*--retry-for[TIME to try again for when it is lost, 0 for not at all (default\: 5s for sub and for pub from a stream); with --retry also at first]:TIME: ' \
      '*--retry-max[NUMBER of attempts in a row; implies --retry (default\: no end)]:NUMBER: ' \
      '*--retry-delay[longest TIME before the first new attempt, doubled each time up to 30s; implies --retry]:TIME: ' \
      '*-i[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*--id[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*--client-id[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*-I[Client Identifier from PREFIX and the process number]:PREFIX: ' \
      '*--id-prefix[Client Identifier from PREFIX and the process number]:PREFIX: ' \
      '*-u[user NAME]:NAME: ' \
      '*--username[user NAME]:NAME: ' \
      '*-P[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--pw[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password-file[FILE with the password on its first line]:FILE:_files' \
      '*--password-env[VARIABLE with the password]:VARIABLE: ' \
      '*--password-command[COMMAND for the shell that prints the password]:COMMAND: ' \
      '*--ask-password[ask for the password on the terminal]' \
      '*--password-prompt[ask for the password on the terminal]' \
      '*--token-command[COMMAND for the shell that prints a token, a JWT or an OAuth 2.0 answer, to be used as the password; run again when it expires or is refused]:COMMAND: ' \
      '*--auth-method[METHOD by which both sides prove to know the password, and do not tell it (MQTT 5); with --token-command any, by which the token is given, and renewed on the connection]:METHOD:(SCRAM-SHA-256 SCRAM-SHA-512)' \
      '*-k[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*--keepalive[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*-V[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--protocol-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--mqtt-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*-c[keep the session, and take up an earlier one; needs -i]' \
      '*--disable-clean-session[keep the session, and take up an earlier one; needs -i]' \
      '*-x[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*--session-expiry[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*--session-expiry-interval[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*-M[NUMBER of QoS 1 and 2 messages under way (default\: what the server allows)]:NUMBER: ' \
      '*--max-inflight[NUMBER of QoS 1 and 2 messages under way (default\: what the server allows)]:NUMBER: ' \
      '*-D[property COMMAND NAME \[KEY\] VALUE as mosquitto has it; COMMAND is connect, will, disconnect, subscribe, unsubscribe]:COMMAND NAME \[KEY\] VALUE:(connect will disconnect subscribe unsubscribe):COMMAND NAME \[KEY\] VALUE: :COMMAND NAME \[KEY\] VALUE: ' \
      '*--property[property COMMAND NAME \[KEY\] VALUE as mosquitto has it; COMMAND is connect, will, disconnect, subscribe, unsubscribe]:COMMAND NAME \[KEY\] VALUE:(connect will disconnect subscribe unsubscribe):COMMAND NAME \[KEY\] VALUE: :COMMAND NAME \[KEY\] VALUE: ' \
      '*--authentication-method[authentication method of CONNECT, a TEXT]:TEXT: ' \
      '*--authentication-data[authentication data of CONNECT, any DATA]:DATA: ' \
      '*--request-problem-information[request problem information of CONNECT, 0|1]:0|1: ' \
      '*--request-response-information[request response information of CONNECT, 0|1]:0|1: ' \
      '*--receive-maximum[receive maximum of CONNECT, a NUMBER]:NUMBER: ' \
      '*--topic-alias-maximum[topic alias maximum of CONNECT, a NUMBER]:NUMBER: ' \
      '*--connect-user-property[user property KEY=VALUE of CONNECT; may be repeated]:KEY=VALUE: ' \
      '*--maximum-packet-size[maximum packet size of CONNECT, a NUMBER]:NUMBER: ' \
      '*--disconnect-session-expiry-interval[session expiry interval of DISCONNECT, a NUMBER]:NUMBER: ' \
      '*--disconnect-reason-string[reason string of DISCONNECT, a TEXT]:TEXT: ' \
      '*--disconnect-user-property[user property KEY=VALUE of DISCONNECT; may be repeated]:KEY=VALUE: ' \
      '*--tls[use TLS, with the system'\''s CAs unless others are given]' \
      '*--tls-use-os-certs[use TLS, with the system'\''s CAs unless others are given]' \
      '*--no-tls[no TLS, whatever port or files are given]' \
      '*--cafile[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--ca[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--capath[DIRECTORY with such files]:DIRECTORY:_files' \
      '*--cert[FILE with our certificate (PEM)]:FILE:_files' \
      '*--key[FILE with its private key (PEM)]:FILE:_files' \
      '*--keypass[PASSPHRASE of the key; others can see it]:PASSPHRASE: ' \
      '*--keypass-file[FILE with the passphrase on its first line]:FILE:_files' \
      '*--keypass-env[VARIABLE with the passphrase]:VARIABLE: ' \
      '*--insecure[do not check the server'\''s certificate\: for tests]' \
      '*--tls-version[only this VERSION, tlsv1.2 or tlsv1.3]:VERSION:(tlsv1.2 tlsv1.3)' \
      '*--ciphers[LIST of the cipher suites for TLS 1.2, as OpenSSL names them, with colons between (default\: all that are safe)]:LIST: ' \
      '*--tls-alpn[PROTOCOL to offer by ALPN; may be repeated]:PROTOCOL: ' \
      '*--tls-sni[NAME to ask for and to check, if not the host'\''s]:NAME: ' \
      '*--tls-keylog[FILE to append the session'\''s keys to, for Wireshark]:FILE:_files' \
      '*--will-topic[TOPIC of the message that the server publishes when this client is gone]:TOPIC: ' \
      '*--will-payload[TEXT of the will]:TEXT: ' \
      '*--will-file[FILE with the payload of the will]:FILE:_files' \
      '*--will-qos[QOS 0, 1 or 2 (default\: 0)]:QOS:(0 1 2)' \
      '*--will-retain[retain the will]' \
      '*--will-always[have it published also when this client leaves by itself (MQTT 5)]' \
      '*--will-payload-format-indicator[payload format indicator of the will, 0|1]:0|1: ' \
      '*--will-message-expiry-interval[message expiry interval of the will, a NUMBER]:NUMBER: ' \
      '*--will-content-type[content type of the will, a TEXT]:TEXT: ' \
      '*--will-response-topic[response topic of the will, a TEXT]:TEXT: ' \
      '*--will-correlation-data[correlation data of the will, any DATA]:DATA: ' \
      '*--will-delay-interval[will delay interval of the will, a NUMBER]:NUMBER: ' \
      '*--will-user-property[user property KEY=VALUE of the will; may be repeated]:KEY=VALUE: ' \
      '*-d[show every packet, both ways, on stderr]' \
      '*--debug[show every packet, both ways, on stderr]' \
      '*--pcap[FILE to write all packets to, for Wireshark; passwords are in it]:FILE:_files' \
      '*--quiet[print no messages but data]' \
      '*--help[show the flags]' \
      '*: :'
    ;;
  bench)
    _arguments -S \
      '*--shape[SHAPE is who publishes to whom\: pairs, fan-in, fan-out, shared or mesh (default\: pairs)]:SHAPE:(pairs fan-in fan-out shared mesh)' \
      '*-c[NUMBER of clients, publishers and subscribers together (default\: 1000)]:NUMBER: ' \
      '*--clients[NUMBER of clients, publishers and subscribers together (default\: 1000)]:NUMBER: ' \
      '*--count[NUMBER of clients, publishers and subscribers together (default\: 1000)]:NUMBER: ' \
      '*--pubs[NUMBER of publishers]:NUMBER: ' \
      '*--publishers[NUMBER of publishers]:NUMBER: ' \
      '*--subs[NUMBER of subscribers]:NUMBER: ' \
      '*--subscribers[NUMBER of subscribers]:NUMBER: ' \
      '*-R[RATE of new connections, a second (default\: no bound)]:RATE: ' \
      '*--connrate[RATE of new connections, a second (default\: no bound)]:RATE: ' \
      '*-i[MILLISECONDS between two connects\: another way to say --connrate]:MILLISECONDS: ' \
      '*--interval[MILLISECONDS between two connects\: another way to say --connrate]:MILLISECONDS: ' \
      '*--connecting[NUMBER of clients that connect at the same time (default\: 64, which is the most)]:NUMBER: ' \
      '*--engine[ENGINE that drives the clients'\'' sockets\: portable, a goroutine for each; epoll, a few event loops, on Linux; or auto, the best there is (default\: auto)]:ENGINE:(auto portable epoll)' \
      '*--client-id[Client Identifier TEXT of each client, with ${i}, ${role}, ${run} (default\: bench, run, role and number)]:TEXT: ' \
      '*--creds[CSV FILE with a line for each client\: its columns username, password and client_id are taken, and all are ${csv\:COLUMN}]:FILE:_files' \
      '*--source-ip[ADDRESSES to connect from in turns\: a list, a network of this machine'\''s, or auto]:ADDRESSES: ' \
      '*--ifaddr[ADDRESSES to connect from in turns\: a list, a network of this machine'\''s, or auto]:ADDRESSES: ' \
      '*--keep-session[keep the sessions of the subscribers while they are away]' \
      '*--broker-cmd[COMMAND that starts the broker to measure on port {port}\: its CPU time and memory are reported]:COMMAND: ' \
      '*--rate[RATE of all publishers together, messages a second\: 500, 10k (default\: 3000)]:RATE: ' \
      '*--rate-per-client[RATE of each publisher]:RATE: ' \
      '*-I[MILLISECONDS between two messages of a publisher\: another way to say --rate-per-client]:MILLISECONDS: ' \
      '*--interval_of_msg[MILLISECONDS between two messages of a publisher\: another way to say --rate-per-client]:MILLISECONDS: ' \
      '*--interval-of-msg[MILLISECONDS between two messages of a publisher\: another way to say --rate-per-client]:MILLISECONDS: ' \
      '*--arrival[ARRIVAL of messages\: uniform, poisson, or burst\:N for N at once (default\: uniform)]:ARRIVAL: ' \
      '*--ramp[TIME in which the rate grows from 0, before all else]:TIME: ' \
      '*--steps[RATE\:TIME,... one after the other, instead of --rate and --duration\: 1k\:30s,5k\:30s]:RATE\:TIME,...: ' \
      '*--pacer[HOW sends are timed\: timer, or precise for less lag and more CPU time (default\: timer)]:HOW:(timer precise)' \
      '*--max[send as fast as the server acknowledges]' \
      '*-F[NUMBER of QoS 1 and 2 messages that a publisher may have under way]:NUMBER: ' \
      '*-M[NUMBER of QoS 1 and 2 messages that a publisher may have under way]:NUMBER: ' \
      '*--inflight[NUMBER of QoS 1 and 2 messages that a publisher may have under way]:NUMBER: ' \
      '*--max-inflight[NUMBER of QoS 1 and 2 messages that a publisher may have under way]:NUMBER: ' \
      '*--duration[TIME to measure (default\: 10s)]:TIME: ' \
      '*--warmup[TIME of load before that, which is not measured (default\: 2s)]:TIME: ' \
      '*--warm-up[TIME of load before that, which is not measured (default\: 2s)]:TIME: ' \
      '*--limit[end after this NUMBER of messages]:NUMBER: ' \
      '*--drain[longest TIME to wait for what is under way at the end (default\: 10s)]:TIME: ' \
      '*--hold[TIME to stay connected after that]:TIME: ' \
      '*--seed[NUMBER that makes what is random the same in each run (default\: another each time)]:NUMBER: ' \
      '*-q[QOS of the publishers, which take turns\: 1, or 0,1,2 (default\: 0,1,2)]:QOS: ' \
      '*--qos[QOS of the publishers, which take turns\: 1, or 0,1,2 (default\: 0,1,2)]:QOS: ' \
      '*--sub-qos[QOS of the subscriptions (default\: as the publishers)]:QOS: ' \
      '*-s[payload BYTES, or a range such as 64-1024 (default\: 64)]:BYTES: ' \
      '*--size[payload BYTES, or a range such as 64-1024 (default\: 64)]:BYTES: ' \
      '*-m[TEXT behind the header of each payload, @FILE, or template\:TEXT with ${n}, ${rand\:1-9}, ${ts\:unixms}, ...]:TEXT: ' \
      '*--payload[TEXT behind the header of each payload, @FILE, or template\:TEXT with ${n}, ${rand\:1-9}, ${ts\:unixms}, ...]:TEXT: ' \
      '*--message[TEXT behind the header of each payload, @FILE, or template\:TEXT with ${n}, ${rand\:1-9}, ${ts\:unixms}, ...]:TEXT: ' \
      '*-t[topic TEXT of each publisher, with ${i} and so on]:TEXT: ' \
      '*--topic[topic TEXT of each publisher, with ${i} and so on]:TEXT: ' \
      '*--filter[topic filter TEXT of each subscriber (default\: the same as --topic)]:TEXT: ' \
      '*-r[retain the messages; they are cleared at the end]' \
      '*--retain[retain the messages; they are cleared at the end]' \
      '*--keep[leave retained messages and sessions behind]' \
      '*--no-tracking[leave the header out of payloads\: no end-to-end latency, no check of delivery]' \
      '*--topic-prefix[TOPIC in front of every topic (default\: bench/ and the run)]:TOPIC: ' \
      '*--run-id[ID in topics and Client Identifiers, up to 8 letters and digits (default\: random)]:ID: ' \
      '*--run[ID in topics and Client Identifiers, up to 8 letters and digits (default\: random)]:ID: ' \
      '*--waves[NUMBER of times that connections break (default\: 3)]:NUMBER: ' \
      '*--pick[SHARE of the clients that a wave breaks (default\: 30%)]:SHARE: ' \
      '*--cut[HOW\: disconnect, fin, rst, half-open, slow or take-over (default\: rst)]:HOW:(disconnect fin rst half-open slow take-over)' \
      '*--over[TIME that a wave takes (default\: 0)]:TIME: ' \
      '*--after[TIME before a client comes back]:TIME: ' \
      '*--jitter[more TIME up to this, at random (default\: 1s)]:TIME: ' \
      '*--from[RATE to begin with (default\: 1k)]:RATE: ' \
      '*--most[highest RATE to try (default\: 1M)]:RATE: ' \
      '*--set[KEY=VALUE in the place of what the file says\: groups.devices.clients=100; may be repeated]:KEY=VALUE: ' \
      '*--schema[print the JSON Schema of the file; of results with bench report and bench compare]' \
      '*--threshold[RULE that must hold\: '\''e2e.p99 < 20ms'\'', '\''delivered.rate >= target * 0.99'\''; may be repeated]:RULE: ' \
      '*--no-default-thresholds[do without those that hold for every run]' \
      '*--inconclusive-ok[let thresholds and runs with too few samples pass]' \
      '*--dry-run[check everything, show what would be done, and connect to nothing]' \
      '*-o[KIND=FILE to write the result to\: csv, hdr, html, json, junit, md, text; - is stdout; may be repeated]:KIND=FILE: ' \
      '*--output[KIND=FILE to write the result to\: csv, hdr, html, json, junit, md, text; - is stdout; may be repeated]:KIND=FILE: ' \
      '*--out[KIND=FILE to write the result to\: csv, hdr, html, json, junit, md, text; - is stdout; may be repeated]:KIND=FILE: ' \
      '*--metrics[ADDRESS at which Prometheus can read how it goes, such as 127.0.0.1\:9100]:ADDRESS: ' \
      '*--json[print the result as JSON, and the text on stderr]' \
      '*--color[WHEN to colour\: auto, always or never (default\: auto; NO_COLOR is heeded)]:WHEN:(auto always never)' \
      '*--tolerance[SHARE by which a metric may be worse (default\: 10%)]:SHARE: ' \
      '*--rounds[NUMBER of runs of each side, in the order A B B A (default\: 4)]:NUMBER: ' \
      '*--baseline[JSON FILE of a run before, or a folder of them, that this run is held against; may be repeated]:FILE:_files' \
      '*--force[compare also different loads and machines]' \
      '*--shard[I/N\: do part I, from 0, of N of the load; mqt bench merge makes one result of all]:I/N: ' \
      '*--start-at[TIME at which all shards begin with the load\: 2026-01-31T12\:00\:00Z, or Unix seconds]:TIME: ' \
      '*--workers[bench k8s\: NUMBER of pods (default\: 4)]:NUMBER: ' \
      '*--image[bench k8s\: IMAGE with mqt (default\: mqt\:latest)]:IMAGE: ' \
      '*--profile[NAME of a profile to take what is not said here from\: see mqt profile --help]:NAME:{compadd -- ${(f)"$(mqt profile ls 2>/dev/null | cut -f1)"}}' \
      '*-h[HOST to connect to (default\: localhost)]:HOST: ' \
      '*--host[HOST to connect to (default\: localhost)]:HOST: ' \
      '*-p[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*--port[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*-L[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--url[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--unix[PATH of a Unix socket to connect to instead]:PATH:_files' \
      '*-A[local ADDRESS to connect from]:ADDRESS: ' \
      '*--bind[local ADDRESS to connect from]:ADDRESS: ' \
      '*--proxy[URL of a proxy to go through\: socks5, socks5h (it looks names up), http or https\://\[user\:password@\]host\[\:port\]]:URL: ' \
      '*--ws[speak MQTT over WebSocket]' \
      '*--ws-path[PATH of the WebSocket (default\: /mqtt)]:PATH:_files' \
      '*--ws-header[HEADER of the WebSocket request, "Name\: value"; may be repeated]:HEADER: ' \
      '*--connect-timeout[TIME for one attempt to connect (default\: 10s)]:TIME: ' \
      '*-u[user NAME]:NAME: ' \
      '*--username[user NAME]:NAME: ' \
      '*-P[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--pw[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password-file[FILE with the password on its first line]:FILE:_files' \
      '*--password-env[VARIABLE with the password]:VARIABLE: ' \
      '*--password-command[COMMAND for the shell that prints the password]:COMMAND: ' \
      '*--ask-password[ask for the password on the terminal]' \
      '*--password-prompt[ask for the password on the terminal]' \
      '*--auth-method[METHOD by which both sides prove to know the password, and do not tell it (MQTT 5); with --token-command any, by which the token is given, and renewed on the connection]:METHOD:(SCRAM-SHA-256 SCRAM-SHA-512)' \
      '*-k[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*--keepalive[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*-V[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--protocol-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--mqtt-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--tls[use TLS, with the system'\''s CAs unless others are given]' \
      '*--tls-use-os-certs[use TLS, with the system'\''s CAs unless others are given]' \
      '*--ssl[use TLS, with the system'\''s CAs unless others are given]' \
      '*--no-tls[no TLS, whatever port or files are given]' \
      '*--cafile[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--ca[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--cacertfile[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--capath[DIRECTORY with such files]:DIRECTORY:_files' \
      '*--cert[FILE with our certificate (PEM)]:FILE:_files' \
      '*--certfile[FILE with our certificate (PEM)]:FILE:_files' \
      '*--key[FILE with its private key (PEM)]:FILE:_files' \
      '*--keyfile[FILE with its private key (PEM)]:FILE:_files' \
      '*--keypass[PASSPHRASE of the key; others can see it]:PASSPHRASE: ' \
      '*--keypass-file[FILE with the passphrase on its first line]:FILE:_files' \
      '*--keypass-env[VARIABLE with the passphrase]:VARIABLE: ' \
      '*--insecure[do not check the server'\''s certificate\: for tests]' \
      '*--tls-version[only this VERSION, tlsv1.2 or tlsv1.3]:VERSION:(tlsv1.2 tlsv1.3)' \
      '*--ciphers[LIST of the cipher suites for TLS 1.2, as OpenSSL names them, with colons between (default\: all that are safe)]:LIST: ' \
      '*--tls-alpn[PROTOCOL to offer by ALPN; may be repeated]:PROTOCOL: ' \
      '*--tls-sni[NAME to ask for and to check, if not the host'\''s]:NAME: ' \
      '*--tls-keylog[FILE to append the session'\''s keys to, for Wireshark]:FILE:_files' \
      '*--quiet[print no messages but data]' \
      '*--help[show the flags]' \
      '1:work:(pubsub conn pub sub storm retained resume sweep run report compare ab merge k8s calibrate)' \
      '*:file:_files'
    ;;
  broker)
    _arguments -S \
      '*-p[PORT on localhost; 0 picks a free one (default\: 1883)]:PORT: ' \
      '*--port[PORT on localhost; 0 picks a free one (default\: 1883)]:PORT: ' \
      '*--listen[URL to listen on\: mqtt, mqtts, ws, wss or unix; may be repeated]:URL: ' \
      '*--ws-origin[ORIGIN of the pages that may use ws and wss, as https\://example.org; * for any; may be repeated (default\: those of the host that they call)]:ORIGIN: ' \
      '*--metrics[ADDR of an HTTP server with /metrics, /clients, /healthz and /readyz, as 127.0.0.1\:9090]:ADDR: ' \
      '*--metrics-clients[let other machines see /clients there, and not only this one]' \
      '*-c[FILE with settings, as broker.yaml\: any flag'\''s name is a key]:FILE:_files' \
      '*--config[FILE with settings, as broker.yaml\: any flag'\''s name is a key]:FILE:_files' \
      '*--check-config[check the settings and the files they name, and leave]' \
      '*--data-dir[DIRECTORY that keeps sessions, queues and retained messages over restarts and power cuts (default\: in memory only)]:DIRECTORY:_files' \
      '*--check[verify what is in --data-dir, sum it up, and leave]' \
      '*--json[with --check\: print JSON]' \
      '*--ready-file[FILE that appears once all listen, with one URL a line]:FILE:_files' \
      '*--exec[COMMAND for the shell to run with MQTT_URL set; leave with its exit code]:COMMAND: ' \
      '*--sys-interval[TIME between two values of $SYS/broker/...; 0 turns it off (default\: 10s)]:TIME: ' \
      '*--engine[ENGINE that drives sockets\: portable, a goroutine for each connection; epoll, a few event loops, on Linux; or auto, the best there is (default\: auto)]:ENGINE:(auto portable epoll)' \
      '*-v[log connections and what is dropped on stderr\: --log-level debug]' \
      '*--verbose[log connections and what is dropped on stderr\: --log-level debug]' \
      '*--log-level[LEVEL\: debug, info, warn or error (default\: warn)]:LEVEL:(debug info warn error)' \
      '*--log-format[FORMAT\: text or json (default\: text)]:FORMAT:(text json)' \
      '*--cert[FILE with the certificate chain of mqtts and wss (PEM)]:FILE:_files' \
      '*--key[FILE with its private key (PEM)]:FILE:_files' \
      '*--keypass[PASSPHRASE of the key]:PASSPHRASE: ' \
      '*--cafile[FILE with the CA that clients'\'' certificates must be signed by, if they have one]:FILE:_files' \
      '*--require-cert[refuse clients without such a certificate]' \
      '*--password-file[* FILE with users, as mqt passwd or mosquitto_passwd writes it; MQT_USERS_FILE in the environment, where MQT_PASSWORD_FILE is a client'\''s]:FILE:_files' \
      '*--acl[* FILE with what clients may publish and subscribe to; mosquitto\:FILE reads mosquitto'\''s acl_file]:FILE:_files' \
      '*--allow-anonymous[let in who names no user, from anywhere and also where there are users; without it and without users, from this machine]' \
      '*--cert-as-user[NAME of a client'\''s certificate that is its user\: cn or san]:NAME:(cn san)' \
      '*--jwt-key[* FILE with a public key or certificate (PEM) for RS, ES and EdDSA, or the secret of HS256, HS384 and HS512]:FILE:_files' \
      '*--jwks[* FILE with a JSON Web Key Set, or its URL (http, https), fetched again for an unknown key and once 15 minutes old]:FILE:_files' \
      '*--jwks-ca[* FILE with the CA of that URL'\''s server, in the place of the system'\''s (PEM)]:FILE:_files' \
      '*--jwt-audience[* NAME that must be a token'\''s audience; without it a token may have none]:NAME: ' \
      '*--jwt-issuer[* NAME that must be a token'\''s issuer (default\: any)]:NAME: ' \
      '*--jwt-user-claim[* CLAIM with the user name (default\: sub)]:CLAIM: ' \
      '*--no-retain[refuse retained messages and wills (0x9A)]' \
      '*--no-wildcard-subscriptions[refuse + and # in filters (0xA2)]' \
      '*--no-shared-subscriptions[refuse $share filters (0x9E)]' \
      '*--no-subscription-identifiers[refuse them (0xA1)]' \
      '*--max-connections[* NUMBER of connections (default\: 1000000)]:NUMBER: ' \
      '*--max-connections-per-address[* NUMBER from one address, or one IPv6 /64; not of this machine (default\: 10000)]:NUMBER: ' \
      '*--max-connections-per-user[* NUMBER of one user (default\: any)]:NUMBER: ' \
      '*--max-sessions[* NUMBER of sessions, connected or not (default\: 1000000)]:NUMBER: ' \
      '*--max-sessions-per-user[* NUMBER of sessions of one user, connected or not (default\: any)]:NUMBER: ' \
      '*--connect-rate[* NUMBER of CONNECT a second, of all (default\: any)]:NUMBER: ' \
      '*--message-rate[* NUMBER of messages a second of one client (default\: any)]:NUMBER: ' \
      '*--byte-rate[* SIZE that one client may send a second (default\: any)]:SIZE: ' \
      '*--connect-timeout[TIME from accept to a whole CONNECT (default\: 10s)]:TIME: ' \
      '*--max-packet-size[SIZE of a packet (default\: 64MiB)]:SIZE: ' \
      '*--max-keep-alive[SECONDS of the longest keep alive (default\: any)]:SECONDS: ' \
      '*--max-session-expiry[SECONDS that a session outlives its connection (default\: any)]:SECONDS: ' \
      '*--receive-maximum[NUMBER of QoS 1 and 2 messages in flight from a client (default\: 1024)]:NUMBER: ' \
      '*--max-inflight[NUMBER of them in flight to a client (default\: 65535)]:NUMBER: ' \
      '*--topic-alias-maximum[NUMBER of topic aliases of a client; 0\: none (default\: 64)]:NUMBER: ' \
      '*--max-topic-levels[* NUMBER of levels of a topic (default\: 200)]:NUMBER: ' \
      '*--max-topic-length[* NUMBER of bytes of a topic (default\: 65535)]:NUMBER: ' \
      '*--max-subscriptions[* NUMBER of subscriptions of a session (default\: 10000)]:NUMBER: ' \
      '*--max-queue[* NUMBER of messages waiting for a session (default\: 100000)]:NUMBER: ' \
      '*--max-queue-bytes[* SIZE of them (default\: 64MiB)]:SIZE: ' \
      '*--max-out-bytes[SIZE of what waits for a connection (default\: 8MiB)]:SIZE: ' \
      '*--max-memory[* SIZE of all that clients have the broker keep\: queues, what is in flight, retained messages, sessions (default\: 1GiB)]:SIZE: ' \
      '*--max-retained[* NUMBER of retained messages (default\: 1000000)]:NUMBER: ' \
      '*--max-retained-bytes[* SIZE of them (default\: half of --max-memory)]:SIZE: ' \
      '*--max-qos[QOS that is the highest\: 0, 1 or 2 (default\: 2)]:QOS:(0 1 2)' \
      '*--maximum-qos[QOS that is the highest\: 0, 1 or 2 (default\: 2)]:QOS:(0 1 2)' \
      '*--help[show the flags]' \
      '*: :'
    ;;
  profile)
    _arguments -S \
      '*-f[replace a profile that is there]' \
      '*--force[replace a profile that is there]' \
      '*-h[HOST to connect to (default\: localhost)]:HOST: ' \
      '*--host[HOST to connect to (default\: localhost)]:HOST: ' \
      '*-p[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*--port[PORT (default\: 1883, with TLS 8883); 8883 turns TLS on]:PORT: ' \
      '*-L[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--url[URL instead\: mqtt or mqtts\://\[user\[\:password\]@\]host\[\:port\]\[/topic\], ws or wss\://host\[\:port\]\[/path\], unix\:///path]:URL: ' \
      '*--unix[PATH of a Unix socket to connect to instead]:PATH:_files' \
      '*-A[local ADDRESS to connect from]:ADDRESS: ' \
      '*--bind[local ADDRESS to connect from]:ADDRESS: ' \
      '*--proxy[URL of a proxy to go through\: socks5, socks5h (it looks names up), http or https\://\[user\:password@\]host\[\:port\]]:URL: ' \
      '*--nodelay[send small packets at once, which is always so]' \
      '*--ws[speak MQTT over WebSocket]' \
      '*--ws-path[PATH of the WebSocket (default\: /mqtt)]:PATH:_files' \
      '*--ws-header[HEADER of the WebSocket request, "Name\: value"; may be repeated]:HEADER: ' \
      '*--connect-timeout[TIME for one attempt to connect (default\: 10s)]:TIME: ' \
      '*--retry[try again for ever, when there is no connection at first or it is lost]' \
      '*--retry-for[TIME to try again for when it is lost, 0 for not at all (default\: 5s for sub and for pub from a stream); with --retry also at first]:TIME: ' \
      '*--retry-max[NUMBER of attempts in a row; implies --retry (default\: no end)]:NUMBER: ' \
      '*--retry-delay[longest TIME before the first new attempt, doubled each time up to 30s; implies --retry]:TIME: ' \
      '*-i[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*--id[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*--client-id[Client Identifier ID (default\: the server assigns one)]:ID: ' \
      '*-I[Client Identifier from PREFIX and the process number]:PREFIX: ' \
      '*--id-prefix[Client Identifier from PREFIX and the process number]:PREFIX: ' \
      '*-u[user NAME]:NAME: ' \
      '*--username[user NAME]:NAME: ' \
      '*-P[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--pw[PASSWORD; others can see it, so prefer one of the next four]:PASSWORD: ' \
      '*--password-file[FILE with the password on its first line]:FILE:_files' \
      '*--password-env[VARIABLE with the password]:VARIABLE: ' \
      '*--password-command[COMMAND for the shell that prints the password]:COMMAND: ' \
      '*--ask-password[ask for the password on the terminal]' \
      '*--password-prompt[ask for the password on the terminal]' \
      '*--token-command[COMMAND for the shell that prints a token, a JWT or an OAuth 2.0 answer, to be used as the password; run again when it expires or is refused]:COMMAND: ' \
      '*--auth-method[METHOD by which both sides prove to know the password, and do not tell it (MQTT 5); with --token-command any, by which the token is given, and renewed on the connection]:METHOD:(SCRAM-SHA-256 SCRAM-SHA-512)' \
      '*-k[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*--keepalive[SECONDS between signs of life, 0 for none (default\: 60)]:SECONDS: ' \
      '*-V[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--protocol-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*--mqtt-version[MQTT VERSION\: 5, 311 or 31 (default\: 5, or 3.1.1 with a server that has no 5)]:VERSION:(5 311 31)' \
      '*-c[keep the session, and take up an earlier one; needs -i]' \
      '*--disable-clean-session[keep the session, and take up an earlier one; needs -i]' \
      '*-x[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*--session-expiry[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*--session-expiry-interval[SECONDS that the session outlives the connection; -1 for ever]:SECONDS: ' \
      '*-M[NUMBER of QoS 1 and 2 messages under way (default\: what the server allows)]:NUMBER: ' \
      '*--max-inflight[NUMBER of QoS 1 and 2 messages under way (default\: what the server allows)]:NUMBER: ' \
      '*-D[property COMMAND NAME \[KEY\] VALUE as mosquitto has it; COMMAND is connect, will, disconnect]:COMMAND NAME \[KEY\] VALUE:(connect will disconnect):COMMAND NAME \[KEY\] VALUE: :COMMAND NAME \[KEY\] VALUE: ' \
      '*--property[property COMMAND NAME \[KEY\] VALUE as mosquitto has it; COMMAND is connect, will, disconnect]:COMMAND NAME \[KEY\] VALUE:(connect will disconnect):COMMAND NAME \[KEY\] VALUE: :COMMAND NAME \[KEY\] VALUE: ' \
      '*--authentication-method[authentication method of CONNECT, a TEXT]:TEXT: ' \
      '*--authentication-data[authentication data of CONNECT, any DATA]:DATA: ' \
      '*--request-problem-information[request problem information of CONNECT, 0|1]:0|1: ' \
      '*--request-response-information[request response information of CONNECT, 0|1]:0|1: ' \
      '*--receive-maximum[receive maximum of CONNECT, a NUMBER]:NUMBER: ' \
      '*--topic-alias-maximum[topic alias maximum of CONNECT, a NUMBER]:NUMBER: ' \
      '*--connect-user-property[user property KEY=VALUE of CONNECT; may be repeated]:KEY=VALUE: ' \
      '*--maximum-packet-size[maximum packet size of CONNECT, a NUMBER]:NUMBER: ' \
      '*--disconnect-session-expiry-interval[session expiry interval of DISCONNECT, a NUMBER]:NUMBER: ' \
      '*--disconnect-reason-string[reason string of DISCONNECT, a TEXT]:TEXT: ' \
      '*--disconnect-user-property[user property KEY=VALUE of DISCONNECT; may be repeated]:KEY=VALUE: ' \
      '*--tls[use TLS, with the system'\''s CAs unless others are given]' \
      '*--tls-use-os-certs[use TLS, with the system'\''s CAs unless others are given]' \
      '*--no-tls[no TLS, whatever port or files are given]' \
      '*--cafile[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--ca[FILE with the CAs to trust (PEM); turns TLS on, as do --capath and --cert]:FILE:_files' \
      '*--capath[DIRECTORY with such files]:DIRECTORY:_files' \
      '*--cert[FILE with our certificate (PEM)]:FILE:_files' \
      '*--key[FILE with its private key (PEM)]:FILE:_files' \
      '*--keypass[PASSPHRASE of the key; others can see it]:PASSPHRASE: ' \
      '*--keypass-file[FILE with the passphrase on its first line]:FILE:_files' \
      '*--keypass-env[VARIABLE with the passphrase]:VARIABLE: ' \
      '*--insecure[do not check the server'\''s certificate\: for tests]' \
      '*--tls-version[only this VERSION, tlsv1.2 or tlsv1.3]:VERSION:(tlsv1.2 tlsv1.3)' \
      '*--ciphers[LIST of the cipher suites for TLS 1.2, as OpenSSL names them, with colons between (default\: all that are safe)]:LIST: ' \
      '*--tls-alpn[PROTOCOL to offer by ALPN; may be repeated]:PROTOCOL: ' \
      '*--tls-sni[NAME to ask for and to check, if not the host'\''s]:NAME: ' \
      '*--tls-keylog[FILE to append the session'\''s keys to, for Wireshark]:FILE:_files' \
      '*--will-topic[TOPIC of the message that the server publishes when this client is gone]:TOPIC: ' \
      '*--will-payload[TEXT of the will]:TEXT: ' \
      '*--will-file[FILE with the payload of the will]:FILE:_files' \
      '*--will-qos[QOS 0, 1 or 2 (default\: 0)]:QOS:(0 1 2)' \
      '*--will-retain[retain the will]' \
      '*--will-always[have it published also when this client leaves by itself (MQTT 5)]' \
      '*--will-payload-format-indicator[payload format indicator of the will, 0|1]:0|1: ' \
      '*--will-message-expiry-interval[message expiry interval of the will, a NUMBER]:NUMBER: ' \
      '*--will-content-type[content type of the will, a TEXT]:TEXT: ' \
      '*--will-response-topic[response topic of the will, a TEXT]:TEXT: ' \
      '*--will-correlation-data[correlation data of the will, any DATA]:DATA: ' \
      '*--will-delay-interval[will delay interval of the will, a NUMBER]:NUMBER: ' \
      '*--will-user-property[user property KEY=VALUE of the will; may be repeated]:KEY=VALUE: ' \
      '*-d[show every packet, both ways, on stderr]' \
      '*--debug[show every packet, both ways, on stderr]' \
      '*--pcap[FILE to write all packets to, for Wireshark; passwords are in it]:FILE:_files' \
      '*--quiet[print no messages but data]' \
      '*--help[show the flags]' \
      '1:verb:(add ls show rm use)' \
      '2:profile:{compadd -- ${(f)"$(mqt profile ls 2>/dev/null | cut -f1)"}}'
    ;;
  passwd)
    _arguments -S \
      '*-c[begin a new file; one that is there is replaced, with all its users]' \
      '*--create[begin a new file; one that is there is replaced, with all its users]' \
      '*-D[take the user out]' \
      '*--delete[take the user out]' \
      '*-b[take the password from the command line, where others may see it]' \
      '*--batch[take the password from the command line, where others may see it]' \
      '*--scram[write keys for SCRAM in the place of an argon2id hash]' \
      '*--iterations[NUMBER of rounds that --scram costs a client (default\: 100000)]:NUMBER: ' \
      '*--password-file[FILE whose first line is the password]:FILE:_files' \
      '*--help[show the flags]' \
      '*: :'
    ;;
  completion)
    _arguments -S \
      '*--help[show the flags]' \
      '1:shell:(bash zsh fish powershell)'
    ;;
  man)
    _arguments -S \
      '*--dir[write the pages of all commands into DIR]:DIR: ' \
      '*--help[show the flags]' \
      '1:comma:(pub sub bench broker profile passwd completion)'
    ;;
  help)
    _arguments '1:command:(pub sub bench broker profile passwd completion man help)'
    ;;
  esac
}

# Sourced, it registers itself; in $fpath it is called.
if [[ $funcstack[1] == _mqt ]]; then
  _mqt "$@"
else
  compdef _mqt mqt
fi
