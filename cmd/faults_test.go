//go:build soak

package cmd_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestFaults runs what is promised under faults, a script of testdata/fault for each. They know the commands of TestScripts and
//
//	link MODE [TIME]           puts a bad network before MQTT_URL: see controlLink
//	names ADDRESS|none|mute    is what DNS answers: see setNames
//
// They mostly wait, and want all of a machine's tricks: .ci/faults runs them. Where each fault is shown, by client and broker:
//
//	fault                pub                        sub                      bench                    broker
//	broker killed        TestPubOutlivesTheBroker   retry, exitcodes         killed                   TestBrokerCrashes
//	broker restarted     retry, dns                 retry, dns               killed                   data, TestBrokerCrashes
//	peer frozen          frozen                     frozen                   frozen                   frozen (of a client)
//	network cut          network, TestPubDelivers…  network                  bench_network            soak
//	gone without FIN     network                    network                  bench_network, frozen    network (the will), soak
//	swallowed, held      network                    network                  bench_network            network
//	delayed              network                    network                  network                  network
//	byte by byte         network, layers            network, layers          network, layers          network, layers
//	certificate expires  tls                        tls                      tls                      tls (who is there stays)
//	DNS changes, fails   dns                        dns                      dns                      it asks none
//	disk full            disk (--pcap)              disk, sub_save           disk                     disk, TestFull… of mqtt/store
//	clock set anew       it has no schedule of it   TestClockSteps           TestClockSteps           TestClockSteps
//	no descriptor        files                      files                    files                    files
//	memory limit         memory                     memory                   memory                   memory
//	storm of reconnects  TestReconnectsAreNoStorm of mqtt/client, TestReconnectHasJitter
//
// Names without Test are scripts, of testdata/fault or testdata/script. What nobody can have: a broker that was off while the clock
// was set counts by that clock how long it was away.
func TestFaults(t *testing.T) {
	t.Parallel()
	p := scriptParams("fault")
	p.Cmds["link"], p.Cmds["names"] = controlLink, setNames
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Values[linkKey{}], env.Values[namesKey{}] = &theLink{}, &theNames{}
		return setup(env)
	}
	testscript.Run(t, p)
}
