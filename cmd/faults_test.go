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
// They mostly wait, and want all of a machine's tricks: .ci/soak runs them.
func TestFaults(t *testing.T) {
	p := scriptParams("fault")
	p.Cmds["link"], p.Cmds["names"] = controlLink, setNames
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Values[linkKey{}], env.Values[namesKey{}] = &theLink{}, &theNames{}
		return setup(env)
	}
	testscript.Run(t, p)
}
