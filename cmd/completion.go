package cmd

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"mqt/completions"
)

func completionCommand(s *Stdio) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print the script with which a shell completes mqt",
		UsageText: "mqt completion " + strings.Join(completions.Shells(), "|"),
		ArgsUsage: "SHELL",
		Description: `Examples:
  source <(mqt completion bash)                                   # for this shell, or in ~/.bashrc
  mqt completion zsh >"${fpath[1]}/_mqt"
  mqt completion fish >~/.config/fish/completions/mqt.fish
  mqt completion powershell | Out-String | Invoke-Expression      # in $PROFILE`,
		Action: func(c *cli.Context) error {
			script, ok := completions.Script(c.Args().First())
			if !ok || c.NArg() != 1 {
				return &usageError{text: fmt.Sprintf("completion %s", shown(strings.Join(c.Args().Slice(), " "))),
					hint: "the shell is one of " + strings.Join(completions.Shells(), ", ")}
			}
			_, err := io.WriteString(s.Out, script)
			return err
		},
	}
}
