package client_test

import (
	"context"
	"os"
	"testing"
	"time"

	"mqt/mqtt"
	"mqt/mqtt/client"
)

// realBroker returns the URL of a real broker for the tests that need one.
func realBroker(t *testing.T) string {
	t.Helper()
	url := os.Getenv("MQTT_TEST_BROKER")
	if url == "" {
		t.Skip("MQTT_TEST_BROKER names no broker")
	}
	return url
}

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRealRoundTrip(t *testing.T) {
	url := realBroker(t)
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V50} {
		for qos := mqtt.QoS0; qos <= mqtt.QoS2; qos++ {
			t.Run(v.String()+"/"+string('0'+rune(qos)), func(t *testing.T) {
				ctx := deadline(t, 20*time.Second)
				c, err := client.Connect(ctx, client.Options{URL: url, Version: v, ClientID: "round-trip"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Subscribe(ctx, []mqtt.Subscription{{Filter: "round/#", QoS: qos}}, nil); err != nil {
					t.Fatal(err)
				}
				const n = 300
				go func() {
					for i := range n {
						payload := make([]byte, i*37)
						if i > 0 {
							payload[0] = byte(i)
						}
						if _, err := c.Publish(ctx, &mqtt.Message{Topic: "round/trip", QoS: qos, Payload: payload}); err != nil {
							t.Error(err)
						}
					}
				}()
				for i := range n {
					d, err := c.Receive(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if len(d.Payload) != i*37 || i > 0 && d.Payload[0] != byte(i) || d.Topic != "round/trip" || d.QoS != qos {
						t.Fatalf("message %d is %d bytes to %s, QoS %d", i, len(d.Payload), d.Topic, d.QoS)
					}
					d.Ack()
				}
				if err := c.Flush(ctx); err != nil {
					t.Fatal(err)
				}
				if err := c.Disconnect(ctx, mqtt.Disconnect{}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
