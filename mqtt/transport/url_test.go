package transport

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"mqtt://host", "mqtt|host|1883||"},
		{"tcp://host", "mqtt|host|1883||"},
		{"MQTT://host:1884", "mqtt|host|1884||"},
		{"mqtts://host", "mqtts|host|8883||"},
		{"ssl://host:1", "mqtts|host|1||"},
		{"tls://host", "mqtts|host|8883||"},
		{"ws://host", "ws|host|80|/mqtt|"},
		{"ws://host/", "ws|host|80|/mqtt|"},
		{"wss://host/path?q=a%20b", "wss|host|443|/path?q=a%20b|"},
		{"wss://host?q=1", "wss|host|443|/mqtt?q=1|"},
		{"mqtt://", "mqtt||1883||"},
		{"mqtt://:0", "mqtt||0||"},
		{"mqtt://[::1]", "mqtt|::1|1883||"},
		{"mqtt://[::]:1884/a", "mqtt|::|1884||a"},
		{"mqtt://[fe80::1%25eth0]:1", "mqtt|fe80::1%eth0|1||"},
		{"mqtt://host/a/b", "mqtt|host|1883||a/b"},
		{"mqtt://host/a/+/#", "mqtt|host|1883||a/+/#"},
		{"mqtt://host//a", "mqtt|host|1883||/a"},
		{"mqtt://host/a%2Fb%20c?d", "mqtt|host|1883||a/b c?d"},
		{"mqtt://user:p%40ss%3A@host", "mqtt|host|1883||user:p@ss:"},
		{"mqtt://u@s:e@host:1/t", "mqtt|host|1||tu@s:e"},
		{"mqtt://user@host", "mqtt|host|1883||user"},
		{"mqtt://user:@host", "mqtt|host|1883||user:"},
		{"mqtt://:secret@host", "mqtt|host|1883||:secret"},
		{"unix:///run/mqtt.sock", "unix|||/run/mqtt.sock|"},
		{"unix://user:pw@/run/a%20b.sock", "unix|||/run/a b.sock|user:pw"},
		{"unix:relative.sock", "unix|||relative.sock|"},
		{"unix:@abstract", "unix|||@abstract|"},
	} {
		e, err := ParseURL(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		got := strings.Join([]string{e.Scheme, e.Host, e.Port, e.Path, e.Topic}, "|")
		if e.HasUsername {
			got += e.Username
		}
		if e.HasPassword {
			got += ":" + string(e.Password)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestParseURLErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "no scheme",
		"host":                        "no scheme",
		"localhost:1883":              "unknown scheme",
		"http://host":                 "unknown scheme",
		"mqtt:host":                   "no //",
		"mqtt://host:port":            "not a number",
		"mqtt://host:65536":           "not a number",
		"mqtt://host:-1":              "not a number",
		"mqtt://::1":                  "in brackets",
		"mqtt://::1:1883":             "in brackets",
		"mqtt://[::1":                 "no ]",
		"mqtt://[::1]x":               "unexpected",
		"mqtt://[host]":               "not an IPv6",
		"mqtt://[1.2.3.4]":            "not an IPv6",
		"mqtt://ho st":                "not a host",
		"mqtt://host/%zz":             "topic",
		"mqtt://user%zz@host":         "user name",
		"mqtt://user:hush%zz@host":    "percent-encoding",
		"mqtt://user:hush@host:x":     "not a number",
		"ws://host/a b":               "white space",
		"ws://user:hush@host/a\r\nX:": "white space",
		"unix://":                     "no path",
		"unix:":                       "no path",
		"unix:///a%00b":               "NUL",
	} {
		_, err := ParseURL(in)
		var u *URLError
		if !errors.As(err, &u) || !strings.Contains(u.Text, want) {
			t.Errorf("%q: %v, want %q", in, err, want)
			continue
		}
		if strings.Contains(err.Error(), "hush") {
			t.Errorf("the password is shown: %v", err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"mqtt://u:p@[::1]:1883/a/#", "wss://h/p?q", "unix:///x", "mqtt://[fe80::1%25eth0]", "mqtt://[::%2525]", "ws://%000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseURL(s)
		if err != nil {
			return
		}
		again, err := ParseURL(e.String())
		if e.Scheme == SchemeUnix {
			return // a path may need encoding
		}
		if err != nil {
			t.Fatalf("%q: String() gives %q: %v", s, e, err)
		}
		if fmt.Sprint(again.Scheme, again.Address(), again.Path) != fmt.Sprint(e.Scheme, e.Address(), e.Path) {
			t.Fatalf("%q: %q, again %q", s, e, again)
		}
	})
}
