package cmd

// elsewhere says what a flag that mosquitto, MQTTX, HiveMQ's mqtt, emqtt-bench or k6 have is here, or why there is none; "" if
// there is nothing to say.
func elsewhere(command, name string) string {
	if command == "bench" {
		if hint := elsewhereInBench(name); hint != "" {
			return hint
		}
	}
	if hint := notHere(name); hint != "" {
		return hint
	}
	here := ""
	switch command {
	case "pub":
		here = elsewhereInPub(name)
	case "sub":
		here = elsewhereInSub(name)
	}
	if here == "" && (command == "pub" || command == "sub") {
		here = elsewhereInClients(name)
	}
	if here == "" {
		return ""
	}
	return "here it is " + here
}

// notHere says why a flag of mosquitto's is unknown, or "".
func notHere(name string) string {
	switch name {
	case "--psk", "--psk-identity":
		return "there is no TLS-PSK here; use certificates: --cafile, --cert and --key"
	case "-S":
		return "there is no look-up by DNS SRV here; name the server by -h"
	case "--tls-engine", "--tls-engine-kpass-sha1", "--keyform":
		return "there are no OpenSSL engines here; --key takes a file"
	}
	return ""
}

func elsewhereInClients(name string) string {
	switch name {
	case "--hostname":
		return "-h"
	case "--protocol":
		return "in the URL: -L mqtts://HOST, ws://HOST and so on"
	case "--secure", "--ssl":
		return "--tls"
	case "--path":
		return "--ws-path"
	case "-wh":
		return "--ws-header"
	case "--alpn":
		return "--tls-alpn"
	case "-pw:env":
		return "--password-env"
	case "-pw:file":
		return "--password-file"
	case "-am":
		return "--auth-method"
	case "--no-clean", "--no-cleanStart", "--clean":
		return "-c, which keeps the session; without it there is none"
	case "-se", "--sessionExpiryInterval":
		return "-x"
	case "-rp", "--reconnect-period":
		return "--retry-delay"
	case "--maximum-reconnect-times":
		return "--retry-max"
	case "--rcv-max", "--rcvMax":
		return "--receive-maximum"
	case "--req-response-info", "--reqResponseInfo":
		return "--request-response-information 1"
	case "--no-req-problem-info", "--no-reqProblemInfo":
		return "--request-problem-information 0"
	case "-Cup", "--conn-user-properties", "--connectUserProperty":
		return "--connect-user-property KEY=VALUE"
	case "-up", "--userProperty":
		return "--user-property KEY=VALUE"
	case "-so", "--save-options":
		return "mqt profile add NAME"
	case "-lo", "--load-options":
		return "--profile NAME"
	case "-Wt":
		return "--will-topic"
	case "-Wm", "--will-message", "--willPayload":
		return "--will-payload"
	case "-Wq":
		return "--will-qos"
	case "-Wr":
		return "--will-retain"
	case "-Wd":
		return "--will-delay-interval"
	case "-We":
		return "--will-message-expiry-interval"
	case "-Wct":
		return "--will-content-type"
	case "-Wrt":
		return "--will-response-topic"
	case "-Wcd":
		return "--will-correlation-data"
	case "-Wpf":
		return "--will-payload-format-indicator"
	case "-Wup":
		return "--will-user-property"
	}
	return ""
}

func elsewhereInPub(name string) string {
	switch name {
	case "--stdin":
		return "-s"
	case "--multiline", "--line-mode", "-lm":
		return "-l"
	case "--file-read", "-m:file":
		return "-f"
	case "-m:empty":
		return "-n"
	case "--format":
		return "--encoding"
	case "-Pp", "--protobuf-path", "-Pmn", "--protobuf-message-name":
		return "--encode protobuf:FILE#MESSAGE"
	case "-Ap", "--avsc-path":
		return "--encode avro:FILE"
	case "-pf":
		return "--payload-format-indicator"
	case "-e":
		return "--message-expiry-interval"
	case "-ta":
		return "--topic-alias"
	case "-rt":
		return "--response-topic"
	case "-cd":
		return "--correlation-data"
	case "-ct":
		return "--content-type"
	}
	return ""
}

func elsewhereInSub(name string) string {
	switch name {
	case "-s":
		return "--tls"
	case "-n", "--num", "--limit":
		return "-C"
	case "-f":
		return "--output"
	case "-J", "--jsonOutput", "--output-mode":
		return "--json"
	case "--base64", "-b64":
		return "--output base64"
	case "--show-topics", "--showTopics":
		return "-v"
	case "--file-save":
		return "--save DIRECTORY"
	case "--file-write", "--output-to-file", "--outputToFile", "-of":
		return "the shell's >FILE"
	case "-Pp", "--protobuf-path", "-Pmn", "--protobuf-message-name":
		return "--decode =protobuf:FILE#MESSAGE"
	case "-Ap", "--avsc-path":
		return "--decode =avro:FILE"
	case "-nl":
		return "--no-local"
	case "-rap":
		return "--retain-as-published"
	case "-rh":
		return "--retain-handling always, new or never"
	case "-si":
		return "--subscription-identifier"
	}
	return ""
}

func elsewhereInBench(name string) string {
	switch name {
	case "-n", "--startnumber":
		return "clients have numbers from 0 on; --shard I/N parts them among machines, --client-id names them"
	case "--prefix", "--shortids":
		return "here it is --client-id, such as 'lab-${i}'"
	case "-C", "--clean":
		return "sessions are clean unless there is --keep-session"
	case "-W", "--wait-before-publishing":
		return "here publishers wait for all subscriptions anyhow"
	case "-im", "--message-interval":
		return "here it is --interval_of_msg"
	case "-d", "--runtime", "--time":
		return "here it is --duration"
	case "--vus", "--users":
		return "here it is --clients"
	case "--iterations":
		return "here it is --limit"
	case "--stage", "--stages":
		return "here it is --steps RATE:TIME,..."
	case "--summary-export", "--log_to":
		return "here it is -o json=FILE, or text=FILE"
	case "--prometheus", "--restapi":
		return "here it is --metrics ADDRESS"
	case "--no-color":
		return "here it is --color never"
	case "-S":
		return "here it is --tls"
	}
	return ""
}
