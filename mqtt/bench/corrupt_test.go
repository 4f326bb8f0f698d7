package bench

import (
	"testing"
	"testing/synctest"

	"mqt/mqtt"
)

// A message that was changed on its way is counted, whatever of it was changed,
// and does not make up for the one that was sent.
func TestCorruptionIsCounted(t *testing.T) {
	const sent = 4 * 200
	for _, qos := range []mqtt.QoS{0, 1, 2} {
		for name, change := range map[string]func(*Scenario){
			"pairs":   func(*Scenario) {},
			"shared":  func(sc *Scenario) { sc.Shape, sc.Subscribers = Shared, 3 },
			"resumed": func(sc *Scenario) { sc.Role = RoleResume },
		} {
			if name == "resumed" && qos == 0 {
				continue // nothing is kept of QoS 0
			}
			for _, version := range []mqtt.Version{mqtt.V311, mqtt.V50} {
				if name == "shared" && version == mqtt.V311 {
					continue // there are none
				}
				t.Run(name+" QoS "+string('0'+byte(qos))+" "+version.String(), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newStub()
						s.on = everyTenth(spoil)
						rep := runStub(t, s, func(sc *Scenario) {
							sc.Publishers, sc.QoS, sc.RatePerClient, sc.Client.Version = 4, []mqtt.QoS{qos}, 20, version
							change(sc)
						})
						want := QoS{QoS: int(qos), Sent: sent, Expected: sent, Delivered: sent - 80, Lost: 80, LossRatio: 0.1, Held: qos == 0}
						c := &rep.Contract
						if c.Corrupt != 80 || c.Strange+c.Unexpected != 0 || len(c.QoS) != 1 || c.QoS[0] != want || c.Held || rep.Verdict != ContractBroken {
							t.Errorf("%s, %d corrupt of %+v, want 80 of %+v", rep.Verdict, c.Corrupt, c, want)
						}
					})
				})
			}
		}
	}
}
