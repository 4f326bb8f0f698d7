// Package completions holds the scripts with which shells complete the command
// line of mqt. A test of package cmd writes them from the commands and flags
// that there are, and fails when they differ: go test ./cmd -run Completions
// -update.
package completions

import _ "embed" // the scripts

// Scripts by the shell's name.
//
//go:embed mqt.bash
var bash string

//go:embed mqt.zsh
var zsh string

//go:embed mqt.fish
var fish string

//go:embed mqt.ps1
var powershell string

// Shells are those that there is a script for.
func Shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

// Script returns the shell's script; false if there is none.
func Script(shell string) (string, bool) {
	switch shell {
	case "bash":
		return bash, true
	case "zsh":
		return zsh, true
	case "fish":
		return fish, true
	case "powershell":
		return powershell, true
	}
	return "", false
}
