//go:build soak

package cmd_test

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestFaults runs what is promised under faults, a script of testdata/fault for each. They know the commands of TestScripts and
//
//	link MODE [TIME]   puts a bad network before MQTT_URL: see controlLink
//
// They mostly wait, and want all of a machine's tricks: .ci/soak runs them.
func TestFaults(t *testing.T) {
	p := scriptParams("fault")
	p.Cmds["link"] = controlLink
	setup := p.Setup
	p.Setup = func(env *testscript.Env) error {
		env.Values[linkKey{}] = &theLink{}
		return setup(env)
	}
	testscript.Run(t, p)
}
