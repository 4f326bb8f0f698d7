package cmd

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"mqt/completions"
)

var update = flag.Bool("update", false, "write the completion scripts anew")

// TestCompletions holds the embedded scripts equal to the commands and flags that there are.
func TestCompletions(t *testing.T) {
	app := newApp(&Stdio{}, "")
	for shell, g := range map[string]struct {
		file     string
		generate func(*cli.App) string
	}{
		"bash": {"mqt.bash", bashScript}, "zsh": {"mqt.zsh", zshScript}, "fish": {"mqt.fish", fishScript}, "powershell": {"mqt.ps1", powershellScript},
	} {
		want := g.generate(app)
		if *update {
			if err := os.WriteFile(filepath.Join("..", "completions", g.file), []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, ok := completions.Script(shell); !ok || got != want {
			t.Errorf("completions/%s is not what the commands and flags are: go test ./cmd -run Completions -update", g.file)
		}
	}
	if n := len(completions.Shells()); n != 4 {
		t.Errorf("%d shells", n)
	}
}

// TestCompletionShells has each shell complete something with its script.
func TestCompletionShells(t *testing.T) {
	cases := []struct {
		words []string
		want  []string
	}{
		{[]string{"mqt", "pu"}, []string{"pub"}},
		{[]string{"mqt", "pub", "--topic-a"}, []string{"--topic-alias", "--topic-alias-maximum"}},
		{[]string{"mqt", "sub", "--retain-handling", "ne"}, []string{"never", "new"}},
		{[]string{"mqt", "sub", "-t", "x", "--no-l"}, []string{"--no-local"}},
		{[]string{"mqt", "completion", "fi"}, []string{"fish"}},
		{[]string{"mqt", "profile", "sh"}, []string{"show"}},
		{[]string{"mqt", "bench", "st"}, []string{"storm"}},
		{[]string{"mqt", "man", "bro"}, []string{"broker"}},
		{[]string{"mqt", "sub", "--profile", "wo"}, []string{"work", "workshop"}},
		{[]string{"mqt", "profile", "use", "ho"}, []string{"home"}},
	}
	t.Setenv("PATH", fakeProfiles(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	shells := map[string]func(t *testing.T, script string, words []string) string{"bash": runBash, "zsh": runZsh, "fish": runFish, "pwsh": runPowerShell}
	for shell, run := range shells {
		_, err := exec.LookPath(shell)
		if err != nil && shell == "pwsh" {
			continue // no package has it; its script is held to the table like the others
		}
		t.Run(shell, func(t *testing.T) {
			if err != nil {
				t.Skipf("%s is not installed here", shell)
			}
			script, _ := completions.Script(map[string]string{"pwsh": "powershell"}[shell])
			if script == "" {
				script, _ = completions.Script(shell)
			}
			file := filepath.Join(t.TempDir(), "_mqt")
			if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
				t.Fatal(err)
			}
			for _, tt := range cases {
				got := strings.Fields(run(t, file, tt.words))
				slices.Sort(got)
				if !slices.Equal(slices.Compact(got), tt.want) {
					t.Errorf("%v: %v, want %v", tt.words, got, tt.want)
				}
			}
		})
	}
}

// fakeProfiles is a directory with an mqt that knows of three profiles.
func fakeProfiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\nprintf 'home\\tmqtt://a\\tdefault\\nwork\\tmqtt://b\\nworkshop\\tmqtt://c\\n'\n"
	if err := os.WriteFile(filepath.Join(dir, "mqt"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func shellOutput(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func runBash(t *testing.T, script string, words []string) string {
	const complete = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _mqt; printf '%s\n' "${COMPREPLY[@]}"`
	return shellOutput(t, "bash", append([]string{"-c", complete, "bash", script}, words...)...)
}

// runZsh has an interactive zsh on a pseudo terminal complete the line. Its compadd prints the matches between two
// lines that hold a NUL.
func runZsh(t *testing.T, script string, words []string) string {
	inner := filepath.Join(t.TempDir(), "inner")
	if err := os.WriteFile(inner, []byte(`
PROMPT=
autoload -Uz compinit; compinit -D -u
source '`+script+`'
bindkey "^M" undefined
bindkey "^J" undefined
bindkey "^I" complete-word
mark() { print -rn -- $'\0\n' }
compprefuncs=(mark)
comppostfuncs=(mark exit)
zstyle ":completion:*" insert-tab false
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A)\ * ]]; then builtin compadd "$@"; return; fi
  local -a hits
  builtin compadd -A hits "$@"
  local h
  for h in $hits; do print -r -- $h; done
}
print ok
`), 0o644); err != nil {
		t.Fatal(err)
	}
	out := shellOutput(t, "zsh", "-f", "-c", `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z source "$1"
repeat 9; do zpty -r z line; [[ $line == ok* ]] && break; done
zpty -w -n z "$2"$'\t'
while zpty -r z; do :; done`, "zsh", inner, strings.Join(words, " "))
	parts := strings.Split(out, "\x00")
	if len(parts) < 2 {
		t.Fatalf("zsh completed nothing: %q", out)
	}
	return parts[1]
}

func runFish(t *testing.T, script string, words []string) string {
	out := shellOutput(t, "fish", "--no-config", "-c", `source $argv[1]; complete -C "$argv[2]"`, script, strings.Join(words, " "))
	var b strings.Builder
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(line, "\t")
		b.WriteString(name + "\n")
	}
	return b.String()
}

func runPowerShell(t *testing.T, script string, words []string) string {
	line := strings.Join(words, " ")
	return shellOutput(t, "pwsh", "-NoProfile", "-Command", fmt.Sprintf(
		`Get-Content -Raw '%s' | Invoke-Expression; (TabExpansion2 -inputScript '%s' -cursorColumn %d).CompletionMatches.CompletionText`, script, line, len(line)))
}

// completed is what the generators need of a flag.
type completed struct {
	short, long []string // with dashes
	usage       string
	value       string // the placeholder, "" for none
	choices     []string
	files       bool
	profiles    bool // the value is one of mqt profile ls
	words       int
}

func completedFlags(c *cli.Command) []completed {
	var all []completed
	for _, f := range c.Flags {
		x := completed{value: placeholder(f), words: 1}
		for _, n := range namesOf(f) {
			if len(n) == 1 {
				x.short = append(x.short, dashed(n))
			} else {
				x.long = append(x.long, dashed(n))
			}
		}
		if d, ok := f.(cli.DocGenerationFlag); ok {
			x.usage = strings.ReplaceAll(d.GetUsage(), "`", "")
		}
		if o, ok := f.(*option); ok {
			x.choices = o.choices
			if o.words != nil {
				x.words = o.words(nil)
			}
		}
		x.profiles = namesOf(f)[0] == "profile"
		x.files = slices.Contains([]string{"FILE", "PATH", "DIRECTORY"}, x.value)
		all = append(all, x)
	}
	return append(all, completed{long: []string{"--help"}, usage: "show the flags"})
}

func (c *completed) names() []string { return slices.Concat(c.short, c.long) }

func commandNames(app *cli.App) []string {
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	return append(names, "help")
}

// placesOf are the words that a command has beside flags.
func placesOf(c *cli.Command) []string {
	switch c.Name {
	case "completion":
		return completions.Shells()
	case profileName:
		return []string{"add", "ls", "show", "rm", "use"}
	case "bench":
		return []string{
			"pubsub", "conn", "pub", "sub", "storm", "retained", "resume", "sweep",
			"run", "report", "compare", "ab", "merge", "k8s", "calibrate",
		}
	case "man":
		return []string{"pub", "sub", "bench", "broker", profileName, "passwd", "completion"}
	}
	return nil
}

// bashProfiles completes a profile's name.
const bashProfiles = `COMPREPLY=($(compgen -W "$(mqt profile ls 2>/dev/null | cut -f1)" -- "$cur")); return`

const generatedBy = "# Written by a test from the commands and flags: go test ./cmd -run Completions -update\n"

func bashScript(app *cli.App) string {
	var values, flags strings.Builder
	for _, c := range app.Commands {
		var all []string
		for _, f := range completedFlags(c) {
			all = append(all, f.names()...)
			if f.value == "" {
				continue
			}
			var cases []string
			for _, n := range f.names() {
				cases = append(cases, c.Name+":"+n)
			}
			action := "return"
			switch {
			case f.choices != nil:
				action = fmt.Sprintf("COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return", strings.Join(f.choices, " "))
			case f.profiles:
				action = bashProfiles
			case f.files:
				action = `compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); return`
			}
			fmt.Fprintf(&values, "    %s) %s ;;\n", strings.Join(cases, "|"), action)
		}
		all = append(all, placesOf(c)...)
		if c.Name == profileName {
			fmt.Fprintf(&values, "    %[1]s:show|%[1]s:rm|%[1]s:use) %[2]s ;;\n", c.Name, bashProfiles)
		}
		fmt.Fprintf(&flags, "    %s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", c.Name, strings.Join(all, " "))
	}
	return "# bash completion for mqt\n" + generatedBy + "# shellcheck disable=SC2207 # the bash of macOS has no mapfile\n" + `
_mqt() {
  local cur=${COMP_WORDS[COMP_CWORD]} IFS=$' \t\n'
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '` + strings.Join(commandNames(app), " ") + ` --help --version' -- "$cur"))
    return
  fi
  # A flag's value.
  case ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD - 1]} in
` + values.String() + `  esac
  case ${COMP_WORDS[1]} in
` + flags.String() + `    help) COMPREPLY=($(compgen -W '` + strings.Join(commandNames(app), " ") + `' -- "$cur")) ;;
  esac
}

complete -F _mqt mqt
`
}

func zshQuote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `:`, `\:`).Replace(s)
	return strings.ReplaceAll(s, `'`, `'\''`)
}

func zshScript(app *cli.App) string {
	var b strings.Builder
	b.WriteString("#compdef mqt\n" + generatedBy + "\n_mqt() {\n  local context state state_descr line\n  typeset -A opt_args\n  if ((CURRENT == 2)); then\n    local -a commands=(\n")
	for _, c := range app.Commands {
		fmt.Fprintf(&b, "      '%s:%s'\n", c.Name, zshQuote(c.Usage))
	}
	b.WriteString("      'help:show the flags of a command'\n      '--help:show the commands and exit codes'\n      '--version:show the version'\n    )\n" +
		"    _describe command commands\n    return\n  fi\n  local command=$words[2]\n  shift words\n  ((CURRENT--))\n  case $command in\n")
	for _, c := range app.Commands {
		fmt.Fprintf(&b, "  %s)\n    _arguments -S \\\n", c.Name)
		for _, f := range completedFlags(c) {
			for _, n := range f.names() {
				fmt.Fprintf(&b, "      '*%s[%s]%s' \\\n", n, zshQuote(f.usage), zshValue(&f))
			}
		}
		rest := "      '*: :'\n"
		if words := placesOf(c); words != nil {
			rest = fmt.Sprintf("      '1:%s:(%s)'\n", strings.ToLower(strings.Trim(c.ArgsUsage, "[]")[:5]), strings.Join(words, " "))
		}
		if c.Name == "bench" { // run FILE, compare BASE NEW
			rest = strings.Replace(rest, "'1:pubsu:", "'1:work:", 1)
			rest = strings.TrimSuffix(rest, "\n") + " \\\n      '*:file:_files'\n"
		}
		if c.Name == profileName {
			rest = "      '1:verb:(" + strings.Join(placesOf(c), " ") + ")' \\\n      '2:profile:" + zshProfiles + "'\n"
		}
		b.WriteString(rest + "    ;;\n")
	}
	fmt.Fprintf(&b, "  help)\n    _arguments '1:command:(%s)'\n    ;;\n  esac\n}\n\n", strings.Join(commandNames(app), " "))
	b.WriteString("# Sourced, it registers itself; in $fpath it is called.\nif [[ $funcstack[1] == _mqt ]]; then\n  _mqt \"$@\"\nelse\n  compdef _mqt mqt\nfi\n")
	return b.String()
}

const zshProfiles = `{compadd -- ${(f)"$(mqt profile ls 2>/dev/null | cut -f1)"}}`

func zshValue(f *completed) string {
	if f.value == "" {
		return ""
	}
	action := " "
	switch {
	case f.choices != nil:
		action = "(" + strings.Join(f.choices, " ") + ")"
	case f.profiles:
		action = zshProfiles
	case f.files:
		action = "_files"
	}
	s := ":" + zshQuote(f.value) + ":" + action
	for range f.words - 1 {
		s += ":" + zshQuote(f.value) + ": "
	}
	return s
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

const fishProfiles = "(mqt profile ls 2>/dev/null | cut -f1)"

func fishScript(app *cli.App) string {
	var b strings.Builder
	b.WriteString("# fish completion for mqt\n" + generatedBy + "\ncomplete -c mqt -f\n")
	for _, c := range app.Commands {
		fmt.Fprintf(&b, "complete -c mqt -n __fish_use_subcommand -a %s -d %s\n", c.Name, fishQuote(c.Usage))
	}
	b.WriteString("complete -c mqt -n __fish_use_subcommand -a help -d 'show the flags of a command'\n" +
		"complete -c mqt -n __fish_use_subcommand -l help -d 'show the commands and exit codes'\n" +
		"complete -c mqt -n __fish_use_subcommand -l version -d 'show the version'\n" +
		"complete -c mqt -n '__fish_seen_subcommand_from help' -a " + fishQuote(strings.Join(commandNames(app), " ")) + "\n")
	for _, c := range app.Commands {
		on := "complete -c mqt -n '__fish_seen_subcommand_from " + c.Name + "'"
		if words := placesOf(c); words != nil {
			fmt.Fprintf(&b, "%s -a %s\n", on, fishQuote(strings.Join(words, " ")))
		}
		if c.Name == profileName {
			fmt.Fprintf(&b, "complete -c mqt -n '__fish_seen_subcommand_from profile; and __fish_seen_subcommand_from show rm use' -a %s\n", fishQuote(fishProfiles))
		}
		for _, f := range completedFlags(c) {
			b.WriteString(on)
			for _, n := range f.short {
				b.WriteString(" -s " + n[1:])
			}
			for _, n := range f.long {
				b.WriteString(" -l " + n[2:])
			}
			switch {
			case f.choices != nil:
				b.WriteString(" -x -a " + fishQuote(strings.Join(f.choices, " ")))
			case f.profiles:
				b.WriteString(" -x -a " + fishQuote(fishProfiles))
			case f.files:
				b.WriteString(" -r -F")
			case f.value != "":
				b.WriteString(" -x")
			}
			b.WriteString(" -d " + fishQuote(f.usage) + "\n")
		}
	}
	return b.String()
}

func psQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func psList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = psQuote(w)
	}
	return "@(" + strings.Join(quoted, ", ") + ")"
}

// psProfiles is not asked for where another value is completed.
const psProfiles = "if ($after -match '(--profile|show|rm|use)$') { @(mqt profile ls 2>$null | ForEach-Object { ($_ -split \"`t\")[0] }) } else { @() }"

func powershellScript(app *cli.App) string {
	var table, values strings.Builder
	for _, c := range app.Commands {
		fmt.Fprintf(&table, "        %s = @(\n", psQuote(c.Name))
		for _, s := range placesOf(c) {
			fmt.Fprintf(&table, "            @(%s, %s)\n", psQuote(s), psQuote(strings.ToLower(c.ArgsUsage)))
		}
		if c.Name == profileName {
			for _, verb := range []string{"show", "rm", "use"} {
				fmt.Fprintf(&values, "        %s = %s\n", psQuote(c.Name+" "+verb), psProfiles)
			}
		}
		for _, f := range completedFlags(c) {
			for _, n := range f.names() {
				fmt.Fprintf(&table, "            @(%s, %s)\n", psQuote(n), psQuote(f.usage))
				switch {
				case f.profiles:
					fmt.Fprintf(&values, "        %s = %s\n", psQuote(c.Name+" "+n), psProfiles)
				case f.choices != nil:
					fmt.Fprintf(&values, "        %s = %s\n", psQuote(c.Name+" "+n), psList(f.choices))
				case f.value != "":
					fmt.Fprintf(&values, "        %s = @()\n", psQuote(c.Name+" "+n))
				}
			}
		}
		table.WriteString("        )\n")
	}
	return "# PowerShell completion for mqt\n" + generatedBy + `
Register-ArgumentCompleter -Native -CommandName mqt -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    # Names differ in case alone (-p, -P), so the tables must not fold it.
    $flags = [System.Collections.Hashtable]::new([System.StringComparer]::Ordinal)
    $values = [System.Collections.Hashtable]::new([System.StringComparer]::Ordinal)
    $entries = @{
` + table.String() + `    }
    foreach ($key in $entries.Keys) { $flags[$key] = $entries[$key] }
    $commands = ` + psList(append(commandNames(app), "--help", "--version")) + `
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition -or $wordToComplete -eq '' } | ForEach-Object { $_.ToString() })
    $result = { param($text, $tip) [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $tip) }
    if ($words.Count -le 1) {
        $commands | Where-Object { $_.StartsWith($wordToComplete) } | ForEach-Object { & $result $_ $_ }
        return
    }
    $after = $words[1] + ' ' + $words[-1]
` + psValues(values.String()) + `    if ($words.Count -gt 2 -and $values.ContainsKey($after)) {
        $values[$after] | Where-Object { $_.StartsWith($wordToComplete) } | ForEach-Object { & $result $_ $_ }
        return
    }
    if ($flags.ContainsKey($words[1])) {
        $flags[$words[1]] | Where-Object { $_[0].StartsWith($wordToComplete, [System.StringComparison]::Ordinal) } | ForEach-Object { & $result $_[0] $_[1] }
    }
}
`
}

// psValues turns the lines of a table into assignments: a literal would fold the case of its keys.
func psValues(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		fmt.Fprintf(&b, "    $values[%s] = %s\n", key, value)
	}
	return b.String()
}
